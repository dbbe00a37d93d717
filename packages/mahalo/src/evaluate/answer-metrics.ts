/** What answers are like beside their scores: how varied, how far from the reference, and who wins at equal length. */
import { MahaloError } from "@mahalo/torch";
import { logistic } from "../core/logistic.ts";
import { mean } from "../core/mean.ts";
import { zip } from "../core/need.ts";

/**
 * distinct-n: the share of different n-grams of words among all n-grams of the answers together; 0 where there are none.
 *
 * Source: Li et al. 2016, section 5.
 *
 * @example distinct(["a b a b", "a b"], 2) // 0.5: "a b" and "b a" among four
 */
export const distinct = (answers: readonly string[], n: number): number => {
  if (!(Number.isInteger(n) && n > 0))
    throw new MahaloError("E_METRIC", `distinct: n is ${n}`, { exitStatus: 1 });
  const seen = new Set<string>();
  let all = 0;
  for (const answer of answers) {
    const words = answer.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];
    for (let start = 0; start + n <= words.length; start++) {
      seen.add(words.slice(start, start + n).join(" "));
      all += 1;
    }
  }
  return all === 0 ? 0 : seen.size / all;
};

/**
 * KL(π || π_ref) of whole answers, estimated from answers that were sampled from π: the mean of log π(y) - log π_ref(y), in
 * nats; or by k3, which has the same mean, is never below 0 and varies less: mean of e^-d - 1 + d with d the difference.
 *
 * The estimate is of π only where answers were sampled at temperature 1 without cutting the distribution.
 *
 * Source: Schulman 2020 (approximating KL divergence), k1 and k3.
 *
 * @param policy log-probability of each answer, summed over its tokens; `reference` the same under the reference
 *
 * @example klOfSamples([-1, -2], [-2, -2]) // { k1: 0.5, k3: 0.18... }
 */
export const klOfSamples = (
  policy: readonly number[],
  reference: readonly number[],
): { k1: number; k3: number } => {
  if (policy.length === 0 || policy.length !== reference.length) {
    throw new MahaloError("E_METRIC", `KL: ${policy.length} and ${reference.length} log-probabilities`, {
      exitStatus: 1,
    });
  }
  const differences = zip(policy, reference).map(([logp, other]) => logp - other);
  return { k1: mean(differences), k3: mean(differences.map((d) => Math.expm1(-d) + d)) };
};

/** One answer against another: 1 where it wins, 0 where it loses, 0.5 for a tie; and their lengths. */
export type Duel = { win: number; length: number; otherLength: number };

/**
 * Who wins at equal length: the win rate, and the win rate that a logistic regression on the difference of lengths
 * predicts at difference 0,
 *
 *   win ~ σ(a + b tanh(Δ / s)),  s the standard deviation of Δ;  controlled = σ(a)
 *
 * with a small ridge on both so that it is defined where one side always wins. Preference training likes length, and
 * judges do too. Source: Dubois et al. 2024 (length-controlled AlpacaEval), eq. 2, without the terms of prompts.
 *
 * @throws MahaloError E_METRIC for no duels
 */
export const winRates = (duels: readonly Duel[]): { win: number; controlled: number } => {
  if (duels.length === 0) throw new MahaloError("E_METRIC", "a win rate needs duels", { exitStatus: 1 });
  const differences = duels.map(({ length, otherLength }) => length - otherLength);
  const centre = mean(differences);
  const spread = Math.sqrt(mean(differences.map((value) => (value - centre) ** 2))) || 1;
  const rows = zip(duels, differences).map(([{ win }, difference]) => ({
    win,
    x: Math.tanh(difference / spread),
  }));
  const ridge = 0.01;
  let [a, b] = [0, 0];
  // Newton's method; the ridge makes the loss strictly convex.
  for (let step = 0; step < 50; step++) {
    let [ga, gb, haa, hab, hbb] = [ridge * a, ridge * b, ridge, 0, ridge];
    for (const { win, x } of rows) {
      const p = logistic(a + b * x);
      const weight = p * (1 - p);
      ga += p - win;
      gb += (p - win) * x;
      haa += weight;
      hab += weight * x;
      hbb += weight * x * x;
    }
    const determinant = haa * hbb - hab * hab;
    const [da, db] = [(hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant];
    // Short steps where the curve is flat.
    const scale = Math.min(1, 4 / Math.max(Math.abs(da), Math.abs(db), 1e-300));
    a -= scale * da;
    b -= scale * db;
    if (Math.abs(da) + Math.abs(db) < 1e-12) break;
  }
  return { win: mean(duels.map(({ win }) => win)), controlled: logistic(a) };
};
