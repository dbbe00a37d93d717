/** Means with their 95% intervals: Wilson's for rates, the bootstrap for other means and for paired differences. */
import { MahaloError } from "@mahalo/torch";
import { quantile } from "../core/bootstrap.ts";
import { element, zip } from "../core/need.ts";
import type { Random } from "../core/random.ts";

/** A mean with its interval at the level 95%, and how it was found. */
export type Estimate = {
  mean: number;
  low: number;
  high: number;
  /** Number of observations. */
  n: number;
  method: "wilson" | "bootstrap";
};

/** The 97.5% point of the normal distribution. */
const z95 = 1.959963984540054;

const fail = (message: string): never => {
  throw new MahaloError("E_INTERVAL", message, { exitStatus: 1 });
};

/**
 * Wilson's score interval of a rate of k successes in n trials:
 *
 *   (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n),  p = k/n, z = 1.96
 *
 * Unlike the normal interval it stays inside [0, 1] and does not shrink to nothing at 0 or n successes. `mean` is
 * the plain rate k/n. Source: Wilson 1927.
 *
 * @throws MahaloError E_INTERVAL where n is not positive or k is not in [0, n]
 */
export const wilson = (successes: number, n: number): Estimate => {
  if (!(n > 0 && successes >= 0 && successes <= n)) {
    fail(`a rate needs 0 <= successes <= n and n > 0, not ${successes} of ${n}`);
  }
  const p = successes / n;
  const square = z95 ** 2;
  const centre = p + square / (2 * n);
  const half = z95 * Math.sqrt((p * (1 - p)) / n + square / (4 * n * n));
  const scale = 1 + square / n;
  // At 0 and n successes one end is exactly 0 or 1; rounding would leave it a little beside.
  const low = successes === 0 ? 0 : (centre - half) / scale;
  const high = successes === n ? 1 : (centre + half) / scale;
  return { mean: p, low, high, n, method: "wilson" };
};

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Options of the bootstrap. */
export type BootstrapOptions = {
  /** Resamples drawn. Default 2000. */
  resamples?: number;
};

/**
 * Percentile bootstrap interval of a mean: the 2.5% and 97.5% points of the means of resamples drawn with
 * replacement. Source: Efron 1979.
 *
 * @param random a seeded stream, so that the same values give the same interval.
 * @throws MahaloError E_INTERVAL for no values or values that are not finite
 */
export const bootstrapMean = (
  values: readonly number[],
  random: Random,
  { resamples = 2000 }: BootstrapOptions = {},
): Estimate => {
  if (values.length === 0 || !values.every(Number.isFinite)) {
    fail(`a mean needs at least one value and only finite ones, not ${values.length} values`);
  }
  const means = Array.from({ length: resamples }, () => {
    let sum = 0;
    for (let draw = 0; draw < values.length; draw++) {
      sum += element(values, random.integer(values.length));
    }
    return sum / values.length;
  }).sort((a, b) => a - b);
  return {
    mean: meanOf(values),
    low: quantile(means, 0.025),
    high: quantile(means, 0.975),
    n: values.length,
    method: "bootstrap",
  };
};

/**
 * Bootstrap interval of the mean difference a - b of paired values, such as two policies' scores on the same prompts.
 * Pairs are resampled together, so what the prompts share drops out.
 *
 * @throws MahaloError E_INTERVAL where the two differ in length
 */
export const pairedDifference = (
  a: readonly number[],
  b: readonly number[],
  random: Random,
  options: BootstrapOptions = {},
): Estimate => {
  if (a.length !== b.length) {
    fail(`paired values must be as many on both sides, not ${a.length} and ${b.length}`);
  }
  return bootstrapMean(
    zip(a, b).map(([value, other]) => value - other),
    random,
    options,
  );
};

/**
 * {@link pairedDifference} of two policies' scores on the same prompts, over the prompts on which neither judge abstained:
 * the others say nothing about the difference. Undefined where there are none.
 */
export const judgedDifference = (
  a: readonly (number | null)[],
  b: readonly (number | null)[],
  random: Random,
): Estimate | undefined => {
  const pairs = zip(a, b).flatMap(([score, against]) =>
    score === null || against === null ? [] : [[score, against] as const],
  );
  if (pairs.length === 0) return undefined;
  return pairedDifference(
    pairs.map(([score]) => score),
    pairs.map(([, against]) => against),
    random,
  );
};

/** The mean of scores with its interval: Wilson's where every score is 0 or 1, else the bootstrap's. */
export const estimate = (
  scores: readonly number[],
  random: Random,
  options: BootstrapOptions = {},
): Estimate =>
  scores.length > 0 && scores.every((score) => score === 0 || score === 1)
    ? wilson(scores.filter((score) => score === 1).length, scores.length)
    : bootstrapMean(scores, random, options);
