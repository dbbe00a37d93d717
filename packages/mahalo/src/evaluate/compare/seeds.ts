/** Figures over several seeds and their prompts: the bootstrap that draws seeds, and prompts within them, in pairs. */
import { type Interval, quantile } from "../../core/bootstrap.ts";
import { element, zip } from "../../core/need.ts";
import type { Random } from "../../core/random.ts";

/** A figure with its interval at the level 95%, over seeds and prompts. */
export type SeedEstimate = { mean: number; low: number; high: number; seeds: number; prompts: number };

/** What is known of each drawn prompt of a seed: the prompts' places, with repetition. */
export type Draw = { seed: number; prompts: readonly number[] };

/** The whole data as a draw: every seed, and each of its prompts once. `prompts` are the numbers of each seed's. */
export const everyPrompt = (prompts: readonly number[]): Draw[] =>
  prompts.map((count, seed) => ({ seed, prompts: Array.from({ length: count }, (_, index) => index) }));

/** Options of {@link overSeeds}. */
export type SeedOptions = {
  /** Default 1000. */
  resamples?: number;
};

/**
 * A figure over seeds, and its percentile bootstrap interval: seeds are drawn with replacement, then prompts within each,
 * so that the interval holds both what a seed does and what prompts do. With one seed it is over prompts alone.
 *
 * Whatever is read at a drawn place is read of all policies alike, so that what a seed and a prompt share drops out of
 * their difference. Source: Davison and Hinkley 1997, section 3.8 (two levels, both drawn with replacement).
 *
 * @param prompts number of prompts of each seed
 * @param figure of seeds (by place) with prompts (by place); undefined where they do not define it
 * @param random a seeded stream, so that the same results give the same interval
 * @returns undefined where the whole data do not define the figure
 */
export const overSeeds = (
  prompts: readonly number[],
  figure: (draws: readonly Draw[]) => number | undefined,
  random: Random,
  { resamples = 1000 }: SeedOptions = {},
): SeedEstimate | undefined => {
  const value = figure(everyPrompt(prompts));
  if (value === undefined) return undefined;
  const figures: number[] = [];
  for (let resample = 0; resample < resamples; resample++) {
    const draws = prompts.map((): Draw => {
      const seed = random.integer(prompts.length);
      const count = element(prompts, seed, "seed");
      return { seed, prompts: Array.from({ length: count }, () => random.integer(count)) };
    });
    const drawn = figure(draws);
    if (drawn !== undefined) figures.push(drawn);
  }
  figures.sort((a, b) => a - b);
  const [low, high]: Interval =
    figures.length === 0 ? [value, value] : [quantile(figures, 0.025), quantile(figures, 0.975)];
  return {
    mean: value,
    low,
    high,
    seeds: prompts.length,
    prompts: prompts.reduce((sum, count) => sum + count, 0),
  };
};

/** Scores of one policy on one objective, by seed and prompt; null where the judge abstained. */
export type SeedScores = readonly (readonly (number | null)[])[];

/** The mean over drawn seeds of the mean over their drawn prompts; abstentions are passed over. */
export const drawnMean = (scores: SeedScores, draws: readonly Draw[]): number | undefined => {
  // Called for every draw of every policy, so plain loops without lists.
  let [sum, seeds] = [0, 0];
  for (const { seed, prompts } of draws) {
    const seedScores = scores[seed];
    let [total, judged] = [0, 0];
    for (const prompt of prompts) {
      const score = seedScores?.[prompt];
      if (score === null || score === undefined) continue;
      total += score;
      judged += 1;
    }
    if (judged === 0) continue;
    sum += total / judged;
    seeds += 1;
  }
  return seeds === 0 ? undefined : sum / seeds;
};

/**
 * The mean difference a - b of two policies on the same seeds and prompts. Prompts on which either was not judged are
 * passed over.
 *
 * @example pairedOverSeeds([[1, 1], [0, 1]], [[0, 1], [0, 0]], stream(0, "x"))?.mean // 0.5
 */
export const pairedOverSeeds = (
  a: SeedScores,
  b: SeedScores,
  random: Random,
  options: SeedOptions = {},
): SeedEstimate | undefined => {
  const differences = zip(a, b).map(([scores, others]) =>
    zip(scores, others).map(([score, other]) => (score === null || other === null ? null : score - other)),
  );
  return overSeeds(
    differences.map(({ length }) => length),
    (draws) => drawnMean(differences, draws),
    random,
    options,
  );
};
