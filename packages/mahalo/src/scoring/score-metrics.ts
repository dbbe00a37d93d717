/** How good scores are, where the rows say what is right: pairs, labelled responses and labelled steps. */

import { aggregateNames } from "../core/aggregate.ts";
import { bootstrapInterval, type Interval } from "../core/bootstrap.ts";
import { areaUnderCurve, calibrationError, correlation, scoreMargin } from "../core/label-metrics.ts";
import { mean } from "../core/mean.ts";
import { element } from "../core/need.ts";
import { rng } from "../core/random.ts";
import { promptKey } from "../data/rows/rows.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import type { JudgedScore, ScoredRow, StepwiseScore } from "./score-rows.ts";

/** Scores against labels; what the rows do not define (the area under the curve without positives, say) is left out. */
export type LabelMetrics = {
  count: number;
  /** Share whose score and label lie on the same side of the threshold. */
  accuracy: number;
  /** Area under the ROC curve, labels above the threshold being positive. */
  auc?: number;
  /** Bootstrap interval of it over prompts, at 95%. */
  aucInterval?: Interval;
  /** Expected calibration error; of probabilities only. */
  ece?: number;
  correlation?: number;
  /** Mean score of the positives minus that of the negatives. */
  margin?: number;
};

/** Chosen against rejected. A tie counts as wrong. */
export type PairMetrics = {
  count: number;
  accuracy: number;
  /** Bootstrap interval of the accuracy over prompts, at 95%. */
  accuracyInterval?: Interval;
  ties: number;
  margin: number;
};

/** What an objective's rows say of its scores; by aggregate, or under `score` for a judge. */
export type ScoreMetrics = {
  rows: number;
  /** Responses that a judge abstained from. */
  abstained: number;
  /** Mean over all responses. */
  mean: Record<string, number>;
  pairs?: Record<string, PairMetrics>;
  responses?: Record<string, LabelMetrics>;
  steps?: LabelMetrics;
};

/** Options of {@link scoreMetrics}. */
export type ScoreMetricsOptions = {
  /** Score and label above which something counts as good. Default 0.5. */
  threshold?: number | undefined;
  /** Kind of an objective's head; undefined for a judge, whose scores are no probabilities. */
  kindOf?: ((objective: string) => string) | undefined;
};

const collect = <T>(into: Map<string, T[]>, name: string, value: T): void => {
  const values = into.get(name);
  if (values === undefined) into.set(name, [value]);
  else values.push(value);
};

/** Something observed of a row, and the prompt that the row is of. */
type Of<T> = { prompt: string; value: T };

type Labelled = { score: number; label: number };

/** The interval of a figure over prompts, each with all that was observed of it; undefined of a single prompt. */
const intervalOf = <T>(
  all: readonly Of<T>[],
  figure: (values: readonly T[]) => number | undefined,
): Interval | undefined => {
  const prompts = new Map<string, T[]>();
  for (const { prompt, value } of all) collect(prompts, prompt, value);
  // One prompt says nothing of how prompts differ.
  if (prompts.size < 2) return undefined;
  return bootstrapInterval(
    [...prompts.values()],
    (drawn) => figure(drawn.flat()),
    rng(0, "score", "bootstrap"),
  );
};

const labelMetrics = (
  observed: readonly Of<Labelled>[],
  threshold: number,
  probabilities: boolean,
): LabelMetrics => {
  const all = observed.map(({ value }) => value);
  const scores = all.map(({ score }) => score);
  const labels = all.map(({ label }) => label);
  const positive = labels.map((label) => label > threshold);
  const unit = labels.every((label) => label >= 0 && label <= 1);
  const curve = (some: readonly Labelled[]): number | undefined =>
    areaUnderCurve(
      some.map(({ score }) => score),
      some.map(({ label }) => label > threshold),
    );
  const auc = curve(all);
  const metrics = {
    auc,
    aucInterval: auc === undefined ? undefined : intervalOf(observed, curve),
    ece: probabilities && unit ? calibrationError(scores, labels) : undefined,
    correlation: correlation(scores, labels),
    margin: scoreMargin(scores, positive),
  };
  return {
    count: all.length,
    accuracy: mean(scores.map((score, index) => Number(score > threshold === positive[index]))),
    ...Object.fromEntries(Object.entries(metrics).filter(([, value]) => value !== undefined)),
  };
};

const pairMetrics = (observed: readonly Of<number>[]): PairMetrics => {
  const margins = observed.map(({ value }) => value);
  const accuracyOf = (some: readonly number[]): number => mean(some.map((margin) => Number(margin > 0)));
  const accuracyInterval = intervalOf(observed, accuracyOf);
  return {
    count: margins.length,
    accuracy: accuracyOf(margins),
    ...(accuracyInterval === undefined ? {} : { accuracyInterval }),
    ties: margins.filter((margin) => margin === 0).length,
    margin: mean(margins),
  };
};

type Score = StepwiseScore | JudgedScore;

/** A response's numbers by name; none where a judge abstained. */
const numbersOf = (score: Score): Record<string, number> => {
  if ("steps" in score) return Object.fromEntries(aggregateNames.map((name) => [name, score[name]]));
  return score.score === null ? {} : { score: score.score };
};

const tables = <T, R>(lists: ReadonlyMap<string, T[]>, of: (list: T[]) => R): Record<string, R> =>
  Object.fromEntries([...lists].map(([name, list]) => [name, of(list)]));

const ofObjective = (
  rows: readonly ScoredRow[],
  threshold: number,
  kind: string | undefined,
): ScoreMetrics => {
  const probabilities = kind !== undefined && headKinds.get(kind).probability;
  const all = new Map<string, number[]>();
  const margins = new Map<string, Of<number>[]>();
  const labelled = new Map<string, Of<Labelled>[]>();
  const steps: Of<Labelled>[] = [];
  let abstained = 0;
  for (const row of rows) {
    const prompt = promptKey(row.prompt);
    const sides: Score[] = "chosen" in row ? [row.chosen, row.rejected] : [row];
    const numbers = sides.map(numbersOf);
    for (const number of numbers) {
      if (Object.keys(number).length === 0) abstained += 1;
      for (const [name, value] of Object.entries(number)) collect(all, name, value);
    }
    if ("chosen" in row) {
      const [chosen, rejected] = [element(numbers, 0), element(numbers, 1)];
      for (const [name, value] of Object.entries(chosen)) {
        const other = rejected[name];
        if (other !== undefined) collect(margins, name, { prompt, value: value - other });
      }
      continue;
    }
    const scoredSteps = "steps" in row ? row.steps : [];
    for (const { score, label } of scoredSteps)
      if (label !== undefined) steps.push({ prompt, value: { score, label } });
    const { label } = row;
    if (label === undefined) continue;
    for (const [name, score] of Object.entries(element(numbers, 0)))
      collect(labelled, name, { prompt, value: { score, label } });
  }
  return {
    rows: rows.length,
    abstained,
    mean: tables(all, mean),
    ...(margins.size > 0 ? { pairs: tables(margins, pairMetrics) } : {}),
    ...(labelled.size > 0
      ? { responses: tables(labelled, (list) => labelMetrics(list, threshold, probabilities)) }
      : {}),
    ...(steps.length > 0 ? { steps: labelMetrics(steps, threshold, probabilities) } : {}),
  };
};

/** The metrics of scored rows, objective by objective in the order of their first rows. */
export const scoreMetrics = (
  rows: readonly ScoredRow[],
  { threshold = 0.5, kindOf }: ScoreMetricsOptions = {},
): Record<string, ScoreMetrics> => {
  const objectives = new Map<string, ScoredRow[]>();
  for (const row of rows) collect(objectives, row.objective, row);
  return Object.fromEntries(
    [...objectives].map(([objective, members]) => [
      objective,
      ofObjective(members, threshold, kindOf?.(objective)),
    ]),
  );
};
