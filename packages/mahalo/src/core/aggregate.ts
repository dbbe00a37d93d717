/** One number out of the scores of a response's steps. */
import { MahaloError } from "@mahalo/torch";
import { mean } from "./mean.ts";

/** Ways to make one number of the scores of a response's steps. */
export const aggregateNames = ["last", "min", "product", "mean"] as const;

/** A way to make one number of several. */
export type AggregateName = (typeof aggregateNames)[number];

/** A response's score in every way. */
export type Aggregates = Record<AggregateName, number>;

/**
 * The score of a response: that of its last step, of its worst step, the product of all, or their mean.
 *
 * The product takes the numbers as they are, so it says something of probabilities only.
 *
 * @param scores at least one
 * @throws MahaloError E_SCORE_EMPTY for none
 */
export const aggregateScores = (scores: readonly number[]): Aggregates => {
  const last = scores.at(-1);
  if (last === undefined) throw new MahaloError("E_SCORE_EMPTY", "a response without steps has no score");
  return {
    last,
    min: scores.reduce((least, score) => Math.min(least, score)),
    product: scores.reduce((product, score) => product * score, 1),
    mean: mean(scores),
  };
};
