/** Claim (c): the sweep of mixes as a front, against the soups', and whether it goes one way as weights do. */

import { type Draw, everyPrompt } from "../../packages/mahalo/src/evaluate/compare/seeds.ts";
import { type FrontPoint, hypervolume } from "../../packages/mahalo/src/evaluate/front.ts";
import {
  findingOf,
  type MixScores,
  meansAt,
  type PolicyScores,
  promptsOf,
  pureMix,
  type Rule,
} from "./claims.ts";
import { type Finding, type Verdict, verdict } from "./verdict.ts";

/** Means of a whole sweep at drawn places. */
const pointsAt = (
  sweep: readonly PolicyScores[],
  objectives: readonly string[],
  draws: readonly Draw[],
): FrontPoint[] | undefined => {
  const points = sweep.flatMap((policy) => {
    const means = meansAt(policy, objectives, draws);
    return means === undefined ? [] : [means];
  });
  return points.length === sweep.length && points.length > 0 ? points : undefined;
};

/** Policies of a sweep by an objective's weight, least first; those of one weight together. */
const ladder = (sweep: readonly MixScores[], objective: string): MixScores[][] => {
  const rungs = new Map<string, MixScores[]>();
  for (const point of sweep) {
    const weight = (point.mix[objective] ?? 0).toFixed(6);
    rungs.set(weight, [...(rungs.get(weight) ?? []), point]);
  }
  return [...rungs].sort(([a], [b]) => Number(a) - Number(b)).map(([, rung]) => rung);
};

/** Mean on one objective over the policies of a rung. */
const rungMean = (
  rung: readonly MixScores[],
  objective: string,
  draws: readonly Draw[],
): number | undefined => {
  const means = rung.flatMap((policy) => meansAt(policy, [objective], draws) ?? []);
  return means.length < rung.length ? undefined : means.reduce((sum, value) => sum + value, 0) / means.length;
};

/**
 * Where hypervolumes are measured from: 0 where all scores are shares, else the least mean of each objective over both
 * sweeps, as `mahalo compare` does.
 */
export const referencePoint = (
  sweeps: readonly PolicyScores[],
  objectives: readonly string[],
  draws: readonly Draw[],
): FrontPoint => {
  const values = sweeps.flatMap(({ scores }) => objectives.flatMap((name) => (scores[name] ?? []).flat()));
  if (values.every((value) => value === null || (value >= 0 && value <= 1))) return objectives.map(() => 0);
  const points = sweeps.flatMap((policy) => {
    const means = meansAt(policy, objectives, draws);
    return means === undefined ? [] : [means];
  });
  return objectives.map((_, index) => Math.min(...points.map((point) => point[index] ?? 0)));
};

/**
 * Claim (c).
 *
 * - The front: hypervolume(sweep) - hypervolume(soups) lies above 0.
 * - It moves: for every objective k, m_k of the mix that is all k less m_k of the mixes without k lies above 0.
 * - Smoothly: for every objective k, the smallest step of m_k from one weight of k to the next greater one lies above
 *   -margin. The smallest of several noisy steps is below 0 by chance alone, so the margin must be no smaller than that.
 *
 * @param soups the sweep of weights' soups of models that were aligned to one objective each
 */
export const frontOverSoups = (
  sweep: readonly MixScores[],
  soups: readonly MixScores[] | undefined,
  rule: Rule,
): Verdict => {
  const { objectives, margin = 0.05 } = rule;
  const notes = [
    ...(soups === undefined ? ["soup did not run, so the fronts are not compared"] : []),
    ...(objectives.length < 2 ? ["a front needs at least two objectives that are judged"] : []),
  ];
  if (objectives.length < 2) return verdict("c", [undefined], notes);
  const moves = objectives.map((objective): Finding | undefined => {
    const pure = pureMix(sweep, objective);
    const [without = []] = ladder(sweep, objective);
    if (pure === undefined || without.includes(pure)) return undefined;
    return findingOf(
      "c",
      `${objective}: all its weight - none`,
      sweep,
      (draws) => {
        const [most, least] = [rungMean([pure], objective, draws), rungMean(without, objective, draws)];
        return most === undefined || least === undefined ? undefined : most - least;
      },
      0,
      rule,
    );
  });
  const smooth = objectives.map((objective): Finding | undefined => {
    const rungs = ladder(sweep, objective);
    if (rungs.length < 2) return undefined;
    return findingOf(
      "c",
      `${objective}: smallest of ${rungs.length - 1} steps as its weight grows`,
      sweep,
      (draws) => {
        const means = rungs.map((rung) => rungMean(rung, objective, draws));
        const steps = means.slice(1).flatMap((mean, index) => {
          const before = means[index];
          return mean === undefined || before === undefined ? [] : [mean - before];
        });
        return steps.length === rungs.length - 1 ? Math.min(...steps) : undefined;
      },
      -margin,
      rule,
    );
  });
  const reference = referencePoint([...sweep, ...(soups ?? [])], objectives, everyPrompt(promptsOf(sweep)));
  const volume =
    soups === undefined
      ? undefined
      : findingOf(
          "c",
          "hypervolume: sweep - soups",
          [...sweep, ...soups],
          (draws) => {
            const [ours, theirs] = [sweep, soups].map((all) => pointsAt(all, objectives, draws));
            if (ours === undefined || theirs === undefined) return undefined;
            return hypervolume(ours, reference) - hypervolume(theirs, reference);
          },
          0,
          rule,
        );
  return verdict("c", [volume, ...moves, ...smooth], notes);
};
