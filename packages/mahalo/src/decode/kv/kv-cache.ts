/** Keys and values of rows of tokens, in pages that rows share until one of them writes. */
import { MahaloError, ops, type Tensor, tensor } from "@mahalo/torch";
import { lookUp } from "../../core/need.ts";
import type { ModelConfig } from "../../model/folder/model-config.ts";
import type { ComputeDType } from "../../model/transformer/parameters.ts";
import { KvPages, type KvShape, PAGE_POSITIONS } from "./kv-pages.ts";

// Shapes: G key-value heads, E head width, T tokens of a pass.

/** What a row holds: its pages in order, and how many positions of them count. */
export type KvRow = { readonly pages: number[]; length: number };

/** The next tokens of one row: `length` tokens from offset `start` of the pass. */
export type KvSpan = { row: KvRow; start: number; length: number };

/** Options of a cache. */
export type KvCacheOptions = {
  /** Bound on the memory of all rows in bytes; what does not fit is refused with E_KV_MEMORY. Default: none; decoders and scorers take half of the available memory. */
  maxBytes?: number | undefined;
};

const wrong = (message: string): MahaloError => new MahaloError("E_KV_CACHE", message, { exitStatus: 1 });

/** Pages that so many positions take. */
export const pagesOf = (positions: number): number => Math.ceil(positions / PAGE_POSITIONS);

/**
 * The key-value cache of rows that decode together.
 *
 * A fork holds its prefix's pages together with the row it comes from. Whoever writes first into a page that others hold,
 * too, gets a copy of this one page, so a fork costs at most a page, however long its prefix is.
 */
export class KvCache {
  readonly pages: KvPages;
  readonly #rows = new Set<KvRow>();

  constructor(shape: KvShape, { maxBytes }: KvCacheOptions = {}) {
    this.pages = new KvPages(shape, maxBytes);
  }

  /** A cache that fits a model. */
  static for(
    config: ModelConfig,
    dtype: ComputeDType,
    device = "cpu",
    options: KvCacheOptions = {},
  ): KvCache {
    const { layers, kvHeads, headDim } = config;
    return new KvCache({ layers, kvHeads, headDim, dtype, device }, options);
  }

  get shape(): KvShape {
    return this.pages.shape;
  }

  /** Number of rows in use. */
  get rows(): number {
    return this.#rows.size;
  }

  /** Bytes of memory taken from the system, used or not. */
  get bytes(): number {
    return this.pages.bytes;
  }

  /** Bytes of the pages that rows hold; what several hold counts once. */
  get usedBytes(): number {
    return this.pages.usedBytes;
  }

  /** A new empty row. */
  open(): KvRow {
    const row: KvRow = { pages: [], length: 0 };
    this.#rows.add(row);
    return row;
  }

  #check(row: KvRow): void {
    if (!this.#rows.has(row)) throw wrong("a row that has been freed, or is another cache's");
  }

  /** A new row of the first `length` tokens of another (default all), which both hold. @throws MahaloError E_KV_CACHE */
  fork(from: KvRow, length: number = from.length): KvRow {
    this.#check(from);
    if (!(Number.isInteger(length) && length >= 0 && length <= from.length))
      throw wrong(`cannot fork ${length} tokens of a row of ${from.length}`);
    const row: KvRow = { pages: from.pages.slice(0, pagesOf(length)), length };
    this.pages.share(row.pages);
    this.#rows.add(row);
    return row;
  }

  /** Lets go of a row; what nobody else holds of it is free. */
  free(row: KvRow): void {
    this.#check(row);
    this.pages.release(row.pages.splice(0));
    row.length = 0;
    this.#rows.delete(row);
  }

  /**
   * Makes room for the next tokens of rows, each given once, in pages of their own.
   *
   * @throws MahaloError E_KV_MEMORY where it does not fit; rows are then what they were
   */
  prepare(extensions: readonly { row: KvRow; length: number }[]): void {
    // Letting kept rows go may leave pages to one holder, so what is needed is counted again.
    this.pages.relieve(this.#needed(extensions));
    this.pages.ensure(this.#needed(extensions));
    for (const { row, length } of extensions) {
      if (length === 0) continue;
      const page = this.#open(row);
      if (page !== undefined && this.pages.shared(page)) {
        row.pages[Math.floor(row.length / PAGE_POSITIONS)] = this.pages.copy(page);
      }
      while (row.pages.length < pagesOf(row.length + length)) row.pages.push(this.pages.take());
    }
  }

  /**
   * Whether rows have room to grow by so many tokens each, beside `fresh` pages more, once all other rows are let go.
   *
   * {@link prepare} finds that room if the other rows are such as go when pages run short.
   */
  hasRoom(growth: readonly { row: KvRow; length: number }[], fresh = 0): boolean {
    if (this.#needed(growth) + fresh <= this.pages.available) return true;
    const holders = new Map<number, number>();
    for (const { row } of growth)
      for (const page of row.pages) holders.set(page, (holders.get(page) ?? 0) + 1);
    const needed = this.#needed(growth, (page) => lookUp(holders, page, "the holders of page"));
    return holders.size + needed + fresh <= this.pages.maxPages;
  }

  /** Pages that the next tokens of rows need: those behind the ones they have, and copies of those that others hold. */
  #needed(
    extensions: readonly { row: KvRow; length: number }[],
    holdersOf: (page: number) => number = (page) => this.pages.holders(page),
  ): number {
    // Of those that hold a page together, all but the last to write need a copy.
    const writers = new Map<number, number>();
    let need = 0;
    for (const { row, length } of extensions) {
      this.#check(row);
      need += Math.max(0, pagesOf(row.length + length) - row.pages.length);
      const page = this.#open(row);
      if (page === undefined || length === 0) continue;
      const before = writers.get(page) ?? 0;
      if (holdersOf(page) - before > 1) need += 1;
      writers.set(page, before + 1);
    }
    return need;
  }

  /** The page that a row's next token goes to, if it holds positions already. */
  #open({ pages, length }: KvRow): number | undefined {
    return length % PAGE_POSITIONS === 0 ? undefined : pages[Math.floor(length / PAGE_POSITIONS)];
  }

  /**
   * What the native kernels need to know of a pass, as one int32 list: for each row where its tokens begin, how many
   * they are, how many it holds, and where its page table begins in the list; then the tables. The native side reads
   * the number of rows from the first table's place.
   */
  plan(spans: readonly KvSpan[]): Tensor {
    const tables = spans.reduce((sum, { row }) => sum + row.pages.length, 0);
    const flat = new Int32Array(spans.length * 4 + tables);
    let offset = spans.length * 4;
    for (const [index, { row, start, length }] of spans.entries()) {
      flat.set([start, length, row.length, offset], index * 4);
      flat.set(row.pages, offset);
      offset += row.pages.length;
    }
    return tensor(flat);
  }

  /**
   * Writes one layer's keys and values of a row's next tokens, k_TGE and v_TGE, behind what it holds; they count once
   * {@link advance} is called after the last layer. Room must have been prepared.
   */
  write(layer: number, row: KvRow, k_TGE: Tensor, v_TGE: Tensor): void {
    const tokens = k_TGE.size(0);
    for (let token = 0; token < tokens; ) {
      const position = row.length + token;
      const place = position % PAGE_POSITIONS;
      const count = Math.min(tokens - token, PAGE_POSITIONS - place);
      const page = row.pages[Math.floor(position / PAGE_POSITIONS)];
      if (page === undefined) throw wrong(`no room for position ${position}`);
      const { k, v } = this.pages.views(layer, page);
      ops.copy_(k.narrow(2, place, count), ops.permute(k_TGE.narrow(0, token, count), [1, 2, 0]));
      ops.copy_(v.narrow(1, place, count), v_TGE.narrow(0, token, count).transpose(0, 1));
      token += count;
    }
  }

  /** One layer's keys and values of the first `length` positions of a row, [1, G, length, E], as copies. */
  read(layer: number, { pages }: KvRow, length: number): { k: Tensor; v: Tensor } {
    const { k, v } = this.pages.gather(layer, pages.slice(0, pagesOf(length)), length);
    return { k: k.unsqueeze(0), v: v.unsqueeze(0) };
  }

  /** Counts `tokens` more of a row as held. */
  advance(row: KvRow, tokens: number): void {
    this.#check(row);
    row.length += tokens;
  }

  /** Frees the memory. */
  dispose(): void {
    for (const row of this.#rows) {
      row.pages.length = 0;
      row.length = 0;
    }
    this.#rows.clear();
    this.pages.dispose();
  }
}
