/** Hidden states of a frozen backbone, kept in memory: what a row's head is applied to is computed once. */
import { totalmem } from "node:os";
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { packRows } from "../data/tokens/packing.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import { batchTokens } from "../model/transformer/tokens.ts";
import type { LossHead, TaskRow } from "./task.ts";

// Shapes: N positions that are read of a row, D hidden.

/** The hidden states that are read of one row, completion after completion. */
type RowStates = { hidden_ND: Tensor; completions: { start: number; length: number }[] };

/** Options of {@link HiddenCache}. */
export type HiddenCacheOptions = {
  /** Bytes to keep; states of further rows are computed anew each time. Default: a quarter of the machine's memory. */
  maxBytes?: number;
};

/**
 * Hidden states by row, at the positions that are read and no others.
 *
 * Every row is computed alone, so that its states do not depend on which rows came before: a run that is resumed, or one
 * with less memory, gives the same bytes. The backbone must not change while a cache of it is in use.
 */
export class HiddenCache {
  readonly #backbone: Backbone;
  readonly #maxBytes: number;
  readonly #rows = new Map<TaskRow, RowStates>();
  #bytes = 0;

  constructor(backbone: Backbone, { maxBytes = totalmem() / 4 }: HiddenCacheOptions = {}) {
    this.#backbone = backbone;
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rows whose states are kept. */
  get rows(): number {
    return this.#rows.size;
  }

  /** The hidden states [N, D] that a head reads of completions, in their order; they belong to the caller's scope. */
  of(head: LossHead, completions: readonly { row: TaskRow; index: number }[]): Tensor {
    return noGrad(() =>
      scope(() => {
        const parts = completions.map(({ row, index }) => {
          const states = this.#rows.get(row) ?? this.#read(head, row);
          const completion = states.completions[index];
          if (completion === undefined) {
            throw new MahaloError("E_INTERNAL", `a row has no completion ${index}`, { exitStatus: 1 });
          }
          return states.hidden_ND.narrow(0, completion.start, completion.length);
        });
        return ops.cat(parts, 0);
      }),
    );
  }

  #read(head: LossHead, row: TaskRow): RowStates {
    const states = scope((): RowStates => {
      const [packed] = packRows([row], Number.MAX_SAFE_INTEGER);
      const [laid] = packed?.batch.rows ?? [];
      if (packed === undefined || laid === undefined) {
        throw new MahaloError("E_INTERNAL", "a row was not packed", { exitStatus: 1 });
      }
      const hidden_TD = this.#backbone.forward(batchTokens(packed.batch), packedAttention(packed.batch));
      const positions: number[] = [];
      const completions = laid.completions.map((completion, index) => {
        const start = positions.length;
        for (const position of Array.from(head.positions(row, laid, completion, index)))
          positions.push(position);
        return { start, length: positions.length - start };
      });
      const offsets = tensor(Int32Array.from(positions), { dtype: "int64" });
      return { hidden_ND: hidden_TD.indexSelect(0, offsets), completions };
    });
    const { bytes } = states.hidden_ND;
    if (this.#bytes + bytes <= this.#maxBytes) {
      keep(states.hidden_ND);
      this.#rows.set(row, states);
      this.#bytes += bytes;
    }
    return states;
  }

  /** Frees what is kept. */
  dispose(): void {
    for (const { hidden_ND } of this.#rows.values()) hidden_ND.dispose();
    this.#rows.clear();
    this.#bytes = 0;
  }
}
