/** Hidden states of a frozen backbone: what a row's head is applied to is computed once. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { append } from "../core/append.ts";
import { hashBytes } from "../core/files.ts";
import { element } from "../core/need.ts";
import { type PackedBatch, packRows } from "../data/tokens/packing.ts";
import type { Mix } from "../model/heads/heads.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import { mixedTokens } from "../model/transformer/tokens.ts";
import type { StateCache } from "./state-cache.ts";
import type { LossHead, TaskRow } from "./task.ts";

// Shapes: N positions that are read of a row, D hidden.

/** A row laid out alone, and where its head reads it. */
type Layout = {
  batch: PackedBatch;
  mix: Mix | undefined;
  positions: number[];
  completions: { start: number; length: number }[];
  key: string;
};

/**
 * Hidden states by row, at the positions that are read and no others.
 *
 * Every row is computed alone, so that its states do not depend on which rows came before: a run that is resumed, or one
 * with less memory, gives the same bytes. Rows of equal tokens that are read at the same places are one row, whoever asks:
 * the reference and the training of an align stage read the same. The backbone must not change while a cache of it is in
 * use.
 */
export class HiddenCache {
  readonly #backbone: Backbone;
  readonly #states: StateCache;
  readonly #layouts = new WeakMap<TaskRow, Layout>();

  constructor(backbone: Backbone, states: StateCache) {
    this.#backbone = backbone;
    this.#states = states;
  }

  /** The hidden states [N, D] that a head reads of completions, in their order; they belong to the caller's scope. */
  of(head: LossHead, completions: readonly { row: TaskRow; index: number }[]): Tensor {
    return noGrad(() =>
      scope(() => {
        const parts = completions.map(({ row, index }) => {
          const layout = this.#layoutOf(head, row);
          const { start, length } = element(layout.completions, index, "completion");
          return this.#states.get(layout.key, () => this.#read(layout)).narrow(0, start, length);
        });
        return ops.cat(parts, 0);
      }),
    );
  }

  #layoutOf(head: LossHead, row: TaskRow): Layout {
    const seen = this.#layouts.get(row);
    if (seen !== undefined) return seen;
    const { batch } = element(packRows([row], Number.MAX_SAFE_INTEGER), 0, "batch");
    const packed = element(batch.rows, 0, "row");
    const positions: number[] = [];
    const completions = packed.completions.map((completion, index) => {
      const start = positions.length;
      append(positions, Array.from(head.positions(row, packed, completion, index)));
      return { start, length: positions.length - start };
    });
    const spans = packed.completions.flatMap(({ start, length }) => [start, length]);
    // Without adapters states are the same under every mix.
    const mix = this.#backbone.adapters === undefined ? undefined : head.mix;
    const told = mix === undefined ? [] : [Object.entries(mix)];
    const key = hashBytes(JSON.stringify([[...batch.ids], spans, positions, ...told]));
    const layout = { batch, mix, positions, completions, key };
    this.#layouts.set(row, layout);
    return layout;
  }

  #read({ batch, mix, positions }: Layout): Tensor {
    const tokens = mixedTokens(batch, [mix], this.#backbone);
    const hidden_TD = this.#backbone.forward(tokens, packedAttention(batch));
    return hidden_TD.indexSelect(0, tensor(Int32Array.from(positions), { dtype: "int64" }));
  }
}
