/** A calibrated scale: positions from 0 to 1 whose results are evenly spaced, fitted on a sweep of two objectives. */
import { MahaloError } from "@mahalo/torch";
import { element, lastOf, need, zip } from "../core/need.ts";
import type { Random } from "../core/random.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import type { MeasuredMix } from "./control.ts";
import { bootstrapMean } from "./intervals.ts";
import type { SweepMix } from "./mixes.ts";

/** A measured mix on the scale. */
export type ScalePoint = {
  /** Weight of the second objective. */
  weight: number;
  /** Fitted position, which never falls as the weight rises. */
  position: number;
  /** 95% interval of the position as measured, before the fit. */
  low: number;
  high: number;
};

/** From all of the first objective, at position 0, to all of the second, at 1; points in the order of their weights. */
export type Scale = { objectives: [string, string]; points: ScalePoint[] };

/**
 * The values nearest to given ones, in the sum of squares, among those that never fall: neighbours out of order become their
 * mean. Source: Ayer et al. 1955 (pool adjacent violators).
 */
export const isotonic = (values: readonly number[]): number[] => {
  const pools: { sum: number; count: number }[] = [];
  for (const value of values) {
    let pool = { sum: value, count: 1 };
    for (let last = pools.at(-1); last !== undefined; last = pools.at(-1)) {
      if (last.sum / last.count <= pool.sum / pool.count) break;
      pool = { sum: last.sum + pool.sum, count: last.count + pool.count };
      pools.pop();
    }
    pools.push(pool);
  }
  return pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count));
};

/**
 * Fits the scale of a sweep between two objectives.
 *
 * A mix's place is how far its results have come from the first end's to the second end's, (r - r_0) / (r_1 - r_0), on average
 * over the objectives whose ends differ; {@link isotonic} makes places rise with the weight, and the ends are 0 and 1.
 *
 * @param random the stream of a mix's interval, by its weight of the second objective
 * @returns undefined with other than two objectives, or where the ends' results do not differ
 */
export const fitScale = (
  mixes: readonly MeasuredMix[],
  random: (weight: number) => Random,
): Scale | undefined => {
  const [first, second, ...more] = Object.keys(mixes[0]?.mix ?? {});
  if (first === undefined || second === undefined || more.length > 0 || mixes.length < 2) return undefined;
  const ordered = mixes.toSorted((a, b) => weightIn(a.mix, second) - weightIn(b.mix, second));
  const [start, end] = [element(ordered, 0), lastOf(ordered)];
  if (weightIn(start.mix, second) > 0 || weightIn(end.mix, second) < 1) return undefined;
  const moved = [first, second].flatMap((objective) => {
    const [from, to] = [start.means[objective], end.means[objective]];
    return from === undefined || to === undefined || from === to ? [] : [{ objective, from, to }];
  });
  if (moved.length === 0) return undefined;
  const measured = ordered.map(({ mix, scores }) => {
    const weight = weightIn(mix, second);
    const places = moved.map(({ objective, from, to }) =>
      need(scores[objective], `scores on ${objective}`).map((score) =>
        score === null ? undefined : (score - from) / (to - from),
      ),
    );
    const byPrompt = element(places, 0, "objective").flatMap((_, prompt) => {
      const judged = places.map((ofObjective) => ofObjective[prompt]).filter((place) => place !== undefined);
      return judged.length === 0 ? [] : [judged.reduce((sum, place) => sum + place, 0) / judged.length];
    });
    const { mean, low, high } = bootstrapMean(byPrompt, random(weight));
    return { weight, mean, low, high };
  });
  const inner = measured.slice(1, -1).map(({ mean }) => Math.min(1, Math.max(0, mean)));
  const positions = [0, ...isotonic(inner), 1];
  return {
    objectives: [first, second],
    points: zip(measured, positions).map(([{ weight, low, high }, position]) => ({
      weight,
      position,
      low,
      high,
    })),
  };
};

/**
 * The mix at a position: on the line between the two measured mixes around it. Where several mixes share a position, results
 * do not change between them, and the middle one is taken.
 *
 * @throws MahaloError E_POSITION for a position outside [0, 1]
 */
export const mixAt = ({ objectives: [first, second], points }: Scale, position: number): SweepMix => {
  if (!(position >= 0 && position <= 1)) {
    throw new MahaloError(
      "E_POSITION",
      `position ${position} is not between 0 (all ${first}) and 1 (all ${second})`,
    );
  }
  const same = points.filter((point) => point.position === position);
  const weigh = (weight: number): SweepMix => ({
    [first]: Number((1 - weight).toFixed(6)),
    [second]: Number(weight.toFixed(6)),
  });
  // At the ends themselves an end is asked for, whatever lies beside it at the same place.
  if (position === 0 || position === 1) return weigh(position);
  if (same.length > 0) return weigh((element(same, 0).weight + lastOf(same).weight) / 2);
  const above = points.findIndex((point) => point.position > position);
  const [low, high] = [element(points, above - 1), element(points, above)];
  const share = (position - low.position) / (high.position - low.position);
  return weigh(low.weight + share * (high.weight - low.weight));
};
