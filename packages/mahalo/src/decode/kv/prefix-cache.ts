/** Rows that have done their work, kept for texts that begin alike, the last used longest. */
import type { KvCache, KvRow } from "./kv-cache.ts";

/** Tokens, the row that holds their keys and values, and what names the adapters' mix that these were computed under. */
export type Held = { readonly ids: readonly number[]; readonly row: KvRow; readonly key: string | undefined };

/** Length of the common beginning of two lists. */
export const commonLength = (a: readonly number[], b: readonly number[]): number => {
  const most = Math.min(a.length, b.length);
  for (let index = 0; index < most; index++) if (a[index] !== b[index]) return index;
  return most;
};

/** The longest common beginning of tokens with any of the rows of the same key. */
export const longestHeld = (
  ids: readonly number[],
  held: Iterable<Held>,
  key: string,
): { held: Held; length: number } | undefined => {
  let best: { held: Held; length: number } | undefined;
  for (const candidate of held) {
    if (candidate.key !== key) continue;
    const length = commonLength(ids, candidate.ids);
    if (length > (best?.length ?? 0)) best = { held: candidate, length };
  }
  return best;
};

/**
 * Finished rows of a cache, found by their tokens.
 *
 * What is kept costs no memory that anybody needs: the least recently used rows are let go as soon as pages run short,
 * and as soon as there are more than `maxBytes` of them.
 */
export class PrefixCache {
  readonly #cache: KvCache;
  readonly #maxPages: number;
  /** In the order of their last use. */
  readonly #cached = new Set<Held>();

  /** @param maxBytes most that is kept, a page that several rows hold being counted for each */
  constructor(cache: KvCache, maxBytes: number) {
    this.#cache = cache;
    this.#maxPages = Math.floor(maxBytes / cache.pages.pageBytes);
    cache.pages.reclaim = (pages) => this.#reclaim(pages);
  }

  /** The row that begins most like `ids`, and how far; it counts as used. */
  match(ids: readonly number[], key: string): { held: Held; length: number } | undefined {
    const best = longestHeld(ids, this.#cached, key);
    if (best !== undefined) {
      this.#cached.delete(best.held);
      this.#cached.add(best.held);
    }
    return best;
  }

  /** Keeps a row that nobody goes on with; the row belongs to this cache from now on. */
  insert(held: Held): void {
    for (const prefix of [...this.#cached]) {
      if (prefix.key !== held.key) continue;
      const common = commonLength(prefix.ids, held.ids);
      if (common === held.ids.length) {
        // Another holds all of it.
        this.#cache.free(held.row);
        this.#cached.delete(prefix);
        this.#cached.add(prefix);
        return;
      }
      if (common === prefix.ids.length) this.#drop(prefix);
    }
    this.#cached.add(held);
    let pages = 0;
    for (const prefix of this.#cached) pages += prefix.row.pages.length;
    for (const prefix of this.#cached) {
      if (pages <= this.#maxPages) break;
      pages -= prefix.row.pages.length;
      this.#drop(prefix);
    }
  }

  #drop(prefix: Held): void {
    this.#cached.delete(prefix);
    this.#cache.free(prefix.row);
  }

  /** Lets rows go until so many pages are free that were not. */
  #reclaim(pages: number): void {
    const { pages: store } = this.#cache;
    const goal = store.usedBytes - pages * store.pageBytes;
    for (const prefix of this.#cached) {
      if (store.usedBytes <= goal) return;
      this.#drop(prefix);
    }
  }

  /** Lets all rows go. */
  clear(): void {
    for (const prefix of [...this.#cached]) this.#drop(prefix);
  }
}
