/** The rows that decode together: prompts in, hidden states out, with a key-value cache or, slowly, without. */
import { MahaloError, noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import { zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import { type CachedAttentionOptions, cachedPass, promptBatch } from "./kv/cached-attention.ts";
import { KvCache, type KvCacheOptions, type KvRow, pagesOf } from "./kv/kv-cache.ts";
import { defaultMaxBytes, PAGE_POSITIONS } from "./kv/kv-pages.ts";
import { commonLength, longestHeld, PrefixCache } from "./kv/prefix-cache.ts";

// Shapes: R rows, N rows of one call, D hidden.

/** New tokens of one row, and the normalised mix of the objectives' adapters that reads them; default: adapters off. */
export type Extension = { row: number; ids: readonly number[]; mix?: Mix | undefined };

/** A row that may be added: how long it is to get, and the tokens that it would begin with as far as rows hold them. */
export type NewRow = { length: number; ids: readonly number[]; mix?: Mix | undefined };

/**
 * Rows of tokens that a model goes on from. Rows are numbered from 0 without gaps.
 *
 * Hidden states are those after the backbone's last norm, ready for a head; calls run without gradients, and their
 * result belongs to the caller's scope. Every call that needs memory throws E_KV_MEMORY before it changes anything
 * where the bound does not allow it.
 */
export type Decoder = {
  readonly rows: number;
  /** The tokens a row holds, in order. */
  ids(row: number): readonly number[];
  /** Adds an empty row and gives its number. */
  addRow(): number;
  /** Appends tokens (at least one a row) to rows, and gives the hidden state behind the last of each: [N, D]. */
  extend(extensions: readonly Extension[]): Tensor;
  /** Appends one token to every row, or to the given ones, and gives the hidden state behind each: [R, D]. Mixes as in {@link Extension}. */
  step(tokens: readonly number[], rows?: readonly number[], mixes?: readonly (Mix | undefined)[]): Tensor;
  /**
   * A new row that holds the first `length` tokens of another (default all), without reading or copying them: both
   * share the memory of what they have in common, but for at most a page.
   */
  fork(row: number, length?: number): number;
  /** Drops a row; the last row takes its number. */
  removeRow(row: number): void;
  /** As {@link removeRow}, but what the row holds may be found by {@link matchPrefix} and {@link addPrefixRow} as long as it fits. */
  insertPrefix(row: number): void;
  /** How many of the first tokens some row, cached prefixes included, holds already as the mix reads them; never all of them. */
  matchPrefix(ids: readonly number[], mix?: Mix): number;
  /** Adds a row that holds the first tokens that {@link matchPrefix} finds; never all of them. */
  addPrefixRow(ids: readonly number[], mix?: Mix): number;
  /** Whether rows fit in the memory bound if they grow to these lengths, whatever they share. */
  fits(lengths: readonly number[]): boolean;
  /**
   * Whether row r has room to grow by `growth[r]` tokens, each of the rows there are, beside new rows, as things stand:
   * what rows share counts once, and cached prefixes not at all, since they go where memory runs short.
   */
  hasRoom(growth: readonly number[], added?: readonly NewRow[]): boolean;
  /** Bytes that rows of these lengths need if they share nothing. */
  bytesFor(lengths: readonly number[]): number;
  /** Bound on the bytes of the cache; infinite where there is none. */
  readonly maxBytes: number;
  /** Bytes of the cache, used or not. */
  readonly bytes: number;
  /** Bytes that rows hold, cached prefixes included; what several hold counts once. */
  readonly usedBytes: number;
  dispose(): void;
};

/** Options of {@link cachedDecoder}. */
export type DecoderOptions = KvCacheOptions &
  CachedAttentionOptions & {
    /** Most bytes of cached prefixes. Default 256 MiB, or half of `maxBytes` where that is less. */
    maxCachedPrefixBytes?: number | undefined;
  };

/** Most bytes of cached prefixes, where nothing else is said. */
const CACHED_PREFIX_BYTES = 2 ** 28;

const deviceOf = (model: LanguageModel): string => model.backbone.weights.embedding.value.device;

const checkIds = (ids: readonly number[], vocabSize: number): void => {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong === undefined) return;
  throw new MahaloError("E_TOKEN_ID", `token id ${wrong} is not one of the model's ${vocabSize}`);
};

/** A row's tokens and their keys and values; `key` names the mix that read them, undefined while it holds none. */
type HeldRow = { ids: number[]; row: KvRow; key: string | undefined };

/** Key of a row whose tokens were read under several mixes. */
const mixedKey = "mixed";

/** A step has a token for each of its rows. */
const checkStep = (tokens: readonly number[], rows: readonly number[]): void => {
  if (tokens.length === rows.length) return;
  throw new MahaloError("E_DECODE_ROW", `a step of ${tokens.length} tokens for ${rows.length} rows`, {
    exitStatus: 1,
  });
};

const need = <T>(row: T | undefined, index: number): T => {
  if (row !== undefined) return row;
  throw new MahaloError("E_DECODE_ROW", `there is no row ${index}`, { exitStatus: 1 });
};

/** Takes one out of a list; the last one takes its place. */
const removeAt = <T>(list: T[], index: number): T => {
  const gone = need(list[index], index);
  const last = list.pop();
  if (last !== undefined && index < list.length) list[index] = last;
  return gone;
};

/** Decodes with a key-value cache: every token passes through the model once. */
export const cachedDecoder = (model: LanguageModel, options: DecoderOptions = {}): Decoder => {
  const { backbone, config } = model;
  const device = deviceOf(model);
  const { maxBytes = defaultMaxBytes(device), fused } = options;
  const cache = KvCache.for(config, backbone.compute, device, { maxBytes });
  const prefixes = new PrefixCache(
    cache,
    options.maxCachedPrefixBytes ?? Math.min(CACHED_PREFIX_BYTES, maxBytes / 2),
  );
  const held: HeldRow[] = [];
  const rowOf = (row: number): HeldRow => need(held[row], row);
  const add = (ids: number[], row: KvRow, key?: string): number => held.push({ ids, row, key }) - 1;
  // Without adapters keys and values are the same under every mix.
  const keyOf = (mix: Mix | undefined): string =>
    backbone.adapters === undefined || mix === undefined ? "" : JSON.stringify(mix);
  /** The longest beginning of tokens that a row holds, live or parked; the last token is always read. */
  const longest = (ids: readonly number[], key: string): { row: KvRow; length: number } | undefined => {
    const before = ids.slice(0, -1);
    const [live, kept] = [longestHeld(before, held, key), prefixes.match(before, key)];
    const best = (live?.length ?? 0) >= (kept?.length ?? 0) ? live : kept;
    return best && { row: best.held.row, length: best.length };
  };
  /** Pages of live rows that a new row would begin with. */
  const sharedPages = ({ ids, mix }: NewRow, live: ReadonlySet<number>): number => {
    const from = longest(ids, keyOf(mix));
    if (from === undefined) return 0;
    return from.row.pages.slice(0, Math.floor(from.length / PAGE_POSITIONS)).filter((page) => live.has(page))
      .length;
  };
  const read = (extensions: readonly Extension[]): Tensor =>
    noGrad(() =>
      scope(() => {
        const resolved = extensions.map(({ row, ids, mix }) => ({ row: rowOf(row).row, ids, mix }));
        const { hidden_TD, starts } = cachedPass(backbone, cache, resolved, { fused });
        for (const { row, ids, mix } of extensions) {
          const of = rowOf(row);
          const key = keyOf(mix);
          for (const id of ids) of.ids.push(id);
          // Tokens of several mixes are nobody else's beginning.
          of.key = (of.key ?? key) === key ? key : mixedKey;
        }
        const ends = zip(starts, extensions).map(([start, { ids }]) => start + ids.length - 1);
        // A step's ends are its rows, in order.
        if (ends.length === hidden_TD.size(0) && ends.every((end, index) => end === index)) return hidden_TD;
        return hidden_TD.indexSelect(0, tensor(Int32Array.from(ends), { dtype: "int64", device }));
      }),
    );
  return {
    maxBytes,
    get rows() {
      return held.length;
    },
    get bytes() {
      return cache.bytes;
    },
    get usedBytes() {
      return cache.usedBytes;
    },
    ids: (row) => rowOf(row).ids,
    addRow: () => add([], cache.open()),
    extend(extensions) {
      for (const { ids } of extensions) checkIds(ids, config.vocabSize);
      return read(extensions);
    },
    step(tokens, rows = [...held.keys()], mixes) {
      checkStep(tokens, rows);
      checkIds(tokens, config.vocabSize);
      return read(
        zip(rows, tokens).map(([row, token], index) => ({ row, ids: [token], mix: mixes?.[index] })),
      );
    },
    fork: (row, length = rowOf(row).ids.length) =>
      add(rowOf(row).ids.slice(0, length), cache.fork(rowOf(row).row, length), rowOf(row).key),
    removeRow: (row) => cache.free(removeAt(held, row).row),
    insertPrefix(row) {
      const gone = removeAt(held, row);
      if (gone.ids.length === 0 || gone.key === mixedKey) cache.free(gone.row);
      else prefixes.insert(gone);
    },
    matchPrefix: (ids, mix) => longest(ids, keyOf(mix))?.length ?? 0,
    addPrefixRow(ids, mix) {
      const from = longest(ids, keyOf(mix));
      return from === undefined
        ? add([], cache.open())
        : add(ids.slice(0, from.length), cache.fork(from.row, from.length), keyOf(mix));
    },
    fits: (lengths) => lengths.reduce((sum, length) => sum + pagesOf(length), 0) <= cache.pages.maxPages,
    hasRoom(growth, added = []) {
      const rows = zip(held, growth).map(([{ row }, length]) => ({ row, length }));
      const alone = added.reduce((sum, { length }) => sum + pagesOf(length), 0);
      if (cache.hasRoom(rows, alone)) return true;
      if (added.length === 0) return false;
      const live = new Set(held.flatMap(({ row }) => row.pages));
      const shared = added.reduce((sum, row) => sum + sharedPages(row, live), 0);
      return cache.hasRoom(rows, alone - shared);
    },
    bytesFor: (lengths) => lengths.reduce((sum, length) => sum + pagesOf(length), 0) * cache.pages.pageBytes,
    dispose() {
      held.length = 0;
      prefixes.clear();
      cache.dispose();
    },
  };
};

/** Decodes without a cache: every call computes whole rows anew. Slow; the yardstick of the cached decoder's tests. */
export const uncachedDecoder = (model: LanguageModel): Decoder => {
  const { backbone, config } = model;
  const device = deviceOf(model);
  const held: { ids: number[]; mixes: (Mix | undefined)[] }[] = [];
  const rowOf = (row: number): { ids: number[]; mixes: (Mix | undefined)[] } => need(held[row], row);
  const idsOf = (row: number): number[] => rowOf(row).ids;
  const add = (ids: readonly number[], mixes: readonly (Mix | undefined)[]): number =>
    held.push({ ids: [...ids], mixes: [...mixes] }) - 1;
  const push = (row: number, ids: readonly number[], mix: Mix | undefined): void => {
    rowOf(row).ids.push(...ids);
    rowOf(row).mixes.push(...ids.map(() => mix));
  };
  const longest = (ids: readonly number[]): number =>
    Math.max(0, ...held.map((other) => commonLength(ids.slice(0, -1), other.ids)));
  const hiddenOf = (rows: readonly number[]): Tensor =>
    noGrad(() =>
      scope(() => {
        const batch = promptBatch(rows.map(idsOf));
        const tokens = {
          ids_T: tensor(batch.ids, { dtype: "int64", device }),
          positions_T: tensor(batch.positions, { dtype: "int64", device }),
          lastPosition: batch.positions.reduce((last, position) => Math.max(last, position), 0),
          gains_TS: backbone.adapters?.gains(
            rows.flatMap((row) => rowOf(row).mixes.map((mix) => ({ length: 1, mix }))),
            device,
          ),
        };
        const hidden_TD = backbone.forward(tokens, packedAttention(batch));
        const ends = Int32Array.from(batch.rows, ({ start, prompt }) => start + prompt - 1);
        return hidden_TD.indexSelect(0, tensor(ends, { dtype: "int64", device }));
      }),
    );
  return {
    get rows() {
      return held.length;
    },
    maxBytes: Number.POSITIVE_INFINITY,
    bytes: 0,
    usedBytes: 0,
    ids: idsOf,
    addRow: () => add([], []),
    extend(extensions) {
      for (const { row, ids, mix } of extensions) {
        checkIds(ids, config.vocabSize);
        push(row, ids, mix);
      }
      return hiddenOf(extensions.map(({ row }) => row));
    },
    step(tokens, rows = [...held.keys()], mixes) {
      checkStep(tokens, rows);
      checkIds(tokens, config.vocabSize);
      for (const [index, [row, token]] of zip(rows, tokens).entries()) push(row, [token], mixes?.[index]);
      return hiddenOf(rows);
    },
    fork: (row, length = idsOf(row).length) =>
      add(idsOf(row).slice(0, length), rowOf(row).mixes.slice(0, length)),
    removeRow(row) {
      removeAt(held, row);
    },
    insertPrefix(row) {
      removeAt(held, row);
    },
    matchPrefix: longest,
    addPrefixRow(ids, mix) {
      const known = ids.slice(0, longest(ids));
      return add(
        known,
        known.map(() => mix),
      );
    },
    fits: () => true,
    hasRoom: () => true,
    bytesFor: () => 0,
    dispose() {
      held.length = 0;
    },
  };
};
