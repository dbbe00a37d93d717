/** Scores against labels: area under the curve, calibration, correlation and margin, as pure functions. */

import { MahaloError } from "@mahalo/torch";
import { mean } from "./mean.ts";
import { element, zip } from "./need.ts";

const requireSameLength = (a: readonly unknown[], b: readonly unknown[]): void => {
  if (a.length === b.length) return;
  throw new MahaloError("E_METRICS_LENGTH", `${a.length} scores for ${b.length} labels`, { exitStatus: 1 });
};

/**
 * Area under the ROC curve: how often a positive scores above a negative, ties counting half (Mann-Whitney).
 *
 * @returns undefined unless there are both positives and negatives
 */
export const areaUnderCurve = (
  scores: readonly number[],
  positive: readonly boolean[],
): number | undefined => {
  requireSameLength(scores, positive);
  const order = zip(scores, positive).map(([score, positive]) => ({ score, positive }));
  order.sort((a, b) => a.score - b.score);
  const positives = order.filter((row) => row.positive).length;
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return undefined;
  // The sum of the positives' ranks; equal scores share the mean of theirs.
  let [ranks, start] = [0, 0];
  while (start < order.length) {
    let end = start;
    let tied = 0;
    while (end < order.length && order[end]?.score === order[start]?.score) {
      tied += Number(order[end]?.positive);
      end += 1;
    }
    ranks += (tied * (start + 1 + end)) / 2;
    start = end;
  }
  return (ranks - (positives * (positives + 1)) / 2) / (positives * negatives);
};

/**
 * Expected calibration error: how far the mean label of a bin is from its mean probability, weighted by its size.
 *
 *   ECE = sum_b (n_b / n) |mean y in b - mean p in b|,  bins of equal width over [0, 1], the upper edge belonging to the next
 *
 * Labels are numbers in [0, 1]. Source: Guo et al. 2017, eq. 3, with the probability of the positive class.
 *
 * @returns undefined for no numbers
 */
export const calibrationError = (
  probabilities: readonly number[],
  labels: readonly number[],
  bins = 10,
): number | undefined => {
  requireSameLength(probabilities, labels);
  if (probabilities.length === 0) return undefined;
  const gaps = new Float64Array(bins);
  for (const [probability, label] of zip(probabilities, labels)) {
    const bin = Math.min(bins - 1, Math.floor(probability * bins));
    gaps[bin] = element(gaps, bin) + label - probability;
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / probabilities.length;
};

/**
 * Pearson's correlation of scores and labels.
 *
 * @returns undefined where either has no spread
 */
export const correlation = (scores: readonly number[], labels: readonly number[]): number | undefined => {
  requireSameLength(scores, labels);
  const [meanScore, meanLabel] = [mean(scores), mean(labels)];
  let [both, ownScore, ownLabel] = [0, 0, 0];
  for (const [score, label] of zip(scores, labels)) {
    const [x, y] = [score - meanScore, label - meanLabel];
    both += x * y;
    ownScore += x * x;
    ownLabel += y * y;
  }
  const product = ownScore * ownLabel;
  return product > 0 ? both / Math.sqrt(product) : undefined;
};

/** Mean score of the positives minus that of the negatives; undefined unless there are both. */
export const scoreMargin = (scores: readonly number[], positive: readonly boolean[]): number | undefined => {
  requireSameLength(scores, positive);
  const of = (side: boolean): number[] => scores.filter((_, i) => positive[i] === side);
  const [above, below] = [of(true), of(false)];
  return above.length > 0 && below.length > 0 ? mean(above) - mean(below) : undefined;
};
