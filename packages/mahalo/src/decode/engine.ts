/** The scheduler: requests join and leave between steps, share passes, memory and prefixes, and never each other's luck. */
import { setImmediate as nextTick } from "node:timers/promises";
import { MahaloError, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import {
  type AdmissionRules,
  countJoining,
  type Reserve,
  reserves,
  rowToPreempt,
  type Task,
} from "./admission.ts";
import { cachedDecoder, type Decoder } from "./decoder.ts";
import type { AnswerEvent } from "./events.ts";
import { memoryError } from "./kv/kv-pages.ts";
import { type Choice, nextTokens } from "./next-tokens.ts";
import { prefill } from "./prefill.ts";
import { type GenerateRequest, Sequence } from "./request.ts";
import { RequestHandle } from "./request-handle.ts";

// Shapes: R rows, N rows of one call, D hidden.

/** Options of an {@link Engine}. */
export type EngineOptions = {
  /** Requests answered side by side. Default 16. */
  batchSize?: number | undefined;
  /**
   * Bound on the memory of keys and values in bytes. A request that does not fit beside those under way waits; one that
   * would not fit alone is refused. Default: half of the memory that is available when the engine is made.
   */
  maxBytes?: number | undefined;
  /**
   * What is kept free for a row. `used` (default): what it holds and a page to begin with; where memory runs short the
   * youngest row makes room, waits, and later replays what it had. `longest`: all that its longest answer would take. The
   * answers are the same.
   */
  reserve?: Reserve | undefined;
  /** Whether prompts begin with what other rows, finished ones included, hold of them already. Default true. */
  sharePrefixes?: boolean | undefined;
  /** Prompt tokens read between two steps, which bounds a pass's memory; a longer prompt is read alone. Default 8192. */
  maxPromptTokensPerStep?: number | undefined;
  /** What holds the rows; default with a key-value cache of `maxBytes`. */
  decoder?: ((model: LanguageModel) => Decoder) | undefined;
};

const checkPositive = (name: string, value: number, code: string): void => {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new MahaloError(code, `${name}: ${value} is not a positive whole number`);
};

/**
 * Answers requests side by side: they may be submitted and cancelled at any time, and join and leave between steps.
 *
 * Rows share the backbone's pass whatever their mixes; rows of one mix share its merged head. A row's tokens depend on its
 * own request alone, never on its company: its sampling has its own random stream. Requests wait in the order they came
 * while the batch is full or memory is short. Where the rows outgrow the memory, cached prefixes go first, and then the
 * youngest row: it waits again, before all others, and once it joins its prompt is read and its tokens are read one a
 * step, as they were, so that it goes on from the very numbers that it left.
 *
 * What rows hold is the backbone's: its weights must not change while the engine is open. Heads may, between steps.
 *
 * @throws MahaloError E_BATCH_SIZE, E_ENGINE_OPTION
 *
 * @example
 * const engine = new Engine(model);
 * const handle = engine.submit({ ids, mix: { accuracy: 1 } });
 * for await (const event of handle) if (event.type === "token") process.stdout.write(event.text);
 * engine.close();
 */
export class Engine {
  readonly model: LanguageModel;
  readonly #decoder: Decoder;
  readonly #rules: AdmissionRules;
  readonly #waiting: Task[] = [];
  /** Row r of the decoder is answered by tasks[r]. */
  readonly #tasks: Task[] = [];
  #submitted = 0;
  #preemptions = 0;
  #turn: Promise<void> | undefined;
  #stepping = false;
  #closed = false;

  constructor(model: LanguageModel, options: EngineOptions = {}) {
    const { batchSize = 16, sharePrefixes = true, maxPromptTokensPerStep = 8192 } = options;
    const { maxBytes, reserve = "used" } = options;
    checkPositive("batchSize", batchSize, "E_BATCH_SIZE");
    if (maxBytes !== undefined) checkPositive("maxBytes", maxBytes, "E_ENGINE_OPTION");
    checkPositive("maxPromptTokensPerStep", maxPromptTokensPerStep, "E_ENGINE_OPTION");
    if (!reserves.includes(reserve))
      throw new MahaloError("E_ENGINE_OPTION", `reserve: "${reserve}" is not one of ${reserves.join(", ")}`);
    this.model = model;
    this.#rules = { batchSize, maxPromptTokens: maxPromptTokensPerStep, reserve, share: sharePrefixes };
    this.#decoder = (options.decoder ?? ((base) => cachedDecoder(base, { maxBytes })))(model);
  }

  /** Requests that decode now. */
  get active(): number {
    return this.#tasks.length;
  }

  /** Requests that wait for room. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** How often a row has made room for others so far. */
  get preemptions(): number {
    return this.#preemptions;
  }

  /** Bytes of keys and values that rows and remembered prefixes hold. */
  get usedBytes(): number {
    return this.#decoder.usedBytes;
  }

  /**
   * Takes a request in; it joins at the next step with room.
   *
   * @param where what errors call the request
   * @param listen called with every event as it happens, inside the step; the handle then gives none
   * @throws MahaloError what a wrong request throws; E_KV_MEMORY for one that could never fit in memory; E_ENGINE_CLOSED
   */
  submit(request: GenerateRequest, where = "request", listen?: (event: AnswerEvent) => void): RequestHandle {
    if (this.#closed)
      throw new MahaloError("E_ENGINE_CLOSED", "the engine has been closed", { exitStatus: 1 });
    const answer = new Sequence(this.model, request, where);
    const needed = [answer.mostTokens];
    if (!this.#decoder.fits(needed)) {
      const what = `${where}: an answer of up to ${answer.mostTokens} tokens with its prompt`;
      throw memoryError(what, this.#decoder.bytesFor(needed), this.#decoder.maxBytes);
    }
    const handle = new RequestHandle({
      turn: () => this.turn(),
      cancel: (cancelled) => this.#cancel(cancelled),
      steer: (steered, mix) =>
        [...this.#waiting, ...this.#tasks].find((task) => task.handle === steered)?.answer.steer(mix, where),
    });
    const emit = (event: AnswerEvent): void => {
      if (listen === undefined) handle.push(event);
      else listen(event);
    };
    this.#waiting.push({ order: this.#submitted++, answer, handle, emit });
    return handle;
  }

  /** One step soon, once what else is due has had its turn; all who wait share it. */
  turn(): Promise<void> {
    this.#turn ??= nextTick().then(() => {
      this.#turn = undefined;
      this.step();
    });
    return this.#turn;
  }

  /**
   * One step: a token for every row, as far as there is room, then waiting requests join and get their first.
   *
   * An error of one row is its own; one of the whole step fails every request that decodes. Does nothing inside a step.
   */
  step(): void {
    if (this.#closed || this.#stepping) return;
    this.#stepping = true;
    try {
      this.#leave();
      this.#advance();
      this.#leave();
      this.#join();
      this.#leave();
    } catch (error) {
      for (const { handle } of this.#tasks) if (!handle.over) handle.fail(error);
      this.#leave();
    } finally {
      this.#stepping = false;
    }
  }

  #advance(): void {
    this.#makeRoom();
    if (this.#tasks.length === 0) return;
    scope(() => {
      // A row lacks the last token of its answer, or more of it where it replays.
      const next = this.#tasks.map(({ answer }, row) => {
        const read = this.#decoder.ids(row).length - answer.promptIds.length;
        return { id: element(answer.ids, read, "token"), mix: answer.adapterMixAt(read + 1) };
      });
      const hidden_RD = this.#decoder.step(
        next.map(({ id }) => id),
        undefined,
        next.map(({ mix }) => mix),
      );
      this.#goOn([...this.#tasks.keys()], hidden_RD);
    });
  }

  /** Lets the youngest rows wait until the others have room for a token each. */
  #makeRoom(): void {
    for (;;) {
      const row = rowToPreempt(this.#decoder, this.#tasks, this.#rules.reserve);
      if (row === undefined) return;
      this.#decoder.removeRow(row);
      this.#waiting.unshift(this.#removeTask(row));
      this.#preemptions += 1;
    }
  }

  /** Rows that have read all of their text take their next token in; others had it before they made room for others. */
  #goOn(rows: readonly number[], hidden_ND: Tensor): void {
    const places = rows.flatMap((row, place) => {
      const { answer } = element(this.#tasks, row, "task of row");
      return this.#decoder.ids(row).length === answer.length ? [place] : [];
    });
    if (places.length === 0) return;
    const own_ND =
      places.length === rows.length
        ? hidden_ND
        : hidden_ND.indexSelect(
            0,
            tensor(Int32Array.from(places), { dtype: "int64", device: hidden_ND.device }),
          );
    const tasks = places.map((place) => element(this.#tasks, element(rows, place), "task of row"));
    const answers = tasks.map(({ answer }) => answer);
    this.#take(tasks, nextTokens(this.model, own_ND, answers));
  }

  #join(): void {
    const count = countJoining(this.#decoder, this.#tasks, this.#waiting, this.#rules);
    const joining = this.#waiting.splice(0, count);
    if (joining.length === 0) return;
    const first = this.#decoder.rows;
    // Rows that cannot be read are nobody's: their tasks hold their places until they leave.
    try {
      scope(() => {
        const prompts = joining.map(({ answer }) => ({ ids: answer.promptIds, mix: answer.adapterMixAt(0) }));
        const passes = prefill(this.#decoder, prompts, this.#rules);
        for (const { prompts: indices, rows } of passes)
          for (const [row, index] of zip(rows, indices))
            this.#tasks[row] = element(joining, index, "joining request");
        for (const { rows, cached, hidden_ND } of passes) {
          for (const [row, cachedTokens] of zip(rows, cached)) this.#start(row, cachedTokens);
          if (this.#closed) return;
          this.#goOn(rows, hidden_ND);
          if (this.#closed) return;
        }
      });
    } catch (error) {
      for (const { handle } of joining) if (!handle.over) handle.fail(error);
      while (this.#decoder.rows > first) this.#decoder.removeRow(this.#decoder.rows - 1);
      this.#tasks.length = first;
    }
  }

  /** Says that a request has started, unless it has before. */
  #start(row: number, cachedTokens: number): void {
    const task = this.#tasks[row];
    if (task === undefined || task.handle.over || task.answer.ids.length > 0) return;
    task.emit({ type: "start", promptTokens: task.answer.promptIds.length, cachedTokens });
  }

  /** Each row takes its token in and says what happened. */
  #take(tasks: readonly Task[], choices: readonly Choice[]): void {
    for (const [index, { answer, handle, emit }] of [...tasks].entries()) {
      const choice = choices[index];
      if (choice === undefined || handle.over) continue;
      if ("error" in choice) {
        handle.fail(choice.error);
        continue;
      }
      const { id, ...told } = choice;
      const { text, finish, step } = answer.accept(id, told.logprob, told.topLogprobs);
      emit({ type: "token", id, text, ...told });
      if (step) emit({ type: "step", steps: answer.steps, tokens: answer.ids.length });
      if (finish === undefined) continue;
      emit({ type: "done", completion: answer.completion(finish) });
      handle.finish();
    }
  }

  /** Rows whose requests are over leave; what they hold stays for others that begin alike. */
  #leave(): void {
    for (let row = this.#tasks.length - 1; row >= 0; row--) {
      if (!this.#tasks[row]?.handle.over) continue;
      if (this.#rules.share) this.#decoder.insertPrefix(row);
      else this.#decoder.removeRow(row);
      this.#removeTask(row);
    }
  }

  /** Takes a task off its row; the last one takes its place, as in the decoder. */
  #removeTask(row: number): Task {
    const gone = element(this.#tasks, row, "task of row");
    const last = this.#tasks.pop();
    if (last !== undefined && row < this.#tasks.length) this.#tasks[row] = last;
    return gone;
  }

  #cancel(handle: RequestHandle): void {
    const place = this.#waiting.findIndex((task) => task.handle === handle);
    if (place >= 0) this.#waiting.splice(place, 1);
    else if (!this.#stepping && !this.#closed) this.#leave();
  }

  /** Cancels all requests and frees the memory. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { handle } of [...this.#waiting, ...this.#tasks]) handle.cancel();
    this.#waiting.length = 0;
    this.#tasks.length = 0;
    this.#decoder.dispose();
  }
}
