/** Measures of control: whether weights order, space and predict results, and what they change that nobody asked for. */
import { element, lastOf, zip } from "../core/need.ts";
import type { Random } from "../core/random.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import { type Estimate, judgedDifference } from "./intervals.ts";
import type { SweepMix } from "./mixes.ts";

/** How well an objective's weight controls its results, over the mixes of a sweep. */
export type ControlMeasures = {
  objective: string;
  /** {@link kendallTau} of the objective's weight against its mean result. */
  tau: number;
  /**
   * Largest difference between two neighbouring mixes, as a share of the range of results: 1 / (n - 1) is even, 1 is a
   * single jump. Left out where results do not differ, and with more than two objectives, whose mixes have no order.
   */
  largestGap?: number | undefined;
  /**
   * Mean distance between what was asked for, the weight, and what was got, the result's place between the results of the
   * two ends (0 to 1, beyond them too); 0 is a straight line. Left out as `largestGap` is.
   */
  miscalibration?: number | undefined;
};

/** {@link ControlMeasures}, and what choosing the objective does to the others. */
export type Control = ControlMeasures & {
  /** At the objective's own end, what happened to each other objective: its result minus that before alignment, paired. */
  sideEffects: Record<string, Estimate>;
};

/** A mix of a sweep, or the model before alignment without a mix. */
export type MeasuredPolicy = {
  mix?: SweepMix | undefined;
  /** Mean result by objective. */
  means: Readonly<Record<string, number>>;
};

/** Means out of results, by objective. */
export const meansOf = (results: Readonly<Record<string, { mean: number }>>): Record<string, number> =>
  Object.fromEntries(Object.entries(results).map(([name, { mean }]) => [name, mean]));

/** A policy with the scores of each prompt, in order, by objective; null where a judge abstained. */
export type ControlledPolicy = MeasuredPolicy & {
  scores: Readonly<Record<string, readonly (number | null)[]>>;
};

/** A mix that a sweep measured. */
export type MeasuredMix = ControlledPolicy & { mix: SweepMix };

/**
 * Kendall's tau-b of two lists of equal length: (concordant - discordant) / sqrt(pairs not tied in a * pairs not tied in b).
 *
 * 1 where b rises whenever a does, -1 where it falls, 0 where one of them never changes. Source: Kendall 1945.
 */
export const kendallTau = (a: readonly number[], b: readonly number[]): number => {
  let [agreement, untiedA, untiedB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const signA = Math.sign(element(a, i) - element(a, j));
      const signB = Math.sign(element(b, i) - element(b, j));
      agreement += signA * signB;
      untiedA += Math.abs(signA);
      untiedB += Math.abs(signB);
    }
  }
  return untiedA === 0 || untiedB === 0 ? 0 : agreement / Math.sqrt(untiedA * untiedB);
};

/** The largest step of a list of results as a share of their range; undefined where the range is 0. */
export const largestGap = (results: readonly number[]): number | undefined => {
  const range = Math.max(...results) - Math.min(...results);
  if (!(range > 0)) return undefined;
  const steps = zip(results.slice(1), results.slice(0, -1)).map(([after, before]) =>
    Math.abs(after - before),
  );
  return Math.max(...steps) / range;
};

/**
 * Mean over mixes of |w - (r - r_0) / (r_1 - r_0)|, with r_0 and r_1 the results at the smallest and the largest weight,
 * weights being taken on the line between these two; undefined where r_0 = r_1.
 *
 * @param points weight and result, in the order of the weights
 */
export const miscalibration = (
  points: readonly (readonly [weight: number, result: number])[],
): number | undefined => {
  const [low, lowest] = element(points, 0, "mix");
  const [high, highest] = element(points, points.length - 1, "mix");
  if (highest === lowest || high === low) return undefined;
  const distances = points.map(([weight, result]) =>
    Math.abs((weight - low) / (high - low) - (result - lowest) / (highest - lowest)),
  );
  return distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
};

/** Mixes by the weight of one objective, with their results on it. */
const weighed = <P extends MeasuredPolicy>(policies: readonly P[], objective: string) =>
  policies
    .flatMap((policy) => {
      const result = policy.means[objective];
      return result === undefined ? [] : [{ policy, weight: weightIn(policy.mix, objective), result }];
    })
    .toSorted((a, b) => a.weight - b.weight);

/** {@link ControlMeasures} for each objective that the mixes weigh and that has results. */
export const controlMeasures = (policies: readonly MeasuredPolicy[]): ControlMeasures[] => {
  const mixes = policies.filter(({ mix }) => mix !== undefined);
  const objectives = [...new Set(mixes.flatMap(({ mix = {} }) => Object.keys(mix)))];
  return objectives.flatMap((objective): ControlMeasures[] => {
    const points = weighed(mixes, objective).map(({ weight, result }) => [weight, result] as const);
    const weights = points.map(([weight]) => weight);
    const results = points.map(([, result]) => result);
    if (new Set(weights).size < 2) return [];
    const tau = kendallTau(weights, results);
    if (objectives.length !== 2) return [{ objective, tau }];
    return [{ objective, tau, largestGap: largestGap(results), miscalibration: miscalibration(points) }];
  });
};

/**
 * Measures of control with side effects.
 *
 * @param before the model before alignment; without it there are no side effects
 * @param random the stream of a bootstrap, by the names of the objective and of the other one
 */
export const controlOf = (
  policies: readonly ControlledPolicy[],
  before: ControlledPolicy | undefined,
  random: (objective: string, other: string) => Random,
): Control[] => {
  const mixes = policies.filter(({ mix }) => mix !== undefined);
  return controlMeasures(mixes).map((measures) => {
    const { policy } = lastOf(weighed(mixes, measures.objective), "mix");
    const effects = before === undefined ? {} : sideEffects(measures.objective, policy, before, random);
    return { ...measures, sideEffects: effects };
  });
};

const sideEffects = (
  objective: string,
  { scores }: ControlledPolicy,
  before: ControlledPolicy,
  random: (objective: string, other: string) => Random,
): Record<string, Estimate> => {
  const effects: Record<string, Estimate> = {};
  for (const [other, after] of Object.entries(scores)) {
    const reference = before.scores[other];
    if (other === objective || reference === undefined) continue;
    const effect = judgedDifference(after, reference, random(objective, other));
    if (effect !== undefined) effects[other] = effect;
  }
  return effects;
};
