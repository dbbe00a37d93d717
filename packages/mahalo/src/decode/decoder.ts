/** The rows that decode together: prompts in, hidden states out, with a key-value cache or, slowly, without. */
import { MahaloError, noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import { packedAttention } from "../model/attention.ts";
import type { Tokens } from "../model/backbone.ts";
import type { LanguageModel } from "../model/load.ts";
import { prefillAttention, promptBatch, type Span, stepAttention } from "./cached-attention.ts";
import { KvCache } from "./kv-cache.ts";

// Shapes: R rows, N rows of one call, D hidden.

/** New tokens of one row. */
export type Extension = { row: number; ids: readonly number[] };

/**
 * Rows of tokens that a model goes on from. Rows are numbered from 0 without gaps.
 *
 * Hidden states are those after the backbone's last norm, ready for a head; calls run without gradients, and their
 * result belongs to the caller's scope.
 */
export type Decoder = {
  readonly rows: number;
  /** The tokens a row holds, in order. */
  ids(row: number): readonly number[];
  /** Adds an empty row and gives its number. */
  addRow(): number;
  /** Appends tokens (at least one a row) to rows, and gives the hidden state behind the last of each: [N, D]. */
  extend(extensions: readonly Extension[]): Tensor;
  /** Appends one token to every row, and gives the hidden state behind each: [R, D]. */
  step(tokens: readonly number[]): Tensor;
  /** Forgets a row's tokens from position `length` on. */
  rollback(row: number, length: number): void;
  /** Makes row `to` hold the first `length` tokens of row `from` and nothing else, without reading them again. */
  copy(from: number, to: number, length: number): void;
  /** Drops a row; the last row takes its number. */
  removeRow(row: number): void;
  /** Bytes of the cache. */
  readonly bytes: number;
  dispose(): void;
};

const tokensOf = (ids: ArrayLike<number>, positions: ArrayLike<number>, device: string): Tokens => {
  const list = Int32Array.from(positions);
  return {
    ids_T: tensor(Int32Array.from(ids), { dtype: "int64", device }),
    positions_T: tensor(list, { dtype: "int64", device }),
    lastPosition: list.reduce((last, position) => Math.max(last, position), 0),
  };
};

const deviceOf = (model: LanguageModel): string => model.backbone.weights.embedding.value.device;

const checkIds = (ids: readonly number[], vocabSize: number): void => {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong === undefined) return;
  throw new MahaloError("E_TOKEN_ID", `token id ${wrong} is not one of the model's ${vocabSize}`);
};

const need = (ids: number[] | undefined, row: number): number[] => {
  if (ids !== undefined) return ids;
  throw new MahaloError("E_DECODE_ROW", `there is no row ${row}`, { exitStatus: 1 });
};

const removeAt = <T>(list: T[], index: number): void => {
  const last = list.pop();
  if (last !== undefined && index < list.length) list[index] = last;
};

/** Decodes with a key-value cache: every token passes through the model once. */
export const cachedDecoder = (model: LanguageModel): Decoder => {
  const { backbone, config } = model;
  const device = deviceOf(model);
  const cache = KvCache.for(config, backbone.compute, device);
  const held: number[][] = [];
  const forward = <T>(body: () => T): T => noGrad(() => scope(body));
  return {
    get rows() {
      return held.length;
    },
    get bytes() {
      return cache.bytes;
    },
    ids: (row) => need(held[row], row),
    addRow() {
      held.push([]);
      return cache.addRow();
    },
    extend(extensions) {
      for (const { ids } of extensions) checkIds(ids, config.vocabSize);
      return forward(() => {
        const longest = extensions.map(({ row, ids }) => cache.length(row) + ids.length);
        cache.reserve(cache.rows, Math.max(...longest));
        const batch = promptBatch(extensions.map(({ ids }) => ids));
        const spans: Span[] = extensions.map(({ row, ids }, index) => {
          return { row, start: batch.rows[index]?.start ?? 0, length: ids.length };
        });
        const positions = extensions.flatMap(({ row, ids }) =>
          ids.map((_, index) => cache.length(row) + index),
        );
        const hidden_TD = backbone.forward(
          tokensOf(batch.ids, positions, device),
          prefillAttention(cache, spans, batch),
        );
        for (const { row, ids } of extensions) {
          cache.advance(row, ids.length);
          for (const id of ids) need(held[row], row).push(id);
        }
        const ends = Int32Array.from(spans, ({ start, length }) => start + length - 1);
        return hidden_TD.indexSelect(0, tensor(ends, { dtype: "int64", device }));
      });
    },
    step(tokens) {
      if (tokens.length !== held.length) {
        throw new MahaloError("E_DECODE_ROW", `a step of ${tokens.length} tokens for ${held.length} rows`, {
          exitStatus: 1,
        });
      }
      checkIds(tokens, config.vocabSize);
      return forward(() => {
        const positions = held.map(({ length }) => length);
        const plan = cache.planStep();
        const hidden_RD = backbone.forward(tokensOf(tokens, positions, device), stepAttention(cache, plan));
        for (const [row, token] of tokens.entries()) {
          cache.advance(row, 1);
          held[row]?.push(token);
        }
        return hidden_RD;
      });
    },
    rollback(row, length) {
      cache.rollback(row, length);
      need(held[row], row).length = length;
    },
    copy(from, to, length) {
      cache.copy(from, to, length);
      held[to] = need(held[from], from).slice(0, length);
    },
    removeRow(row) {
      cache.removeRow(row);
      removeAt(held, row);
    },
    dispose() {
      cache.dispose();
      held.length = 0;
    },
  };
};

/** Decodes without a cache: every call computes whole rows anew. Slow; the yardstick of the cached decoder's tests. */
export const uncachedDecoder = (model: LanguageModel): Decoder => {
  const { backbone, config } = model;
  const device = deviceOf(model);
  const held: number[][] = [];
  const hiddenOf = (rows: readonly number[]): Tensor =>
    noGrad(() =>
      scope(() => {
        const batch = promptBatch(rows.map((row) => need(held[row], row)));
        const hidden_TD = backbone.forward(
          tokensOf(batch.ids, batch.positions, device),
          packedAttention(batch),
        );
        const ends = Int32Array.from(batch.rows, ({ start, prompt }) => start + prompt - 1);
        return hidden_TD.indexSelect(0, tensor(ends, { dtype: "int64", device }));
      }),
    );
  return {
    get rows() {
      return held.length;
    },
    bytes: 0,
    ids: (row) => need(held[row], row),
    addRow: () => held.push([]) - 1,
    extend(extensions) {
      for (const { row, ids } of extensions) {
        checkIds(ids, config.vocabSize);
        need(held[row], row).push(...ids);
      }
      return hiddenOf(extensions.map(({ row }) => row));
    },
    step(tokens) {
      checkIds(tokens, config.vocabSize);
      for (const [row, token] of tokens.entries()) need(held[row], row).push(token);
      return hiddenOf(held.map((_, row) => row));
    },
    rollback(row, length) {
      need(held[row], row).length = length;
    },
    copy(from, to, length) {
      held[to] = need(held[from], from).slice(0, length);
    },
    removeRow: (row) => removeAt(held, row),
    dispose() {
      held.length = 0;
    },
  };
};
