/** The claims that a study decides, each a pure function from scores by seed and prompt to a verdict with its intervals. */
import { rng } from "../../packages/mahalo/src/core/random.ts";
import {
  type Draw,
  drawnMean,
  everyPrompt,
  overSeeds,
  pairedOverSeeds,
  type SeedScores,
} from "../../packages/mahalo/src/evaluate/compare/seeds.ts";
import { interference } from "../../packages/mahalo/src/evaluate/front.ts";
import type { SweepMix } from "../../packages/mahalo/src/evaluate/mixes.ts";
import { type Claim, type Finding, finding, unableToFail, type Verdict, verdict } from "./verdict.ts";

/** Scores of one policy, by objective; the seeds and prompts of all policies are the same ones in the same order. */
export type PolicyScores = { label: string; scores: Readonly<Record<string, SeedScores>> };

/** A policy of a sweep. */
export type MixScores = PolicyScores & { mix: SweepMix };

/** What all claims are decided by. */
export type Rule = {
  /** Objectives that have a head and are judged. */
  objectives: readonly string[];
  /** How far below a rival still counts as near it, in the scores' unit. Default 0.05. */
  margin?: number;
  /** Draws of each bootstrap. Default 1000. */
  resamples?: number;
  /** Seed of the bootstrap's streams. Default 0. */
  seed?: number;
};

const nearEnough = 0.05;

/** Prompts of each seed that anything was scored on. */
export const promptsOf = (policies: readonly PolicyScores[]): number[] => {
  const all = policies.flatMap(({ scores }) => Object.values(scores));
  const seeds = Math.max(0, ...all.map(({ length }) => length));
  return Array.from({ length: seeds }, (_, seed) =>
    Math.max(0, ...all.map((scores) => scores[seed]?.length ?? 0)),
  );
};

/** Means of a policy at drawn places, an objective a place; undefined where one was never judged there. */
export const meansAt = (
  { scores }: PolicyScores,
  objectives: readonly string[],
  draws: readonly Draw[],
): number[] | undefined => {
  const means = objectives.flatMap((objective) => drawnMean(scores[objective] ?? [], draws) ?? []);
  return means.length === objectives.length ? means : undefined;
};

/** A finding of any figure of drawn seeds and prompts. */
export const findingOf = (
  claim: Claim,
  of: string,
  policies: readonly PolicyScores[],
  figure: (draws: readonly Draw[]) => number | undefined,
  bound: number,
  { resamples = 1000, seed = 0 }: Omit<Rule, "objectives">,
): Finding | undefined => {
  const estimate = overSeeds(promptsOf(policies), figure, rng(seed, "study", claim, of), { resamples });
  return estimate === undefined ? undefined : finding(of, estimate, bound);
};

/** The finding that a beats b on one objective, prompt by prompt. */
const beats = (
  claim: Claim,
  a: PolicyScores,
  b: PolicyScores,
  objective: string,
  { resamples = 1000, seed = 0 }: Rule,
): Finding | undefined => {
  const of = `${objective}: ${a.label} - ${b.label}`;
  const random = rng(seed, "study", claim, of);
  const estimate = pairedOverSeeds(a.scores[objective] ?? [], b.scores[objective] ?? [], random, {
    resamples,
  });
  return estimate === undefined ? undefined : finding(of, estimate, 0);
};

/** The mix that is all of one objective. */
export const pureMix = (sweep: readonly MixScores[], objective: string): MixScores | undefined =>
  sweep.find(({ mix }) => Object.entries(mix).every(([name, weight]) => name === objective || weight === 0));

/** The mix nearest to equal weights of the objectives. */
export const equalMix = (sweep: readonly MixScores[]): MixScores | undefined => {
  const distance = ({ mix }: MixScores): number => {
    const weights = Object.values(mix);
    return weights.reduce((sum, weight) => sum + (weight - 1 / weights.length) ** 2, 0);
  };
  return sweep.toSorted((a, b) => distance(a) - distance(b))[0];
};

/**
 * Claim (a). For every objective k, with m_k the mean score on k:
 *
 * - head k against the best policy of one head: m_k(head k) - max over rivals of m_k(rival) lies above -margin. The best
 *   rival is chosen again in every draw, so that the choice counts towards the interval (it favours the rivals).
 * - head k against the model's other heads: m_k(head k) - max over heads j ≠ k of m_k(head j) lies above -margin.
 *
 * Being near the best says nothing where even the worst policy is: an objective on which the means of all policies lie within
 * the margin of each other can't be said to hold.
 *
 * @param rivals policies of one head, SFT among them
 */
export const ownHeads = (
  sweep: readonly MixScores[],
  rivals: readonly PolicyScores[],
  rule: Rule,
): Verdict => {
  const { objectives, margin = nearEnough } = rule;
  const against = (objective: string, others: readonly PolicyScores[], what: string): Finding | undefined => {
    const head = pureMix(sweep, objective);
    if (head === undefined || others.length === 0) return undefined;
    const of = `${objective}: head ${objective} - ${what}`;
    return findingOf(
      "a",
      of,
      [head, ...others],
      (draws) => {
        const result = meansAt(head, [objective], draws)?.[0];
        const best = Math.max(...others.flatMap((other) => meansAt(other, [objective], draws) ?? []));
        return result === undefined || !Number.isFinite(best) ? undefined : result - best;
      },
      -margin,
      rule,
    );
  };
  const heads = (but: string): MixScores[] =>
    objectives.flatMap((name) => (name === but ? [] : (pureMix(sweep, name) ?? [])));
  const all = [...sweep, ...rivals];
  const everything = everyPrompt(promptsOf(all));
  const alike = objectives.filter((objective) => {
    const means = all.flatMap((policy) => meansAt(policy, [objective], everything) ?? []);
    return Math.max(...means) - Math.min(...means) <= margin;
  });
  const findings = objectives.flatMap((objective) => {
    const results = [
      against(objective, rivals, "best policy of one head"),
      ...(objectives.length > 1 ? [against(objective, heads(objective), "best other head")] : []),
    ];
    return alike.includes(objective) ? results.map((finding) => finding && unableToFail(finding)) : results;
  });
  const names = rivals.map(({ label }) => label).join(", ");
  return verdict("a", findings, [
    `policies of one head: ${names || "none"}; near means within ${margin}`,
    ...(alike.length > 0
      ? [`no policy lies further than the margin from the best on ${alike.join(", ")}`]
      : []),
  ]);
};

/**
 * Claim (b).
 *
 * - The equal mix against SFT on every objective k: m_k(mix) - m_k(SFT) lies above 0.
 * - Less interference than one head on mixed data: with gain_k(p) = m_k(p) - m_k(SFT) (a row of `interference`), the least
 *   gain over objectives of the mix less that of the mixed head, min_k gain_k(mix) - min_k gain_k(mixed), lies above 0.
 *   What training on all objectives costs the one that loses most is what interference is about.
 */
export const equalGain = (
  sweep: readonly MixScores[],
  sft: PolicyScores | undefined,
  mixed: PolicyScores | undefined,
  rule: Rule,
): Verdict => {
  const { objectives } = rule;
  const mix = equalMix(sweep);
  const notes = [
    ...(sft === undefined ? ["SFT was not measured"] : []),
    ...(mixed === undefined ? ["dpo-mixed did not run, so interference is not compared"] : []),
  ];
  if (mix === undefined || sft === undefined) return verdict("b", [undefined], notes);
  const gains = objectives.map((objective) => beats("b", mix, sft, objective, rule));
  if (mixed === undefined) return verdict("b", [...gains, undefined], notes);
  const least = findingOf(
    "b",
    `least gain over SFT: ${mix.label} - ${mixed.label}`,
    [mix, sft, mixed],
    (draws) => {
      const [mixMeans, other, before] = [mix, mixed, sft].map((policy) => meansAt(policy, objectives, draws));
      if (mixMeans === undefined || other === undefined || before === undefined) return undefined;
      const [ours = [], theirs = []] = interference(before, [mixMeans, other]);
      return Math.min(...ours) - Math.min(...theirs);
    },
    0,
    rule,
  );
  return verdict("b", [...gains, least], notes);
};
