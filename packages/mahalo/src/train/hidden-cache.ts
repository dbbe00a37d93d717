/** Hidden states of a frozen backbone, kept in memory: what a row's head is applied to is computed once. */
import { totalmem } from "node:os";
import { describeError, keep, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { append } from "../core/append.ts";
import { hashBytes } from "../core/files.ts";
import { element } from "../core/need.ts";
import { type PackedBatch, packRows, rowLength } from "../data/tokens/packing.ts";
import type { Mix } from "../model/heads/heads.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import { batchTokens } from "../model/transformer/tokens.ts";
import type { HiddenStore } from "./hidden-store.ts";
import type { LossHead, TaskRow } from "./task.ts";

// Shapes: N positions that are read of a row, D hidden.

/** The hidden states that are read of one row, completion after completion. */
type RowStates = { hidden_ND: Tensor; completions: { start: number; length: number }[] };

/** A row laid out alone, and where its head reads it. */
type Layout = {
  batch: PackedBatch;
  mix: Mix | undefined;
  positions: number[];
  completions: RowStates["completions"];
  key: string;
};

/** Options of {@link HiddenCache}. */
export type HiddenCacheOptions = {
  /** Bytes to keep in memory; states of further rows are computed each time. Default: a quarter of the machine's memory. */
  maxBytes?: number;
  /** Where states of other runs are, and those of this one are kept. Default: nowhere. */
  store?: HiddenStore | undefined;
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
  readonly #maxBytes: number;
  readonly #store: HiddenStore | undefined;
  readonly #rows = new Map<string, RowStates>();
  readonly #layouts = new WeakMap<TaskRow, Layout>();
  #bytes = 0;

  constructor(backbone: Backbone, { maxBytes = totalmem() / 4, store }: HiddenCacheOptions = {}) {
    this.#backbone = backbone;
    this.#maxBytes = maxBytes;
    this.#store = store;
  }

  /** Bytes that are kept in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rows whose states are kept in memory. */
  get rows(): number {
    return this.#rows.size;
  }

  /** The hidden states [N, D] that a head reads of completions, in their order; they belong to the caller's scope. */
  of(head: LossHead, completions: readonly { row: TaskRow; index: number }[]): Tensor {
    return noGrad(() =>
      scope(() => {
        const parts = completions.map(({ row, index }) => {
          const layout = this.#layoutOf(head, row);
          const { hidden_ND, completions } = this.#rows.get(layout.key) ?? this.#read(layout);
          const { start, length } = element(completions, index, "completion");
          return hidden_ND.narrow(0, start, length);
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

  #read({ batch, mix, positions, completions, key }: Layout): RowStates {
    const states = scope((): RowStates => {
      const stored = this.#store?.read(key);
      if (stored !== undefined) return { hidden_ND: stored, completions };
      const parts = batch.rows.map((row) => ({ length: rowLength(row), mix }));
      const tokens = { ...batchTokens(batch), gains_TS: this.#backbone.adapters?.gains(parts) };
      const hidden_TD = this.#backbone.forward(tokens, packedAttention(batch));
      const read_N = tensor(Int32Array.from(positions), { dtype: "int64" });
      return { hidden_ND: hidden_TD.indexSelect(0, read_N), completions };
    });
    const { bytes } = states.hidden_ND;
    if (this.#bytes + bytes <= this.#maxBytes) {
      keep(states.hidden_ND);
      this.#rows.set(key, states);
      this.#bytes += bytes;
    }
    return states;
  }

  /**
   * Writes what the store does not have yet. A failure, such as a full disk, costs only the time of another run.
   *
   * @param warn is told of it
   */
  save(warn: (line: string) => void): void {
    const states = new Map([...this.#rows].map(([key, { hidden_ND }]) => [key, hidden_ND]));
    try {
      this.#store?.write(states);
    } catch (error) {
      warn(`hidden states are not kept for later runs: ${describeError(error)}`);
    }
  }

  /** Frees what is kept in memory, and lets go of the store. */
  dispose(): void {
    for (const { hidden_ND } of this.#rows.values()) hidden_ND.dispose();
    this.#rows.clear();
    this.#bytes = 0;
    this.#store?.close();
  }
}
