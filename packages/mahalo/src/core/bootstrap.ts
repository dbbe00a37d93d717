/** The bootstrap over groups: an interval of any figure whose observations are not independent one by one. */
import { element } from "./need.ts";
import type { Random } from "./random.ts";

/** The ends of a 95% interval. */
export type Interval = readonly [low: number, high: number];

/** The q-quantile of sorted values, linear between neighbours; NaN of none. */
export const quantile = (sorted: readonly number[], q: number): number => {
  if (sorted.length === 0) return Number.NaN;
  const rank = q * (sorted.length - 1);
  const below = element(sorted, Math.floor(rank));
  const above = element(sorted, Math.ceil(rank));
  return below + (above - below) * (rank - Math.floor(rank));
};

/**
 * Percentile bootstrap interval at the level 95% of a figure of grouped observations: whole groups are drawn with
 * replacement, for example prompts with all their answers, since what belongs to one prompt is alike. Source: Efron 1979;
 * Davison and Hinkley 1997, section 3.8.
 *
 * @param figure of the drawn groups; undefined where they do not define it, and then the draw does not count
 * @param random a seeded stream, so that the same groups give the same interval
 * @param resamples default 1000
 * @returns undefined where no draw defines the figure
 */
export const bootstrapInterval = <Group>(
  groups: readonly Group[],
  figure: (groups: readonly Group[]) => number | undefined,
  random: Random,
  { resamples = 1000 }: { resamples?: number } = {},
): Interval | undefined => {
  const values: number[] = [];
  for (let resample = 0; resample < resamples && groups.length > 0; resample++) {
    const value = figure(groups.map(() => groups[random.integer(groups.length)] as Group));
    if (value !== undefined) values.push(value);
  }
  if (values.length === 0) return undefined;
  values.sort((a, b) => a - b);
  return [quantile(values, 0.025), quantile(values, 0.975)];
};
