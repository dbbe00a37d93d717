/** Scores of any head on one scale. */
import { logistic } from "../core/logistic.ts";
import type { HeadKind } from "../model/reward-heads.ts";

/**
 * A head's score as a number in [0, 1]: the probabilities of `soft` and `hard` heads as they are; the numbers of `value`
 * and `bradley-terry` heads, which have no bounds, by the logistic function 1 / (1 + exp(-score)), which keeps their
 * order.
 */
export const unitScore = (kind: HeadKind, score: number): number =>
  kind === "soft" || kind === "hard" ? score : logistic(score);
