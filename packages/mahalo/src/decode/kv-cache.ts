/** Keys and values of every layer and row, in memory that is there before it is needed. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { ModelConfig } from "../model/config.ts";
import type { ComputeDType } from "../model/parameters.ts";

// Shapes: R rows, G key-value heads, C capacity in positions, E head width, T new tokens of one row, W positions seen.

/** Capacity and windows are whole multiples of this many positions. */
const block = 64;

/** Sizes of a cache. */
export type KvCacheShape = {
  layers: number;
  kvHeads: number;
  headDim: number;
  dtype: ComputeDType;
  device: string;
};

/** Keys and values of one layer, [R, G, C, E], and the same memory as a list of positions, [R G C, E]. */
type LayerMemory = { k: Tensor; v: Tensor; flatK: Tensor; flatV: Tensor };

/** What one step needs to know: where each row's new token goes, and which positions each row sees. */
export type StepPlan = {
  rows: number;
  /** int64 [R G]: places in the list of positions. */
  place: Tensor;
  /** [R, 1, 1, W]: 0 where a row has a token (the new one included), else -inf. */
  mask: Tensor;
  window: number;
};

const roundUp = (count: number): number => Math.ceil(count / block) * block;

/**
 * The key-value cache of rows that decode together.
 *
 * Rows are numbered from 0 without gaps. Memory grows by half at a time; a row's length is all that a rollback changes.
 */
export class KvCache {
  readonly shape: KvCacheShape;
  #maxRows = 0;
  #capacity = 0;
  readonly #lengths: number[] = [];
  #memory: LayerMemory[] = [];
  /** Views of the first rows and positions, kept from step to step. */
  #views: { rows: number; window: number; layers: { k: Tensor; v: Tensor }[] } | undefined;

  constructor(shape: KvCacheShape) {
    this.shape = shape;
  }

  /** A cache that fits a model. */
  static for(config: ModelConfig, dtype: ComputeDType, device = "cpu"): KvCache {
    const { layers, kvHeads, headDim } = config;
    return new KvCache({ layers, kvHeads, headDim, dtype, device });
  }

  /** Number of rows in use. */
  get rows(): number {
    return this.#lengths.length;
  }

  /** Positions a row can hold before memory grows. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Bytes of all keys and values, used or not. */
  get bytes(): number {
    return this.#memory.reduce((total, { k, v }) => total + k.bytes + v.bytes, 0);
  }

  /** Tokens that a row holds. */
  length(row: number): number {
    const length = this.#lengths[row];
    if (length === undefined) {
      throw new MahaloError("E_KV_CACHE", `the cache has ${this.rows} rows, not a row ${row}`, {
        exitStatus: 1,
      });
    }
    return length;
  }

  /** Adds an empty row and gives its number. */
  addRow(): number {
    this.#lengths.push(0);
    this.reserve(this.rows, this.#capacity);
    return this.rows - 1;
  }

  /** Makes room for that many rows and positions; what rows hold stays. */
  reserve(rows: number, positions: number): void {
    if (rows <= this.#maxRows && positions <= this.#capacity) return;
    const grown = (have: number, need: number): number =>
      need <= have ? have : Math.max(need, Math.ceil(have * 1.5));
    const maxRows = grown(this.#maxRows, rows);
    const capacity = roundUp(grown(this.#capacity, Math.max(1, positions)));
    this.#forgetViews();
    const used = Math.max(0, ...this.#lengths);
    const held = Math.min(this.rows, this.#maxRows);
    // Layer by layer, so that growing needs one layer's memory on top and not the whole cache's.
    for (let layer = 0; layer < this.shape.layers; layer++) {
      const old = this.#memory[layer];
      this.#memory[layer] = noGrad(() => scope(() => this.#allocate(maxRows, capacity, old, held, used)));
      if (old !== undefined) for (const one of Object.values(old)) one.dispose();
    }
    this.#maxRows = maxRows;
    this.#capacity = capacity;
  }

  #allocate(
    rows: number,
    capacity: number,
    old: LayerMemory | undefined,
    held: number,
    used: number,
  ): LayerMemory {
    const { kvHeads, headDim, dtype, device } = this.shape;
    // Zeros: masked positions are still multiplied, and left-over memory may hold NaN.
    const grow = (from: Tensor | undefined): Tensor => {
      const to = ops.zeros([rows, kvHeads, capacity, headDim], { dtype, device });
      const cut = (x: Tensor): Tensor => x.narrow(0, 0, held).narrow(2, 0, used);
      if (from !== undefined && held > 0 && used > 0) cut(to).copy_(cut(from));
      return to;
    };
    const [k, v] = [grow(old?.k), grow(old?.v)];
    const flat = (x: Tensor): Tensor => keep(x.view(rows * kvHeads * capacity, headDim));
    return { k: keep(k), v: keep(v), flatK: flat(k), flatV: flat(v) };
  }

  #layer(layer: number): LayerMemory {
    const memory = this.#memory[layer];
    if (memory === undefined)
      throw new MahaloError("E_KV_CACHE", `no memory for layer ${layer}`, { exitStatus: 1 });
    return memory;
  }

  /**
   * Writes one layer's keys and values of a row's next tokens, k_TGE and v_TGE, behind what it holds; they count once
   * {@link advance} is called after the last layer. Room must have been reserved.
   */
  write(layer: number, row: number, k_TGE: Tensor, v_TGE: Tensor): void {
    const { k, v } = this.#layer(layer);
    const place = (x: Tensor): Tensor =>
      x.narrow(0, row, 1).squeeze(0).narrow(1, this.length(row), k_TGE.size(0));
    place(k).copy_(k_TGE.transpose(0, 1));
    place(v).copy_(v_TGE.transpose(0, 1));
  }

  /** Keys and values of the first `length` positions of a row, [1, G, length, E], as views. */
  read(layer: number, row: number, length: number): { k: Tensor; v: Tensor } {
    const { k, v } = this.#layer(layer);
    const cut = (x: Tensor): Tensor => x.narrow(0, row, 1).narrow(2, 0, length);
    return { k: cut(k), v: cut(v) };
  }

  /** Prepares a step of one token for every row: makes room, and works out places and mask. */
  planStep(): StepPlan {
    const { rows } = this;
    const { kvHeads, dtype } = this.shape;
    const longest = Math.max(0, ...this.#lengths) + 1;
    this.reserve(rows, longest);
    const window = roundUp(longest);
    this.#prepareViews(rows, window);
    const place = new BigInt64Array(rows * kvHeads);
    const mask = new Float32Array(rows * window).fill(Number.NEGATIVE_INFINITY);
    for (const [row, length] of this.#lengths.entries()) {
      for (let head = 0; head < kvHeads; head++) {
        place[row * kvHeads + head] = BigInt((row * kvHeads + head) * this.#capacity + length);
      }
      mask.fill(0, row * window, row * window + length + 1);
    }
    const { device } = this.shape;
    return {
      rows,
      window,
      place: tensor(place, { device }),
      mask: tensor(mask, { shape: [rows, 1, 1, window], dtype, device }),
    };
  }

  /** Writes one layer's keys and values [R G, E] of a step, and gives all that the rows hold now: [R, G, W, E]. */
  step(layer: number, plan: StepPlan, k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
    const { flatK, flatV } = this.#layer(layer);
    ops.indexCopy_(flatK, 0, plan.place, k);
    ops.indexCopy_(flatV, 0, plan.place, v);
    const views = this.#views?.layers[layer];
    if (views === undefined) throw new MahaloError("E_KV_CACHE", "a step without a plan", { exitStatus: 1 });
    return views;
  }

  #prepareViews(rows: number, window: number): void {
    if (this.#views?.rows === rows && this.#views.window === window) return;
    this.#forgetViews();
    const cut = (x: Tensor): Tensor => keep(scope(() => x.narrow(0, 0, rows).narrow(2, 0, window)));
    this.#views = { rows, window, layers: this.#memory.map(({ k, v }) => ({ k: cut(k), v: cut(v) })) };
  }

  #forgetViews(): void {
    for (const { k, v } of this.#views?.layers ?? []) {
      k.dispose();
      v.dispose();
    }
    this.#views = undefined;
  }

  /** Counts `tokens` more of a row as held. */
  advance(row: number, tokens: number): void {
    this.#lengths[row] = this.length(row) + tokens;
  }

  /** Forgets a row's tokens from position `length` on. @throws MahaloError E_KV_CACHE if it holds fewer */
  rollback(row: number, length: number): void {
    if (length < 0 || length > this.length(row)) {
      const held = this.length(row);
      throw new MahaloError("E_KV_CACHE", `cannot roll back row ${row} of ${held} tokens to ${length}`, {
        exitStatus: 1,
      });
    }
    this.#lengths[row] = length;
  }

  /**
   * Makes a row hold the first `length` tokens of another, and nothing else.
   *
   * @throws MahaloError E_KV_CACHE if the other holds fewer
   */
  copy(from: number, to: number, length: number): void {
    if (length < 0 || length > this.length(from)) {
      const held = this.length(from);
      throw new MahaloError(
        "E_KV_CACHE",
        `cannot copy ${length} tokens of row ${from}, which holds ${held}`,
        {
          exitStatus: 1,
        },
      );
    }
    if (this.length(to) >= 0 && from !== to && length > 0) {
      const copy = (x: Tensor): void => {
        const at = (index: number): Tensor => x.narrow(0, index, 1).narrow(2, 0, length);
        at(to).copy_(at(from));
      };
      noGrad(() =>
        scope(() => {
          for (const { k, v } of this.#memory) {
            copy(k);
            copy(v);
          }
        }),
      );
    }
    this.#lengths[to] = length;
  }

  /** Drops a row; the last row takes its number. */
  removeRow(row: number): void {
    const last = this.rows - 1;
    if (row !== last && this.length(row) >= 0) this.copy(last, row, this.length(last));
    this.#lengths.pop();
  }

  /** Frees the memory. */
  dispose(): void {
    this.#forgetViews();
    for (const memory of this.#memory) for (const one of Object.values(memory)) one.dispose();
    this.#memory = [];
    this.#lengths.length = 0;
    this.#maxRows = 0;
    this.#capacity = 0;
  }
}
