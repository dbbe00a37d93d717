/** Pages of key-value memory: preallocated in slabs, counted by their holders, never copied as a whole. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { findMemory } from "../../core/machine.ts";
import { element } from "../../core/need.ts";
import type { ComputeDType } from "../../model/transformer/parameters.ts";

// Shapes: L layers, S pages of a slab, G key-value heads, E head width, P positions of a page.

/** Positions of a page. The native kernel keeps a page's scores in registers, so this is fixed there, too. */
export const PAGE_POSITIONS = 32;

/** Pages of the first slab; further ones double what is there. */
const FIRST_SLAB = 16;
/** Most pages of a slab: memory grows by at most this much at a time. */
const LARGEST_SLAB = 512;
/** A page's number is its slab's times this, plus its place there; native/paged.cpp takes it apart. */
const SLAB_STRIDE = 65536;

/** Sizes of what is kept of a position. */
export type KvShape = {
  layers: number;
  kvHeads: number;
  headDim: number;
  dtype: ComputeDType;
  device: string;
};

/** Bytes of one page: keys and values of {@link PAGE_POSITIONS} positions in every layer. */
export const pageBytes = ({ layers, kvHeads, headDim, dtype }: KvShape): number =>
  layers * 2 * kvHeads * PAGE_POSITIONS * headDim * (dtype === "bfloat16" ? 2 : 4);

/**
 * The bound where nobody sets one: half of the memory that is available now, so that what does not fit is refused before
 * the system ends the process. None on other devices, whose own allocator refuses.
 */
export const defaultMaxBytes = (device: string): number =>
  device === "cpu" ? Math.max(2 ** 26, Math.floor(findMemory().available / 2)) : Number.POSITIVE_INFINITY;

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MB`;

/**
 * The error of what a memory bound does not allow.
 *
 * @param what what needs the memory
 * @param need bytes it needs, in all
 */
export const memoryError = (what: string, need: number, bound: number): MahaloError =>
  new MahaloError(
    "E_KV_MEMORY",
    `${what} needs ${megabytes(need)} of key-value memory, and the limit is ${megabytes(bound)}`,
    { hint: "ask for fewer tokens, answer fewer requests side by side, or raise maxBytes", exitStatus: 1 },
  );

/**
 * Pages, each with the number of those who hold it.
 *
 * A page holds one run of positions of all layers. Memory comes in slabs, so that what is there never moves when more is
 * needed, and is given back as a whole only.
 */
export class KvPages {
  readonly shape: KvShape;
  /** Bytes of one page. */
  readonly pageBytes: number;
  /** Most pages there may be. */
  readonly maxPages: number;
  /** [L, 2, S, G, P E]: keys as [E, P], so that one instruction takes many positions, values as [P, E]. */
  readonly slabs: Tensor[] = [];
  readonly #maxBytes: number;
  readonly #sizes: number[] = [];
  readonly #free: number[] = [];
  readonly #holders = new Map<number, number>();
  /** Asked to let go of pages where too few are free; whoever keeps pages for later sets it. */
  reclaim: ((pages: number) => void) | undefined;

  /** @param maxBytes bound on all pages together; default none */
  constructor(shape: KvShape, maxBytes: number = Number.POSITIVE_INFINITY) {
    this.shape = shape;
    this.pageBytes = pageBytes(shape);
    this.#maxBytes = maxBytes;
    this.maxPages = Math.floor(maxBytes / this.pageBytes);
  }

  /** Bytes of memory taken from the system. */
  get bytes(): number {
    return this.#total * this.pageBytes;
  }

  /** Bytes of the pages that somebody holds. */
  get usedBytes(): number {
    return this.#holders.size * this.pageBytes;
  }

  /** Pages that nobody holds, and those that memory may still grow by. */
  get available(): number {
    return this.maxPages - this.#holders.size;
  }

  get #total(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Whether somebody else holds the page, too. */
  shared(page: number): boolean {
    return (this.#holders.get(page) ?? 0) > 1;
  }

  /** How many hold the page. */
  holders(page: number): number {
    return this.#holders.get(page) ?? 0;
  }

  /** Lets pages that are kept for later go where fewer than so many are free and memory may not grow. */
  relieve(pages: number): void {
    const lacking = pages - this.#free.length - Math.max(0, this.maxPages - this.#total);
    if (lacking > 0) this.reclaim?.(lacking);
  }

  /**
   * Sees to it that so many pages are free, whatever it takes: pages kept for later are let go, and memory grows.
   *
   * @throws MahaloError E_KV_MEMORY where the bound or the system does not allow it; nothing has changed then
   */
  ensure(pages: number): void {
    this.relieve(pages);
    const lacking = (): number => pages - this.#free.length;
    if (lacking() > Math.max(0, this.maxPages - this.#total)) {
      throw memoryError("the next step", this.usedBytes + pages * this.pageBytes, this.#maxBytes);
    }
    while (lacking() > 0) this.#grow(lacking());
  }

  #grow(least: number): void {
    const { layers, kvHeads, headDim, dtype, device } = this.shape;
    const wanted = Math.min(LARGEST_SLAB, Math.max(FIRST_SLAB, this.#total));
    const size = Math.min(SLAB_STRIDE, this.maxPages - this.#total, Math.max(least, wanted));
    // Zeros: what the plain path masks it still multiplies, and left-over memory may hold NaN.
    const make = (): Tensor =>
      keep(ops.zeros([layers, 2, size, kvHeads, PAGE_POSITIONS * headDim], { dtype, device }));
    try {
      this.slabs.push(noGrad(() => scope(make)));
    } catch (cause) {
      throw new MahaloError(
        "E_KV_MEMORY",
        `no memory for ${megabytes(size * this.pageBytes)} more of keys and values, beside ${megabytes(this.bytes)}`,
        {
          hint: "answer fewer requests side by side, or set maxBytes so that requests wait for memory",
          exitStatus: 1,
          cause,
        },
      );
    }
    const base = this.#sizes.length * SLAB_STRIDE;
    this.#sizes.push(size);
    for (let page = size - 1; page >= 0; page--) this.#free.push(base + page);
  }

  /** A page that nobody held, now held once. */
  take(): number {
    this.ensure(1);
    const page = this.#free.pop();
    if (page === undefined) throw new MahaloError("E_INTERNAL", "no free page", { exitStatus: 1 });
    this.#holders.set(page, 1);
    return page;
  }

  /** One more holds these pages. */
  share(pages: readonly number[]): void {
    for (const page of pages) this.#holders.set(page, this.holders(page) + 1);
  }

  /** One fewer holds these pages; those that nobody holds are free. */
  release(pages: readonly number[]): void {
    for (const page of pages) {
      const left = this.holders(page) - 1;
      if (left > 0) this.#holders.set(page, left);
      else if (this.#holders.delete(page)) this.#free.push(page);
    }
  }

  /** Copies a page's keys and values of all layers into a page of one's own, and lets go of the first. */
  copy(page: number): number {
    const copy = this.take();
    const slot = (index: number): Tensor => this.#slab(index).narrow(2, index % SLAB_STRIDE, 1);
    noGrad(() => scope(() => ops.copy_(slot(copy), slot(page))));
    this.release([page]);
    return copy;
  }

  #slab(page: number): Tensor {
    const slab = this.slabs[Math.floor(page / SLAB_STRIDE)];
    if (slab === undefined) throw new MahaloError("E_INTERNAL", `no page ${page}`, { exitStatus: 1 });
    return slab;
  }

  /** One layer's keys [G, E, P] and values [G, P, E] of a page, as views. */
  views(layer: number, page: number): { k: Tensor; v: Tensor } {
    const { kvHeads, headDim } = this.shape;
    const both = ops.select(ops.select(this.#slab(page), 0, layer), 1, page % SLAB_STRIDE);
    return {
      k: ops.select(both, 0, 0).view(kvHeads, headDim, PAGE_POSITIONS),
      v: ops.select(both, 0, 1).view(kvHeads, PAGE_POSITIONS, headDim),
    };
  }

  /** One layer's keys and values of the first `length` positions of pages, [G, length, E] each, as copies. */
  gather(layer: number, pages: readonly number[], length: number): { k: Tensor; v: Tensor } {
    const { kvHeads, headDim, device } = this.shape;
    const parts: Tensor[] = [];
    // Runs of pages of one slab, each one look-up.
    for (let start = 0; start < pages.length; ) {
      const slab = this.#slab(element(pages, start, "page"));
      let end = start;
      while (end < pages.length && this.#slab(element(pages, end, "page")) === slab) end++;
      const places = Int32Array.from(pages.slice(start, end), (page) => page % SLAB_STRIDE);
      parts.push(ops.select(slab, 0, layer).indexSelect(1, tensor(places, { dtype: "int64", device })));
      start = end;
    }
    const [first] = parts;
    const all = parts.length === 1 && first !== undefined ? first : ops.cat(parts, 1);
    const cut = (x: Tensor): Tensor => x.reshape(kvHeads, -1, headDim).narrow(1, 0, length);
    const shape = [pages.length, kvHeads] as const;
    return {
      k: cut(ops.permute(ops.select(all, 0, 0).reshape(...shape, headDim, PAGE_POSITIONS), [1, 0, 3, 2])),
      v: cut(ops.permute(ops.select(all, 0, 1).reshape(...shape, PAGE_POSITIONS, headDim), [1, 0, 2, 3])),
    };
  }

  /** Frees the memory; whoever holds pages must not use them any more. */
  dispose(): void {
    for (const slab of this.slabs) slab.dispose();
    this.slabs.length = 0;
    this.#sizes.length = 0;
    this.#free.length = 0;
    this.#holders.clear();
  }
}
