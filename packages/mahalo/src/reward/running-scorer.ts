/** Scores while a response grows: rows with a key-value cache, in which every token is read once. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { continuationMask, prefillAttention, promptBatch, type Span } from "../decode/cached-attention.ts";
import { KvCache } from "../decode/kv-cache.ts";
import { type Attend, packedAttention } from "../model/attention.ts";
import type { RewardHead } from "../model/reward-heads.ts";
import type { RewardModel } from "../model/reward-model.ts";

// Shapes: T tokens of a pass, N positions that are scored, D hidden, G key-value heads, E head width.

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
 * For guided decoding: {@link tryCandidates} scores several next steps of a row in one pass over their tokens alone, and
 * {@link keepCandidate} makes one of them part of the row without reading it again.
 */
export type RunningScorer = {
  readonly rows: number;
  /** The tokens a row holds, in order. */
  ids(row: number): readonly number[];
  /** Adds an empty row and gives its number. */
  addRow(): number;
  /** Appends tokens to rows; for each extension the scores at its step ends. */
  extend(extensions: readonly ScoreExtension[]): ObjectiveScores[][];
  /**
   * Scores behind the last token of each candidate, as if the row went on with it alone; the row stays as it is.
   *
   * @param candidates each of at least one token; the row has at least one, too
   */
  tryCandidates(row: number, candidates: readonly (readonly number[])[]): ObjectiveScores[];
  /**
   * Appends the candidate of that number to its row: one of those of the last {@link tryCandidates}, after which nothing
   * else has happened.
   *
   * @throws MahaloError E_SCORER_CANDIDATE where there is none
   */
  keepCandidate(index: number): void;
  /** Forgets a row's tokens from position `length` on. */
  rollback(row: number, length: number): void;
  /** A new row that holds the first `length` tokens of another (default all), without reading them again. */
  fork(row: number, length?: number): number;
  /** Drops a row; the last row takes its number. */
  removeRow(row: number): void;
  /** Bytes of the cache. */
  readonly bytes: number;
  dispose(): void;
};

/** Options of {@link runningScorer}. */
export type RunningScorerOptions = {
  /** What to score; several objectives of one model share its pass. Default: the only one there is. */
  objectives?: readonly string[] | undefined;
  /** Keep keys and values (default). False reads whole rows anew each time: slow, the yardstick of the tests. */
  cached?: boolean | undefined;
};

type Named = { objective: string; head: RewardHead };

/** Scores of hidden states [N, D] under several heads. */
const scoresOf = (hidden_ND: Tensor, heads: readonly Named[]): ObjectiveScores[] => {
  const columns = heads.map(({ objective, head }) => {
    return { objective, scores: head.scores(head.apply(hidden_ND).toFloat32Array()) };
  });
  return Array.from({ length: hidden_ND.size(0) }, (_, at) =>
    Object.fromEntries(columns.map(({ objective, scores }) => [objective, scores[at] ?? Number.NaN])),
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

/** Keys and values of one layer's candidates, [T, G, E]. */
type Held = { k: Tensor; v: Tensor };

/**
 * Attention of candidates that all continue one row: each sees the row's tokens and, causally, its own.
 *
 * Each candidate's keys and values are written behind the row's, attended, and overwritten by the next one's, so that the
 * row's are neither copied nor repeated. All are kept in `held` for the one that will stay.
 */
const candidateAttention = (cache: KvCache, spans: readonly Span[], held: Held[]): Attend => {
  const masks = spans.map(({ row, length }) =>
    continuationMask(length, cache.length(row) + length, cache.shape),
  );
  return (layer, q_THE, k_TGE, v_TGE) => {
    held[layer] = { k: keep(k_TGE.clone()), v: keep(v_TGE.clone()) };
    const grouped = q_THE.size(1) !== k_TGE.size(1);
    const outputs = spans.map(({ row, start, length }, index) => {
      cache.write(layer, row, k_TGE.narrow(0, start, length), v_TGE.narrow(0, start, length));
      const { k, v } = cache.read(layer, row, cache.length(row) + length);
      const q = q_THE.narrow(0, start, length).transpose(0, 1).unsqueeze(0);
      const o = ops.scaledDotProductAttention(q, k, v, masks[index] ?? null, 0, false, {
        enableGqa: grouped,
      });
      return o.squeeze(0).transpose(0, 1);
    });
    return ops.cat(outputs, 0);
  };
};

/** Candidates that were tried last: their row, its length then, their tokens, and what was computed of them. */
type Tried = { row: number; length: number; candidates: readonly (readonly number[])[]; held: Held[] };

/**
 * A running scorer of a reward model.
 *
 * Scores are those that `scoreSteps` gives for the same tokens, up to rounding.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE
 *
 * @example
 * const scorer = runningScorer(model);
 * const row = scorer.addRow();
 * scorer.extend([{ row, ids: prompt }]);
 * const scores = scorer.tryCandidates(row, candidates);
 * scorer.keepCandidate(0);
 */
export const runningScorer = (
  { backbone, config, rewards }: Pick<RewardModel, "backbone" | "config" | "rewards">,
  { objectives, cached = true }: RunningScorerOptions = {},
): RunningScorer => {
  const heads: Named[] =
    objectives === undefined
      ? [rewards.get()].map((head) => ({ objective: head.name, head }))
      : objectives.map((objective) => ({ objective, head: rewards.get(objective) }));
  const { device } = backbone.weights.embedding.value;
  const cache = KvCache.for(config, backbone.compute, device);
  const held: number[][] = [];
  let tried: Tried | undefined;
  const idsOf = (row: number): number[] => {
    const ids = held[row];
    if (ids === undefined) throw wrongRow(row);
    return ids;
  };
  const forget = (): void => {
    for (const { k, v } of tried?.held ?? []) for (const one of [k, v]) one.dispose();
    tried = undefined;
  };
  /** Scores at offsets of a pass over pieces of text that lie end to end, each from a position of its own. */
  const pass = (
    pieces: readonly { ids: readonly number[]; from: number }[],
    offsets: readonly number[],
    attend: () => Attend,
  ): ObjectiveScores[] =>
    noGrad(() =>
      scope(() => {
        const ids = Int32Array.from(pieces.flatMap((piece) => piece.ids));
        const positions = Int32Array.from(
          pieces.flatMap((piece) => piece.ids.map((_, at) => piece.from + at)),
        );
        const lastPosition = positions.reduce((last, position) => Math.max(last, position), 0);
        const int64 = (list: Int32Array): Tensor => tensor(list, { dtype: "int64", device });
        const tokens = { ids_T: int64(ids), positions_T: int64(positions), lastPosition };
        const hidden_TD = backbone.forward(tokens, attend());
        return scoresOf(hidden_TD.indexSelect(0, int64(Int32Array.from(offsets))), heads);
      }),
    );
  const startsOf = (lists: readonly (readonly number[])[]): number[] => {
    let start = 0;
    return lists.map(({ length }) => {
      start += length;
      return start - length;
    });
  };
  /** Whole rows from their first tokens, without the cache. */
  const whole = (
    rows: readonly (readonly number[])[],
    ends: readonly (readonly number[])[],
  ): ObjectiveScores[] => {
    const starts = startsOf(rows);
    const offsets = ends.flatMap((own, at) => own.map((end) => (starts[at] ?? 0) + end - 1));
    return pass(
      rows.map((ids) => ({ ids, from: 0 })),
      offsets,
      () => packedAttention(promptBatch(rows)),
    );
  };
  const extendCached = (extensions: readonly ScoreExtension[], ends: readonly (readonly number[])[]) => {
    const longest = extensions.map(({ row, ids }) => cache.length(row) + ids.length);
    cache.reserve(cache.rows, Math.max(...longest));
    const batch = promptBatch(extensions.map(({ ids }) => ids));
    const spans = extensions.map(
      ({ row, ids }, at): Span => ({ row, start: batch.rows[at]?.start ?? 0, length: ids.length }),
    );
    const offsets = ends.flatMap((own, at) => own.map((end) => (spans[at]?.start ?? 0) + end - 1));
    const pieces = extensions.map(({ row, ids }) => ({ ids, from: cache.length(row) }));
    const scores = pass(pieces, offsets, () => prefillAttention(cache, spans, batch));
    for (const { row, ids } of extensions) cache.advance(row, ids.length);
    return scores;
  };
  return {
    get rows() {
      return held.length;
    },
    get bytes() {
      return cache.bytes;
    },
    ids: idsOf,
    addRow() {
      forget();
      if (cached) cache.addRow();
      return held.push([]) - 1;
    },
    extend(extensions) {
      if (extensions.length === 0) return [];
      forget();
      const rows = new Set(extensions.map(({ row }) => row));
      if (rows.size < extensions.length)
        throw new MahaloError("E_SCORER_ROW", "a row is extended twice", { exitStatus: 1 });
      const ends = extensions.map(({ row, ids, ends: own }) => {
        idsOf(row);
        checkTokens(ids, config.vocabSize);
        return own ?? [ids.length];
      });
      const before = extensions.map(({ row }) => idsOf(row).length);
      const flat = cached
        ? extendCached(extensions, ends)
        : whole(
            extensions.map(({ row, ids }) => [...idsOf(row), ...ids]),
            ends.map((own, at) => own.map((end) => (before[at] ?? 0) + end)),
          );
      for (const { row, ids } of extensions) idsOf(row).push(...ids);
      let at = 0;
      return ends.map(({ length }) => {
        at += length;
        return flat.slice(at - length, at);
      });
    },
    tryCandidates(row, candidates) {
      forget();
      if (candidates.length === 0) return [];
      const prefix = idsOf(row);
      if (prefix.length === 0) {
        throw new MahaloError("E_SCORE_TOKENS", "candidates need a prompt to go on from", { exitStatus: 1 });
      }
      for (const ids of candidates) checkTokens(ids, config.vocabSize);
      const next: Tried = { row, length: prefix.length, candidates, held: [] };
      tried = next;
      if (!cached) {
        const rows = candidates.map((ids) => [...prefix, ...ids]);
        return whole(
          rows,
          rows.map(({ length }) => [length]),
        );
      }
      cache.reserve(cache.rows, prefix.length + Math.max(...candidates.map(({ length }) => length)));
      const starts = startsOf(candidates);
      const spans = candidates.map(({ length }, at): Span => ({ row, start: starts[at] ?? 0, length }));
      return pass(
        candidates.map((ids) => ({ ids, from: prefix.length })),
        spans.map(({ start, length }) => start + length - 1),
        () => candidateAttention(cache, spans, next.held),
      );
    },
    keepCandidate(index) {
      const ids = tried?.candidates[index];
      if (tried === undefined || ids === undefined) {
        throw new MahaloError("E_SCORER_CANDIDATE", `there is no candidate ${index} to keep`, {
          exitStatus: 1,
        });
      }
      const { row } = tried;
      const start = startsOf(tried.candidates)[index] ?? 0;
      if (cached) {
        const layers = tried.held;
        noGrad(() =>
          scope(() => {
            for (const [layer, { k, v }] of layers.entries()) {
              cache.write(layer, row, k.narrow(0, start, ids.length), v.narrow(0, start, ids.length));
            }
          }),
        );
        cache.advance(row, ids.length);
      }
      idsOf(row).push(...ids);
      forget();
    },
    rollback(row, length) {
      forget();
      const ids = idsOf(row);
      if (!(Number.isInteger(length) && length >= 0 && length <= ids.length)) {
        throw new MahaloError(
          "E_SCORER_ROW",
          `cannot roll back row ${row} of ${ids.length} tokens to ${length}`,
          {
            exitStatus: 1,
          },
        );
      }
      if (cached) cache.rollback(row, length);
      ids.length = length;
    },
    fork(row, length = idsOf(row).length) {
      forget();
      const ids = idsOf(row).slice(0, length);
      const to = held.push(ids) - 1;
      if (cached) {
        cache.addRow();
        cache.copy(row, to, length);
      }
      return to;
    },
    removeRow(row) {
      forget();
      idsOf(row);
      if (cached) cache.removeRow(row);
      const last = held.pop();
      if (last !== undefined && row < held.length) held[row] = last;
    },
    dispose() {
      forget();
      cache.dispose();
      held.length = 0;
    },
  };
};
