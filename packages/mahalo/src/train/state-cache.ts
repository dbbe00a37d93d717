/** Tensors that a frozen part of a model gives for each row, computed once: in memory within a bound, and on disk. */
import { totalmem } from "node:os";
import { describeError, keep, scope, type Tensor } from "@mahalo/torch";
import type { HiddenStore } from "./hidden-store.ts";

/** Options of {@link StateCache}. */
export type StateCacheOptions = {
  /** Bytes to keep in memory; states of further rows are computed each time. Default: a quarter of the machine's memory. */
  maxBytes?: number;
  /** Where states of other runs are, and those of this one are kept. Default: nowhere. */
  store?: HiddenStore | undefined;
};

/** States by key; a key must name all that its states depend on, but for the weights. */
export class StateCache {
  readonly #maxBytes: number;
  readonly #store: HiddenStore | undefined;
  readonly #states = new Map<string, Tensor>();
  #bytes = 0;

  constructor({ maxBytes = totalmem() / 4, store }: StateCacheOptions = {}) {
    this.#maxBytes = maxBytes;
    this.#store = store;
  }

  /** Bytes that are kept in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rows whose states are kept in memory. */
  get rows(): number {
    return this.#states.size;
  }

  /** The states of a key: kept, read, or computed now. They are the cache's, or belong to the caller's scope. */
  get(key: string, compute: () => Tensor): Tensor {
    const kept = this.#states.get(key);
    if (kept !== undefined) return kept;
    const states = scope(() => this.#store?.read(key) ?? compute());
    const { bytes } = states;
    if (this.#bytes + bytes <= this.#maxBytes) {
      this.#states.set(key, keep(states));
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
    try {
      this.#store?.write(this.#states);
    } catch (error) {
      warn(`hidden states are not kept for later runs: ${describeError(error)}`);
    }
  }

  /** Frees what is kept in memory, and lets go of the store. */
  dispose(): void {
    for (const states of this.#states.values()) states.dispose();
    this.#states.clear();
    this.#bytes = 0;
    this.#store?.close();
  }
}
