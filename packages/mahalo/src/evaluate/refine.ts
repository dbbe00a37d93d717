/** The adaptive sweep: after the ends, each next mix lies where results change most between two mixes that were measured. */
import { element, need } from "../core/need.ts";
import type { Random } from "../core/random.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import type { MeasuredMix } from "./control.ts";
import { judgedDifference } from "./intervals.ts";
import type { SweepMix } from "./mixes.ts";

/** A change between neighbours, as a share of the range of results, from which on a sweep looks between them. */
const largestStep = 0.2;

/** Half the sum of weights' differences between two mixes below which a sweep does not look between them. */
const leastDistance = 1 / 64;

/** Mixes that an adaptive sweep of `count` measures: at least the ends, and with three objectives or more the equal mix. */
export const sweepSize = (objectives: readonly string[], count: number): number =>
  objectives.length === 1 ? 1 : Math.max(count, objectives.length + (objectives.length > 2 ? 1 : 0));

/** What all adaptive sweeps begin with: each objective alone, and for three or more the equal mix. */
const beginnings = (objectives: readonly string[]): SweepMix[] => {
  const weighed = (weightOf: (name: string) => number): SweepMix =>
    Object.fromEntries(objectives.map((name) => [name, weightOf(name)]));
  const ends = objectives.map((end) => weighed((name) => Number(name === end)));
  return objectives.length > 2 ? [...ends, weighed(() => 1 / objectives.length)] : ends;
};

const distance = (a: SweepMix, b: SweepMix): number =>
  Object.keys(a).reduce((sum, name) => sum + Math.abs(weightIn(a, name) - weightIn(b, name)), 0) / 2;

const middle = (a: SweepMix, b: SweepMix): SweepMix =>
  Object.fromEntries(Object.keys(a).map((name) => [name, (weightIn(a, name) + weightIn(b, name)) / 2]));

/** Pairs of mixes with no other one nearer to their middle. */
const neighbours = (mixes: readonly MeasuredMix[]): [MeasuredMix, MeasuredMix][] =>
  mixes.flatMap((a, index) =>
    mixes.slice(index + 1).flatMap((b): [MeasuredMix, MeasuredMix][] => {
      const between = middle(a.mix, b.mix);
      const reach = distance(a.mix, b.mix) / 2;
      const apart = 2 * reach >= leastDistance;
      return apart && mixes.every(({ mix }) => distance(mix, between) >= reach - 1e-9) ? [[a, b]] : [];
    }),
  );

const meanOn = ({ means }: MeasuredMix, objective: string): number =>
  need(means[objective], `a result on ${objective}`);

const scoresOn = ({ scores }: MeasuredMix, objective: string): readonly (number | null)[] =>
  need(scores[objective], `scores on ${objective}`);

/** Largest change between two mixes on any objective as a share of its range, where the 95% interval of the change leaves out 0. */
const stepBetween = (
  a: MeasuredMix,
  b: MeasuredMix,
  ranges: ReadonlyMap<string, number>,
  random: Random,
): number =>
  Math.max(
    0,
    ...[...ranges].map(([objective, range]) => {
      const change = Math.abs(meanOn(a, objective) - meanOn(b, objective));
      if (!(range > 0) || change <= largestStep * range) return 0;
      const difference = judgedDifference(scoresOn(a, objective), scoresOn(b, objective), random);
      if (difference === undefined) return 0;
      return difference.low > 0 || difference.high < 0 ? change / range : 0;
    }),
  );

/**
 * The next mix of an adaptive sweep; undefined where there is nothing left between the mixes that were measured.
 *
 * The ends come first. Then it is the middle of the two neighbours between which the result of some objective changes most,
 * if by more than a fifth of its range and beyond chance; where no change is so large, of those that lie farthest apart.
 *
 * @param measured mixes that were measured, with the score of each prompt
 * @param random the stream of the interval of a change, by the number of the pair
 */
export const nextMix = (
  objectives: readonly string[],
  measured: readonly MeasuredMix[],
  random: (pair: number) => Random,
): SweepMix | undefined => {
  const begun = beginnings(objectives);
  if (measured.length < begun.length) return element(begun, measured.length, "mix");
  const judged = [...new Set(measured.flatMap(({ means }) => Object.keys(means)))];
  const ranges = new Map(
    judged.map((objective) => {
      const results = measured.map((mix) => meanOn(mix, objective));
      return [objective, Math.max(...results) - Math.min(...results)];
    }),
  );
  const pairs = neighbours(measured).map(([a, b], index) => ({
    mix: middle(a.mix, b.mix),
    step: stepBetween(a, b, ranges, random(index)),
    distance: distance(a.mix, b.mix),
  }));
  const [next] = pairs.toSorted((a, b) => b.step - a.step || b.distance - a.distance);
  return next?.mix;
};
