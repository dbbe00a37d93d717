/** Branches of a search in a decoder's rows: each goes on from the very state that made its text, and forks share it. */
import { setImmediate as nextTick } from "node:timers/promises";
import { MahaloError, scope, type Tensor, tensor } from "@mahalo/torch";
import { throwIfAborted } from "../core/interrupt.ts";
import { lastOf } from "../core/need.ts";
import type { Random } from "../core/random.ts";
import type { Decoder } from "../decode/decoder.ts";
import { type Choice, type Chosen, nextTokens } from "../decode/next-tokens.ts";
import type { Finish, Sequence } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";

/** An answer in the making and the row that holds it; the row lags behind by the answer's last token. */
export type Branch = { row: number; readonly answer: Sequence };

/** A branch that has grown by a step. */
export type Grown = {
  branch: Branch;
  /** Why the answer ends with the step, if it does. */
  finish: Finish | undefined;
};

/** What grows out of a branch: one candidate for each random stream. */
export type Growth = { from: Branch; randoms: readonly Random[] };

/** How far candidates grow. */
export type GrowOptions = { maxStepTokens: number; batchSize: number; signal?: AbortSignal | undefined };

/** A candidate that has not reached its step's end yet. */
type Growing = { branch: Branch; begun: number; finish: Finish | undefined; over: boolean };

/** The branches of one search. */
export class Branches {
  readonly #model: LanguageModel;
  readonly #decoder: Decoder;
  /** Row r is the branch rows[r]. */
  readonly #rows: Branch[] = [];

  constructor(model: LanguageModel, decoder: Decoder) {
    this.#model = model;
    this.#decoder = decoder;
  }

  /** Begins an answer; its prompt is read when it grows. */
  begin(answer: Sequence): Branch {
    return this.#add(this.#decoder.addRow(), answer);
  }

  /** Forgets a branch. */
  drop(branch: Branch): void {
    this.#decoder.removeRow(branch.row);
    const last = this.#rows.pop();
    if (last === undefined || branch.row >= this.#rows.length) return;
    this.#rows[branch.row] = last;
    last.row = branch.row;
  }

  /**
   * Grows candidates of one step each, in the order asked for.
   *
   * A branch's own state is computed once for all of its candidates. Each candidate's tokens come from its own random
   * stream, so that neither `batchSize` nor the others change them.
   */
  async grow(growths: readonly Growth[], options: GrowOptions): Promise<Grown[]> {
    const growing = this.#fork(growths, options.maxStepTokens);
    const waiting = growing.filter(({ over }) => !over);
    while (waiting.length > 0) {
      throwIfAborted(options.signal, "searching");
      const now = waiting.slice(0, options.batchSize);
      scope(() => {
        const tokens = now.map(({ branch }) => lastOf(branch.answer.ids, "token"));
        const rows = now.map(({ branch }) => branch.row);
        const mixes = now.map(({ branch }) => branch.answer.adapterMix);
        this.#take(now, this.#decoder.step(tokens, rows, mixes), options.maxStepTokens);
      });
      for (const branch of now) if (branch.over) waiting.splice(waiting.indexOf(branch), 1);
      // Lets timers and signals through; a step itself never waits.
      await nextTick();
    }
    return growing.map(({ branch, finish }) => ({ branch, finish }));
  }

  #add(row: number, answer: Sequence): Branch {
    const branch: Branch = { row, answer };
    this.#rows[row] = branch;
    return branch;
  }

  /** Hidden states behind branches, [N, D]: all of a new one's prompt is read, of others the token they lag behind. */
  #read(branches: readonly Branch[]): Tensor {
    const fresh = branches.every(({ row }) => this.#decoder.ids(row).length === 0);
    if (!fresh) {
      return this.#decoder.step(
        branches.map(({ answer }) => lastOf(answer.ids, "token")),
        branches.map(({ row }) => row),
        branches.map(({ answer }) => answer.adapterMix),
      );
    }
    return this.#decoder.extend(
      branches.map(({ row, answer }) => ({ row, ids: answer.promptIds, mix: answer.adapterMix })),
    );
  }

  /** Forks every branch for its candidates, and gives each its first token. */
  #fork(growths: readonly Growth[], maxStepTokens: number): Growing[] {
    return scope(() => {
      const hidden_ND = this.#read(growths.map(({ from }) => from));
      const growing = growths.flatMap(({ from, randoms }) =>
        randoms.map((random): Growing => {
          const branch = this.#add(this.#decoder.fork(from.row), from.answer.fork(random));
          return { branch, begun: from.answer.ids.length, finish: undefined, over: false };
        }),
      );
      const parents = growths.flatMap(({ randoms }, index) => randoms.map(() => index));
      const index = tensor(Int32Array.from(parents), { dtype: "int64", device: hidden_ND.device });
      this.#take(growing, hidden_ND.indexSelect(0, index), maxStepTokens);
      return growing;
    });
  }

  /** Every candidate takes its next token in. */
  #take(growing: readonly Growing[], hidden_ND: Tensor, maxStepTokens: number): void {
    const choices = nextTokens(
      this.#model,
      hidden_ND,
      growing.map(({ branch }) => branch.answer),
    );
    for (const [index, grower] of growing.entries()) {
      const { answer } = grower.branch;
      const { id, logprob, topLogprobs } = chosen(choices[index]);
      const { finish, step } = answer.accept(id, logprob, topLogprobs);
      grower.finish = finish;
      grower.over = finish !== undefined || step || answer.ids.length - grower.begun >= maxStepTokens;
    }
  }
}

const chosen = (choice: Choice | undefined): Chosen => {
  if (choice !== undefined && "id" in choice) return choice;
  throw choice?.error ?? new MahaloError("E_INTERNAL", "no token was chosen", { exitStatus: 1 });
};
