/** Best of n: what choosing among sampled answers by a reward model gains over one answer, and over a vote. */

import { type AggregateName, aggregateNames, aggregateScores } from "../core/aggregate.ts";
import { bootstrapInterval } from "../core/bootstrap.ts";
import { areaUnderCurve } from "../core/label-metrics.ts";
import { mean } from "../core/mean.ts";
import { need } from "../core/need.ts";
import type { Random } from "../core/random.ts";
import { firstBest, winners } from "../core/votes.ts";
import { type Estimate, estimate, pairedDifference } from "./intervals.ts";
import type { BestOf } from "./results.ts";

/** One sampled answer to a prompt. */
export type Candidate = {
  /** The judge's score of the whole answer. */
  score: number;
  /** The reward model's scores of its steps; none where it could not read the answer. */
  steps: readonly number[];
  /** Answers that mean the same have the same number; undefined for one that states none. */
  vote?: number | undefined;
};

/**
 * The candidate that most votes go to, each weighing `weight`; of classes with as many the one that came first.
 *
 * Answers that state nothing have no vote; where none states anything the first candidate is taken.
 */
export const majority = (
  candidates: readonly Candidate[],
  weight: (candidate: Candidate) => number = () => 1,
): Candidate | undefined => winners(candidates, weight)[0] ?? candidates[0];

/** The candidate whose steps a reward model likes best; one that it could not read comes last. */
export const bestBy = (candidates: readonly Candidate[], aggregate: AggregateName): Candidate | undefined =>
  firstBest(candidates, ({ steps }) =>
    steps.length === 0 ? Number.NEGATIVE_INFINITY : aggregateScores(steps)[aggregate],
  );

/** Bootstrap interval of the area under the curve over prompts, since steps of one prompt are not independent. */
const stepCurve = (prompts: readonly (readonly Candidate[])[], random: Random): Estimate | undefined => {
  const curve = (some: readonly (readonly Candidate[])[]): number | undefined => {
    const steps = some
      .flat()
      .flatMap(({ score, steps }) => steps.map((step) => ({ own: step, good: score > 0.5 })));
    return areaUnderCurve(
      steps.map(({ own }) => own),
      steps.map(({ good }) => good),
    );
  };
  const whole = curve(prompts);
  if (whole === undefined) return undefined;
  const [low, high] = bootstrapInterval(prompts, curve, random) ?? [whole, whole];
  return { mean: whole, low, high, n: prompts.length, method: "bootstrap" };
};

/** Areas under the curve among the answers to one prompt, by last scores; of prompts with right and wrong answers. */
const promptCurves = (prompts: readonly (readonly Candidate[])[]): number[] =>
  prompts.flatMap((candidates) => {
    const read = candidates.flatMap(({ score, steps }) => {
      const last = steps.at(-1);
      return last === undefined ? [] : [{ last, right: score > 0.5 }];
    });
    const area = areaUnderCurve(
      read.map(({ last }) => last),
      read.map(({ right }) => right),
    );
    return area ?? [];
  });

/**
 * Compares ways to choose among n sampled answers, prompt by prompt.
 *
 * `one` is what a single sample gets (the mean of the n), `any` what the best choice possible would get; `votes` and
 * `weightedVotes` (each vote weighing the reward model's last score, moved to begin at 0) are there where answers state
 * something; `gain` is the paired difference of choosing by the last step's score and a single sample, `overVotes` of it
 * and the vote. `stepAuc` says how well the scores of single steps tell right answers' steps from wrong ones';
 * `promptAuc` how well last scores tell right from wrong among the answers to one prompt, which is all that choosing
 * rests on (telling hard prompts from easy ones does not help it): the mean over prompts with answers of both kinds.
 *
 * @param prompts the candidates of each prompt, at least one each
 */
export const bestOf = (
  prompts: readonly (readonly Candidate[])[],
  random: Random,
): Omit<BestOf, "objective" | "model"> => {
  const choose = (choice: (candidates: readonly Candidate[]) => Candidate | undefined): number[] =>
    prompts.map((candidates) => need(choice(candidates), "a candidate of a prompt").score);
  const single = prompts.map((candidates) => mean(candidates.map(({ score }) => score)));
  const last = choose((candidates) => bestBy(candidates, "last"));
  const all = prompts.flat();
  const lasts = all.flatMap(({ steps }) => steps.slice(-1));
  const least = lasts.reduce((low, score) => Math.min(low, score), Number.POSITIVE_INFINITY);
  const votes = choose((candidates) => majority(candidates));
  const stepAuc = stepCurve(prompts, random);
  const curves = promptCurves(prompts);
  return {
    prompts: prompts.length,
    samples: all.length / prompts.length,
    one: estimate(single, random),
    any: estimate(
      choose((candidates) => firstBest(candidates, ({ score }) => score)),
      random,
    ),
    byModel: Object.fromEntries(
      aggregateNames.map((name) => [
        name,
        estimate(
          choose((candidates) => bestBy(candidates, name)),
          random,
        ),
      ]),
    ),
    gain: pairedDifference(last, single, random),
    ...(all.some(({ vote }) => vote !== undefined)
      ? {
          votes: estimate(votes, random),
          weightedVotes: estimate(
            choose((candidates) => majority(candidates, ({ steps }) => (steps.at(-1) ?? least) - least)),
            random,
          ),
          overVotes: pairedDifference(last, votes, random),
        }
      : {}),
    ...(stepAuc === undefined ? {} : { stepAuc }),
    ...(curves.length === 0 ? {} : { promptAuc: estimate(curves, random) }),
  };
};
