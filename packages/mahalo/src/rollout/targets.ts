/** Targets of process reward models out of rollouts: hindsight relabelling, Monte-Carlo values, hard labels. */

import { MahaloError } from "@mahalo/torch";
import { mean } from "../core/mean.ts";

/** How one finished answer ended that goes on from a prefix. */
export type Ending = {
  /** Steps of the whole finished answer, those of the prefix included: n. */
  steps: number;
  /** Terminal correctness, in [0, 1]: z. */
  score: number;
};

/** Options of {@link hindsightTarget}. */
export type HindsightOptions = {
  /** How much of the end is left one step before it, in [0, 1]. Default 0.9. */
  gamma?: number | undefined;
};

const wrong = (message: string): MahaloError => new MahaloError("E_RELABEL", message);

const requireFinite = (name: string, value: number): void => {
  if (!Number.isFinite(value)) throw wrong(`${name}: ${value} is not a finite number`);
};

const requireEndings = (endings: readonly Ending[], step: number): void => {
  if (endings.length === 0) throw wrong(`step ${step}: has no rollout`);
  for (const { steps, score } of endings) {
    requireFinite(`step ${step}: score of a rollout`, score);
    if (!Number.isInteger(steps) || steps < step) {
      throw wrong(`step ${step}: a rollout from here cannot end after ${steps} steps`);
    }
  }
};

/**
 * Hindsight target of one step: its own quality, and the end carried back over the steps that were still to come.
 *
 *   r~_t = r_t + 1/M sum_m gamma^(n_m - t) z_m
 *
 * over the M rollouts that go on from the prefix of t steps. Targets lie in [r_t, r_t + 1]. Source: arXiv 2510.01167,
 * section on process reward models of verifiable objectives.
 *
 * @param quality the step's own quality: r_t
 * @param step t, counting from 1; 0 is the prompt alone
 * @param endings how the rollouts from this prefix ended; for the last step of a finished answer, its own ending
 * @throws MahaloError E_RELABEL without rollouts, for a gamma outside [0, 1], and for numbers that cannot be
 *
 * @example hindsightTarget(1, 2, [{ steps: 4, score: 1 }, { steps: 3, score: 0 }]) // 1 + (0.9² + 0) / 2 = 1.405
 */
export const hindsightTarget = (
  quality: number,
  step: number,
  endings: readonly Ending[],
  { gamma = 0.9 }: HindsightOptions = {},
): number => {
  if (!(gamma >= 0 && gamma <= 1)) throw wrong(`gamma: ${gamma} is not in [0, 1]`);
  requireFinite(`step ${step}: quality`, quality);
  requireEndings(endings, step);
  return quality + mean(endings.map(({ steps, score }) => gamma ** (steps - step) * score));
};

/**
 * Monte-Carlo value of a prefix: the mean score of the answers that go on from it.
 *
 *   v_t = 1/M sum_m z_m
 *
 * @throws MahaloError E_RELABEL as in {@link hindsightTarget}
 */
export const monteCarloValue = (step: number, endings: readonly Ending[]): number => {
  requireEndings(endings, step);
  return mean(endings.map(({ score }) => score));
};

/** What makes a target a 1: more than a number, or more than a share of the row's largest target. */
export type HardRule = { above: number } | { aboveShare: number };

/**
 * Hard labels, 0 or 1, of one row's targets.
 *
 * `{ above: 0 }` over Monte-Carlo values asks whether any rollout was right (Wang et al. 2024, Math-Shepherd, hard
 * estimation). `{ aboveShare: 0.85 }` over hindsight targets is how the unified reward model is labelled; a row whose
 * largest target is not above 0 is all 0.
 *
 * @throws MahaloError E_RELABEL for a rule or a target that is no finite number
 */
export const hardLabels = (targets: readonly number[], rule: HardRule): number[] => {
  for (const [index, target] of targets.entries()) requireFinite(`step ${index + 1}: target`, target);
  const [name, given] = "above" in rule ? ["above", rule.above] : ["aboveShare", rule.aboveShare];
  requireFinite(name, given);
  const threshold = "above" in rule ? rule.above : rule.aboveShare * Math.max(0, ...targets);
  return targets.map((target) => Number(target > threshold));
};
