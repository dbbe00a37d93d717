/** Scores of any head on one scale. */
import { logistic } from "../core/logistic.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";

/**
 * A head's score as a number in [0, 1]: probabilities as they are; the numbers of heads that have no bounds (`value`,
 * `bradley-terry`) by the logistic function 1 / (1 + exp(-score)), which keeps their order.
 */
export const unitScore = (kind: string, score: number): number =>
  headKinds.get(kind).probability ? score : logistic(score);
