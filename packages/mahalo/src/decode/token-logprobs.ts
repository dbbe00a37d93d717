/** Log-probabilities of the tokens that were chosen, and of the likeliest, whatever sampling makes of them. */
import { ops, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";

// Shapes: N rows, M rows that ask for likeliest tokens, V vocabulary, K likeliest tokens.

/** A token and its log-probability. */
export type TokenLogprob = { id: number; logprob: number };

/** What one row is told: the log-probability of its token, and the likeliest tokens, as many as it asks for. */
export type RowLogprobs = { logprob: number; top: readonly TokenLogprob[] };

/** Likeliest first; equals in the order of their ids. */
const byLogprob = (a: TokenLogprob, b: TokenLogprob): number => b.logprob - a.logprob || a.id - b.id;

/** The lowest ids of all tokens that have this very log-probability. */
const lowestIds = (logps_V: Tensor, logprob: number, count: number): number[] => {
  const { device } = logps_V;
  // Ids are exact in float32 up to 2^24.
  const negative_V = ops.arange(0, logps_V.size(0), 1, { dtype: "float32", device }).mul(-1);
  const never = ops.full([], Number.NEGATIVE_INFINITY, { device });
  const [, ids_K] = ops.topk(ops.where(ops.eqScalar(logps_V, logprob), negative_V, never), count);
  return [...ids_K.toInt32Array()].sort((a, b) => a - b);
};

/**
 * The likeliest tokens of each row, equals in the order of their ids. Only so many numbers a row leave the tensor.
 *
 * @param counts how many tokens of each row, all if there are fewer
 */
export const likeliestTokens = (logps_MV: Tensor, counts: readonly number[]): TokenLogprob[][] => {
  const width = logps_MV.size(1);
  // One more than is asked for: where it equals the last, which of the equals were taken is anybody's guess.
  const size = Math.min(width, Math.max(...counts) + 1);
  const [values_MK, ids_MK] = ops.topk(logps_MV, size, -1, true, true);
  const [values, ids] = [values_MK.toFloat32Array(), ids_MK.toInt32Array()];
  return counts.map((asked, row) => {
    const from = row * size;
    const count = Math.min(asked, width);
    const tokens = zip(values.subarray(from, from + count), ids.subarray(from, from + count))
      .map(([logprob, id]): TokenLogprob => ({ id, logprob }))
      .sort(byLogprob);
    const least = tokens.at(-1)?.logprob;
    if (least === undefined || count === width || element(values, from + count) !== least) return tokens;
    const above = tokens.filter(({ logprob }) => logprob > least);
    const equals = lowestIds(ops.select(logps_MV, 0, row), least, count - above.length);
    return [...above, ...equals.map((id): TokenLogprob => ({ id, logprob: least }))];
  });
};

/**
 * Log-probabilities of one token of each row, and of its likeliest ones.
 *
 * @param ids a token of each row
 * @param counts how many of the likeliest tokens each row asks for; 0 for none
 */
export const tokenLogprobs = (
  logits_NV: Tensor,
  ids: readonly number[],
  counts: readonly number[],
): RowLogprobs[] => {
  const { device } = logits_NV;
  const words = (numbers: readonly number[]): Tensor =>
    tensor(Int32Array.from(numbers), { dtype: "int64", device });
  const ids_N = words(ids);
  const asking = counts.flatMap((count, row) => (count > 0 ? [row] : []));
  const rows_M = words(asking);
  const likeliest = (logps_MV: () => Tensor): TokenLogprob[][] =>
    asking.length === 0
      ? []
      : likeliestTokens(
          logps_MV(),
          asking.map((row) => element(counts, row)),
        );
  const told = (logps: Float32Array, tops: readonly (readonly TokenLogprob[])[]): RowLogprobs[] => {
    const topOf = new Map(zip(asking, tops));
    return Array.from(logps, (logprob, row) => ({ logprob, top: topOf.get(row) ?? [] }));
  };
  if (device === "cpu") {
    const [logps_N, norms_N] = ops.tokenLogProbs(logits_NV, ids_N);
    // The kernel's own subtraction, so that a token has one log-probability wherever it is told.
    const normalised = (): Tensor =>
      logits_NV.indexSelect(0, rows_M).to("float32").sub(norms_N.indexSelect(0, rows_M).unsqueeze(1));
    return told(logps_N.toFloat32Array(), likeliest(normalised));
  }
  const logps_NV = logits_NV.to("float32").logSoftmax(-1);
  const chosen_N = ops.gather(logps_NV, 1, ids_N.unsqueeze(1)).squeeze(1);
  return told(
    chosen_N.toFloat32Array(),
    likeliest(() => logps_NV.indexSelect(0, rows_M)),
  );
};
