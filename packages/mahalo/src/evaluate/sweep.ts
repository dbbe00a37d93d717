/** The sweep: every mix answers the same held-out prompts, every objective's judge scores every answer. */
import { MahaloError } from "@mahalo/torch";
import { element, need, zip } from "../core/need.ts";
import { rng } from "../core/random.ts";
import type { Message } from "../data/rows/messages.ts";
import type { Judge, Verdict } from "../judges/types.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import { type Control, type ControlledPolicy, controlOf, type MeasuredMix, meansOf } from "./control.ts";
import { estimate, judgedDifference } from "./intervals.ts";
import type { SweepMix } from "./mixes.ts";
import type { Sample, Steering, SweepPoint } from "./results.ts";
import { fitScale, type Scale } from "./scale.ts";

/** One held-out prompt, with what judges compare with where they need it. */
export type SweepPrompt = { prompt: Message[]; reference?: unknown };

/** Something that answers prompts: a mix of the heads, or a baseline such as the SFT model. */
export type Policy = {
  /** Shown in the report: the mix, or the baseline's name. */
  label: string;
  /** Left out for a baseline. */
  mix?: SweepMix;
  /** Whether it is the model before alignment, which side effects are measured against. */
  before?: boolean;
  /** One answer a prompt, in order. */
  respond(prompts: readonly Message[][]): Promise<string[]>;
};

/** What {@link runSweep} needs. */
export type SweepOptions = {
  policies: readonly Policy[];
  /** Policies that depend on what was measured, before the others: `next` is asked `count` times, or until it has none. */
  adaptive?: { count: number; next(measured: readonly MeasuredMix[]): Policy | undefined } | undefined;
  /** By objective; objectives without a judge are not here. */
  judges: Readonly<Record<string, Judge>>;
  prompts: readonly SweepPrompt[];
  /** Prompts whose answers the report shows. Default 8. */
  samples?: number;
  /** Seed of the bootstrap's streams and of the choice of samples. Default 0. */
  seed?: number;
  /** Stops judging with an error. */
  signal?: AbortSignal;
  /** Called after each policy. */
  onPolicy?: (point: SweepPoint, done: number, total: number) => void;
};

/** One answer with its verdicts, for the run's file of answers. */
export type SweepAnswer = {
  label: string;
  prompt: number;
  response: string;
  verdicts: Record<string, Verdict>;
};

/** What {@link runSweep} found. */
export type SweepOutcome = {
  points: SweepPoint[];
  steering: Steering[];
  control: Control[];
  scale: Scale | undefined;
  samples: Sample[];
  /** Every answer, policies in turn, prompts in order. */
  answers: SweepAnswer[];
};

/** Scores are null where the judge abstained. */
type Judged = {
  policy: Policy;
  point: SweepPoint;
  scores: Record<string, (number | null)[]>;
  answers: SweepAnswer[];
};

const wrongCount = (message: string): MahaloError => new MahaloError("E_SWEEP", message, { exitStatus: 1 });

const judgePolicy = async (
  policy: Policy,
  { judges, prompts, seed = 0, signal }: SweepOptions,
): Promise<Judged> => {
  const responses = await policy.respond(prompts.map(({ prompt }) => prompt));
  if (responses.length !== prompts.length) {
    throw wrongCount(
      `policy "${policy.label}" gave ${responses.length} answers to ${prompts.length} prompts`,
    );
  }
  const items = zip(prompts, responses).map(([prompt, response]) => ({ ...prompt, response }));
  const answers: SweepAnswer[] = items.map(({ response }, prompt) => ({
    label: policy.label,
    prompt,
    response,
    verdicts: {},
  }));
  const point: SweepPoint = { label: policy.label, ...(policy.mix ? { mix: policy.mix } : {}), results: {} };
  const scores: Judged["scores"] = {};
  for (const [objective, judge] of Object.entries(judges)) {
    const verdicts = await judge.score(items, { signal });
    if (verdicts.length !== items.length) {
      throw wrongCount(
        `judge "${judge.name}" of "${objective}" gave ${verdicts.length} verdicts on ${items.length} answers`,
      );
    }
    for (const [answer, verdict] of zip(answers, verdicts)) answer.verdicts[objective] = verdict;
    const policyScores = verdicts.map(({ score }) => score);
    scores[objective] = policyScores;
    const judged = policyScores.filter((score) => score !== null);
    if (judged.length === 0) {
      throw new MahaloError(
        "E_SWEEP_ABSTAINED",
        `judge "${judge.name}" of "${objective}" abstained on all ${policyScores.length} answers of ${policy.label}: ${verdicts[0]?.reason ?? ""}`,
        { hint: "look at the reason, and change the judge's options" },
      );
    }
    point.results[objective] = estimate(judged, rng(seed, "evaluate", "bootstrap", objective, policy.label));
  }
  return { policy, point, scores, answers };
};

/** The difference that an objective's own end of the sweep makes against its other end. */
const steer = (objective: string, judged: readonly Judged[], seed: number): Steering[] => {
  const weight = ({ policy }: Judged): number => weightIn(policy.mix, objective);
  const mixes = judged
    .filter(({ policy }) => policy.mix !== undefined)
    .toSorted((a, b) => weight(b) - weight(a));
  const [start, other] = [mixes[0], mixes.at(-1)];
  if (!start || !other || weight(start) <= weight(other)) {
    return [];
  }
  const [ownResult, otherResult] = [start.point.results[objective], other.point.results[objective]];
  const random = rng(seed, "evaluate", "steering", objective);
  const scoresOf = ({ scores }: Judged): (number | null)[] =>
    need(scores[objective], `scores on ${objective}`);
  const difference = judgedDifference(scoresOf(start), scoresOf(other), random);
  if (difference === undefined) return [];
  return [
    {
      objective,
      ownEnd: start.policy.label,
      otherEnd: other.policy.label,
      difference,
      apart: (ownResult?.low ?? 0) > (otherResult?.high ?? 0),
    },
  ];
};

/** Mixes with more of the first objective come first, then those with more of the second. */
const byWeights = ({ policy: a }: Judged, { policy: b }: Judged): number =>
  Object.keys(a.mix ?? {}).reduce((order, name) => order || weightIn(b.mix, name) - weightIn(a.mix, name), 0);

const controlled = ({ policy, point, scores }: Judged): ControlledPolicy => ({
  mix: policy.mix,
  means: meansOf(point.results),
  scores,
});

const mixesIn = (judged: readonly Judged[]): MeasuredMix[] =>
  judged.map(controlled).flatMap(({ mix, ...rest }) => (mix === undefined ? [] : [{ mix, ...rest }]));

const toSample = (index: number, { prompts }: SweepOptions, judged: readonly Judged[]): Sample => {
  const { prompt, reference } = element(prompts, index, "prompt");
  return {
    prompt,
    ...(reference === undefined
      ? {}
      : { reference: typeof reference === "string" ? reference : JSON.stringify(reference) }),
    replies: judged.flatMap(({ answers }) => {
      const answer = answers[index];
      return answer ? [{ label: answer.label, response: answer.response, verdicts: answer.verdicts }] : [];
    }),
  };
};

/**
 * Runs all policies on all prompts and scores each answer on each objective.
 *
 * Every policy sees the same prompts, so differences between policies are paired. Answers on which a judge abstains are
 * left out of its objective's means. Sampled prompts are drawn by the
 * seed, never picked by how they turned out.
 *
 * @throws MahaloError E_SWEEP_EMPTY where there is nothing to run or to judge; E_SWEEP_ABSTAINED where a judge
 *   abstained on every answer of a policy; errors of judges and policies pass through.
 */
export const runSweep = async (options: SweepOptions): Promise<SweepOutcome> => {
  const { policies, adaptive, judges, prompts, samples = 8, seed = 0, onPolicy } = options;
  const total = policies.length + (adaptive?.count ?? 0);
  for (const [what, count, hint] of [
    ["mixes", total, "raise evaluate.mixes"],
    ["held-out prompts", prompts.length, "raise data.heldOut or evaluate.prompts"],
    [
      "judges",
      Object.keys(judges).length,
      "give an objective a judge, for example judge: { kind: rule, asksQuestion: true }",
    ],
  ] as const) {
    if (count === 0) {
      throw new MahaloError("E_SWEEP_EMPTY", `nothing to evaluate: there are no ${what}`, { hint });
    }
  }
  const judged: Judged[] = [];
  const run = async (policy: Policy): Promise<void> => {
    const result = await judgePolicy(policy, options);
    judged.push(result);
    onPolicy?.(result.point, judged.length, total);
  };
  while (adaptive !== undefined && judged.length < adaptive.count) {
    const policy = adaptive.next(mixesIn(judged));
    if (policy === undefined) break;
    await run(policy);
  }
  judged.sort(byWeights);
  for (const policy of policies) await run(policy);
  const shown = rng(seed, "evaluate", "samples")
    .shuffle(prompts.map((_, index) => index))
    .slice(0, samples);
  return {
    points: judged.map(({ point }) => point),
    steering: Object.keys(judges).flatMap((objective) => steer(objective, judged, seed)),
    control: controlOf(
      judged.map(controlled),
      judged.filter(({ policy }) => policy.before).map(controlled)[0],
      (objective, other) => rng(seed, "evaluate", "side effect", objective, other),
    ),
    scale: fitScale(mixesIn(judged), (weight) => rng(seed, "evaluate", "scale", String(weight))),
    samples: shown.map((index) => toSample(index, options, judged)),
    answers: judged.flatMap(({ answers }) => answers),
  };
};
