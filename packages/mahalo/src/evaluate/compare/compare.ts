/** Compares runs: every policy over its seeds, fronts, and paired differences with their intervals. */
import { append } from "../../core/append.ts";
import { mean } from "../../core/mean.ts";
import { element, need, zip } from "../../core/need.ts";
import { rng } from "../../core/random.ts";
import { winRates } from "../answer-metrics.ts";
import { controlMeasures, meansOf } from "../control.ts";
import { coverage, type FrontPoint, frontOf, hypervolume, leastRegret } from "../front.ts";
import { gainsOf } from "../gains.ts";
import { type RunGroup, readGroups } from "./compared-runs.ts";
import type { ComparedGroup, ComparedPoint, Comparison } from "./comparison.ts";
import { type OverSeeds, onSharedSeeds, policiesOf, samePrompts, scoresIn, scoresOf } from "./over-seeds.ts";
import { type Draw, drawnMean, everyPrompt, overSeeds, pairedOverSeeds, type SeedEstimate } from "./seeds.ts";
import { sideBySide } from "./side-by-side.ts";

/** Options of {@link compareRuns}. */
export type CompareOptions = {
  /** Draws of each bootstrap. Default 1000. */
  resamples?: number;
  /** Seed of the bootstrap's streams. Default 0. */
  seed?: number;
};

/** The mix nearest to equal weights; the first policy where there are no mixes. */
const centreOf = (policies: readonly OverSeeds[]): OverSeeds | undefined => {
  const distance = ({ mix }: OverSeeds): number => {
    const weights = Object.values(mix ?? {});
    return weights.reduce((sum, weight) => sum + (weight - 1 / weights.length) ** 2, 0);
  };
  return policies.reduce<OverSeeds | undefined>(
    (best, policy) => (best === undefined || distance(policy) < distance(best) - 1e-12 ? policy : best),
    undefined,
  );
};

/** Means of every policy at drawn places; undefined where one is not defined. */
const pointsAt = (
  policies: readonly OverSeeds[],
  objectives: readonly string[],
  draws: readonly Draw[],
): FrontPoint[] | undefined => {
  const points = policies.map((policy) =>
    objectives.flatMap((objective) => drawnMean(scoresOf(policy, objective), draws) ?? []),
  );
  return points.every(({ length }) => length === objectives.length) ? points : undefined;
};

const duelsOf = (a: OverSeeds, b: OverSeeds, objective: string) =>
  zip(a.bySeed, b.bySeed).flatMap(([left, other]) =>
    zip(scoresIn(left, objective), scoresIn(other, objective)).flatMap(([score, against], index) => {
      if (score === null || against === null) return [];
      const win = score === against ? 0.5 : Number(score > against);
      return [
        { win, length: element(left.characters, index), otherLength: element(other.characters, index) },
      ];
    }),
  );

const decided = ({ low, high }: SeedEstimate): boolean => low > 0 || high < 0;

const pairs = <T>(all: readonly T[]): [T, T][] =>
  all.flatMap((a, index) => all.slice(index + 1).map((b): [T, T] => [a, b]));

const differencesOf = (
  a: RunGroup,
  b: RunGroup,
  objectives: readonly string[],
  reference: FrontPoint,
  { resamples = 1000, seed = 0 }: CompareOptions,
): Comparison["differences"] => {
  const [ownPolicies, otherPolicies] = [policiesOf(a), policiesOf(b)];
  const [centre, other] = [centreOf(ownPolicies), centreOf(otherPolicies)];
  if (centre === undefined || other === undefined) return [];
  const random = (of: string) => rng(seed, "compare", a.name, b.name, of);
  const between = objectives.flatMap((objective): Comparison["differences"] => {
    const difference = pairedOverSeeds(
      scoresOf(centre, objective),
      scoresOf(other, objective),
      random(objective),
      { resamples },
    );
    const duels = duelsOf(centre, other, objective);
    if (difference === undefined || duels.length === 0) return [];
    const compared = { a: a.name, b: b.name, of: objective, difference };
    return [{ ...compared, decided: decided(difference), win: winRates(duels) }];
  });
  if (objectives.length < 2) return between;
  const volume = overSeeds(
    a.parts.map(({ prompts }) => prompts),
    (draws) => {
      const [mine, theirs] = [ownPolicies, otherPolicies].map((all) => pointsAt(all, objectives, draws));
      if (mine === undefined || theirs === undefined) return undefined;
      return hypervolume(mine, reference) - hypervolume(theirs, reference);
    },
    random("hypervolume"),
    { resamples },
  );
  if (volume === undefined) return between;
  return [
    ...between,
    { a: a.name, b: b.name, of: "hypervolume", difference: volume, decided: decided(volume) },
  ];
};

const groupResults = (
  group: RunGroup,
  objectives: readonly string[],
  reference: FrontPoint,
  best: FrontPoint,
  { resamples = 1000, seed = 0 }: CompareOptions,
): ComparedGroup | undefined => {
  const policies = policiesOf(group);
  const prompts = group.parts.map((part) => part.prompts);
  const means = pointsAt(policies, objectives, everyPrompt(prompts));
  const centre = centreOf(policies);
  if (means === undefined || centre === undefined) return undefined;
  const front = frontOf(means);
  const points = policies.map((policy, index): ComparedPoint => {
    const results = objectives.flatMap((objective) => {
      const random = rng(seed, "compare", group.name, policy.label, objective);
      const scores = scoresOf(policy, objective);
      const estimate = overSeeds(prompts, (draws) => drawnMean(scores, draws), random, { resamples });
      return estimate === undefined ? [] : [[objective, estimate] as const];
    });
    const kl = policy.bySeed.map((part) => part.kl ?? []);
    const far = kl.some(({ length }) => length === 0)
      ? undefined
      : overSeeds(
          prompts,
          (draws) => drawnMean(kl, draws),
          rng(seed, "compare", group.name, policy.label, "kl"),
          { resamples },
        );
    return {
      label: policy.label,
      ...(policy.mix === undefined ? {} : { mix: policy.mix }),
      results: Object.fromEntries(results),
      onFront: front.includes(index),
      distinct: mean(policy.bySeed.map((part) => part.distinct)),
      words: mean(policy.bySeed.flatMap(({ words }) => words)),
      ...(far === undefined ? {} : { kl: far }),
    };
  });
  const random = rng(seed, "compare", group.name, "hypervolume");
  const volume = overSeeds(
    prompts,
    (draws) => {
      const drawn = pointsAt(policies, objectives, draws);
      return drawn === undefined ? undefined : hypervolume(drawn, reference);
    },
    random,
    { resamples },
  );
  return {
    name: group.name,
    runs: group.parts.map(({ folder, seed: runSeed }) => ({ folder, seed: runSeed })),
    points,
    centre: centre.label,
    ...(volume === undefined ? {} : { hypervolume: volume }),
    leastRegret: leastRegret(means, best),
    control: controlMeasures(points.map(({ mix, results }) => ({ mix, means: meansOf(results) }))),
  };
};

/**
 * Compares groups of runs: every policy's results over seeds and prompts, each group's front, hypervolume and regret, and
 * of every two groups the paired difference of their centres on each objective and of their hypervolumes.
 *
 * Hypervolumes are measured above 0 where all results are shares, else above the least mean of each objective. Groups are
 * compared over the seeds that both have and only where they answered the same prompts.
 */
export const compareGroups = (groups: readonly RunGroup[], options: CompareOptions = {}): Comparison => {
  const objectives = Object.keys(groups[0]?.parts[0]?.policies[0]?.scores ?? {});
  const all = groups.flatMap((group) => {
    const whole = everyPrompt(group.parts.map(({ prompts }) => prompts));
    return pointsAt(policiesOf(group), objectives, whole) ?? [];
  });
  const values = groups.flatMap(({ parts }) =>
    parts.flatMap(({ policies }) => policies.flatMap(({ scores }) => Object.values(scores).flat())),
  );
  const shares = values.every((value) => value === null || (value >= 0 && value <= 1));
  const along = (position: number): number[] => all.map((point) => element(point, position, "objective"));
  const reference = objectives.map((_, index) => (shares ? 0 : Math.min(...along(index))));
  const best = objectives.map((_, index) => Math.max(...along(index)));
  const notes: string[] = [];
  const differences: Comparison["differences"] = [];
  for (const [a, b] of pairs(groups)) {
    const [left, other] = onSharedSeeds(a, b);
    if (samePrompts(left.parts, other.parts)) {
      append(differences, differencesOf(left, other, objectives, reference, options));
    } else {
      notes.push(
        `${a.name} and ${b.name} are not compared prompt by prompt: ${left.parts.length === 0 ? "they have no seed in common" : "they did not answer the same prompts"}.`,
      );
    }
  }
  const few = groups.filter(({ parts }) => parts.length < 3).map(({ name }) => name);
  if (few.length > 0) {
    notes.push(
      `${few.join(", ")}: fewer than 3 seeds, so the intervals say little about what another seed would give.`,
    );
  }
  const compared = groups.flatMap((group) => groupResults(group, objectives, reference, best, options) ?? []);
  const means = new Map(
    compared.map(({ name, points }) => [
      name,
      points.map(({ results }) =>
        objectives.map((objective) => need(results[objective], `the result on ${objective}`).mean),
      ),
    ]),
  );
  return {
    format: "mahalo-comparison",
    version: 3,
    objectives,
    shares,
    reference,
    groups: compared,
    differences,
    gains: gainsOf(groups, objectives, options),
    coverage: [...means].flatMap(([a, points]) =>
      [...means].flatMap(([b, other]) => (a === b ? [] : [{ a, b, coverage: coverage(points, other) }])),
    ),
    notes,
  };
};

/**
 * Reads runs and compares them, with sample answers side by side; the work of `mahalo compare`.
 *
 * @throws MahaloError as {@link readGroups}
 */
export const compareRuns = async (
  folders: readonly string[],
  options: CompareOptions = {},
): Promise<Comparison> => {
  const groups = await readGroups(folders);
  const comparison = compareGroups(groups, options);
  const standing = comparison.groups.flatMap(({ name, centre }) => {
    const group = groups.find((group) => group.name === name);
    return group === undefined ? [] : [{ group, label: centre }];
  });
  return { ...comparison, samples: await sideBySide(standing) };
};
