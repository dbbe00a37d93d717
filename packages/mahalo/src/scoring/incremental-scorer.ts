/** Scores while a response grows: rows with a key-value cache, in which every token is read once. */
import { MahaloError, noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import { cachedPass, type KvExtension, promptBatch } from "../decode/kv/cached-attention.ts";
import { KvCache, type KvRow } from "../decode/kv/kv-cache.ts";
import { defaultMaxBytes } from "../decode/kv/kv-pages.ts";
import type { RewardHead } from "../model/reward/reward-heads.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { packedAttention } from "../model/transformer/attention.ts";

// Shapes: T tokens of a pass, N positions that are scored, D hidden.

/** A score for each objective that a scorer reads. */
export type ObjectiveScores = Readonly<Record<string, number>>;

/** New tokens of one row, and where among them steps end. */
export type ScoreExtension = {
  row: number;
  /** At least one. */
  ids: readonly number[];
  /** Indices in `ids` behind the last token of each step to score. Default: the end of `ids`. */
  ends?: readonly number[] | undefined;
};

/**
 * Rows of tokens whose steps are scored as they come. Rows are numbered from 0 without gaps; a row begins with the prompt.
 *
 * For guided decoding: forks of a row, each extended by a candidate for its next step, are scored in one pass over the
 * candidates' tokens alone; the fork that is kept has read its candidate already.
 */
export type IncrementalScorer = {
  readonly rows: number;
  /** The tokens a row holds, in order. */
  ids(row: number): readonly number[];
  /** Adds an empty row and gives its number. */
  addRow(): number;
  /** Appends tokens to rows; for each extension the scores at its step ends. */
  extend(extensions: readonly ScoreExtension[]): ObjectiveScores[][];
  /** A new row that holds the first `length` tokens of another (default all), without reading them again. */
  fork(row: number, length?: number): number;
  /** Drops a row; the last row takes its number. */
  removeRow(row: number): void;
  /** Bytes of the cache, used or not. */
  readonly bytes: number;
  /** Bytes that rows hold; what several hold counts once. */
  readonly usedBytes: number;
  dispose(): void;
};

/** Options of {@link incrementalScorer}. */
export type IncrementalScorerOptions = {
  /** What to score; several objectives of one model share its pass. Default: the only one there is. */
  objectives?: readonly string[] | undefined;
  /** Keep keys and values (default). False reads whole rows anew each time: slow, the yardstick of the tests. */
  cached?: boolean | undefined;
  /** Bound on the bytes of keys and values; what does not fit is refused with E_KV_MEMORY. Default: half of what is available. */
  maxBytes?: number | undefined;
};

type Named = { objective: string; head: RewardHead };

/** Scores of hidden states [N, D] under several heads. */
const scoresOf = (hidden_ND: Tensor, heads: readonly Named[]): ObjectiveScores[] => {
  const columns = heads.map(({ objective, head }) => {
    return { objective, scores: head.scores(head.apply(hidden_ND).toFloat32Array()) };
  });
  return Array.from({ length: hidden_ND.size(0) }, (_, index) =>
    Object.fromEntries(columns.map(({ objective, scores }) => [objective, element(scores, index)])),
  );
};

const wrongRow = (row: number): MahaloError =>
  new MahaloError("E_SCORER_ROW", `there is no row ${row}`, { exitStatus: 1 });

const checkTokens = (ids: readonly number[], vocabSize: number): void => {
  const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw new MahaloError("E_TOKEN_ID", `token id ${wrong} is not one of the model's ${vocabSize}`);
  if (ids.length === 0)
    throw new MahaloError("E_SCORE_TOKENS", "nothing to score: no token", { exitStatus: 1 });
};

/** What a row holds. */
type Held = { ids: number[]; kv: KvRow };

/**
 * An incremental scorer of a reward model.
 *
 * Scores are those that `scoreSteps` gives for the same tokens, up to rounding.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE
 *
 * @example
 * const scorer = incrementalScorer(model);
 * const row = scorer.addRow();
 * scorer.extend([{ row, ids: prompt }]);
 * const forks = candidates.map((ids) => ({ row: scorer.fork(row), ids }));
 * const scores = scorer.extend(forks);
 */
export const incrementalScorer = (
  { backbone, config, rewards }: Pick<RewardModel, "backbone" | "config" | "rewards">,
  { objectives, cached = true, maxBytes }: IncrementalScorerOptions = {},
): IncrementalScorer => {
  const heads: Named[] =
    objectives === undefined
      ? [rewards.get()].map((head) => ({ objective: head.name, head }))
      : objectives.map((objective) => ({ objective, head: rewards.get(objective) }));
  const { device } = backbone.weights.embedding.value;
  const cache = KvCache.for(config, backbone.compute, device, {
    maxBytes: maxBytes ?? defaultMaxBytes(device),
  });
  const held: Held[] = [];
  const rowOf = (row: number): Held => {
    const found = held[row];
    if (found === undefined) throw wrongRow(row);
    return found;
  };
  const idsOf = (row: number): number[] => rowOf(row).ids;
  const rowsAt = (hidden_TD: Tensor, offsets: readonly number[]): Tensor =>
    hidden_TD.indexSelect(0, tensor(Int32Array.from(offsets), { dtype: "int64", device }));
  /** Scores of whole rows at their ends, from their first tokens, without the cache. */
  const whole = (rows: readonly (readonly number[])[], ends: readonly (readonly number[])[]) =>
    noGrad(() =>
      scope(() => {
        const batch = promptBatch(rows);
        const int64 = (list: Int32Array): Tensor => tensor(list, { dtype: "int64", device });
        const lastPosition = batch.positions.reduce((last, position) => Math.max(last, position), 0);
        const tokens = { ids_T: int64(batch.ids), positions_T: int64(batch.positions), lastPosition };
        const hidden_TD = backbone.forward(tokens, packedAttention(batch));
        const offsets = zip(ends, batch.rows).flatMap(([rowEnds, { start }]) =>
          rowEnds.map((end) => start + end - 1),
        );
        return scoresOf(rowsAt(hidden_TD, offsets), heads);
      }),
    );
  /** Scores at the ends of new tokens, which the rows hold afterwards. */
  const extendCached = (extensions: readonly KvExtension[], ends: readonly (readonly number[])[]) =>
    noGrad(() =>
      scope(() => {
        const { hidden_TD, starts } = cachedPass(backbone, cache, extensions);
        const offsets = zip(ends, starts).flatMap(([rowEnds, start]) =>
          rowEnds.map((end) => start + end - 1),
        );
        return scoresOf(rowsAt(hidden_TD, offsets), heads);
      }),
    );
  return {
    get rows() {
      return held.length;
    },
    get bytes() {
      return cache.bytes;
    },
    get usedBytes() {
      return cache.usedBytes;
    },
    ids: idsOf,
    addRow() {
      return held.push({ ids: [], kv: cache.open() }) - 1;
    },
    extend(extensions) {
      if (extensions.length === 0) return [];
      const rows = new Set(extensions.map(({ row }) => row));
      if (rows.size < extensions.length)
        throw new MahaloError("E_SCORER_ROW", "a row is extended twice", { exitStatus: 1 });
      const ends = extensions.map(({ row, ids, ends: given }) => {
        idsOf(row);
        checkTokens(ids, config.vocabSize);
        return given ?? [ids.length];
      });
      const before = extensions.map(({ row }) => idsOf(row).length);
      const flat = cached
        ? extendCached(
            extensions.map(({ row, ids }) => ({ row: rowOf(row).kv, ids })),
            ends,
          )
        : whole(
            extensions.map(({ row, ids }) => [...idsOf(row), ...ids]),
            zip(ends, before).map(([rowEnds, length]) => rowEnds.map((end) => length + end)),
          );
      for (const { row, ids } of extensions) idsOf(row).push(...ids);
      let offset = 0;
      return ends.map(({ length }) => {
        offset += length;
        return flat.slice(offset - length, offset);
      });
    },
    fork(row, length = idsOf(row).length) {
      const { ids, kv } = rowOf(row);
      const fork = cached ? cache.fork(kv, length) : cache.open();
      return held.push({ ids: ids.slice(0, length), kv: fork }) - 1;
    },
    removeRow(row) {
      cache.free(rowOf(row).kv);
      const last = held.pop();
      if (last !== undefined && row < held.length) held[row] = last;
    },
    dispose() {
      cache.dispose();
      held.length = 0;
    },
  };
};
