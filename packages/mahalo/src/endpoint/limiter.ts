/** Work on many items at a time, but never on more than a limit: order kept, ended early by an error or an abort. */
import { throwIfAborted } from "../core/interrupt.ts";

/** Lets at most so many works run at a time; the others wait their turn. */
export class Limiter {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Runs the work as soon as there is room. @throws what the work throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      // The room goes on to the next in line, so that none who comes between takes it.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

/**
 * Does `work` on every item, at most `limit` at a time, and gives the results in the items' order.
 *
 * After the first error no further item is begun; `ending` is then aborted, so that those under way may hurry, and the
 * error is thrown once they have all ended.
 *
 * @throws the first error; MahaloError E_INTERRUPTED after an abort of `signal`
 */
export const mapInOrder = async <T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number, ending: AbortSignal) => Promise<R>,
  signal?: AbortSignal,
): Promise<R[]> => {
  const results = new Array<R>(items.length);
  const ending = new AbortController();
  let failure: { error: unknown } | undefined;
  // All workers take from one iterator, so each item is taken once.
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      try {
        throwIfAborted(signal, "waiting for replies");
        results[index] = await work(item, index, ending.signal);
      } catch (error) {
        failure ??= { error };
        ending.abort();
      }
      if (failure !== undefined) return;
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
  return results;
};
