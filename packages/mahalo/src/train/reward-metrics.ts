/** How good reward scores are: accuracy, area under the curve, calibration, correlation and margin, as pure functions. */

import { MahaloError } from "@mahalo/torch";
import { areaUnderCurve, calibrationError, correlation, scoreMargin } from "../core/label-metrics.ts";
import { logistic } from "../core/logistic.ts";
import { mean } from "../core/mean.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import { type Metrics, objectiveMetric } from "./metrics.ts";

export { areaUnderCurve, calibrationError, correlation, scoreMargin };

/** What a step computed for one row of labelled steps. */
export type StepsRecord = {
  objective: string;
  kind: string;
  /** Loss, score (as the head's kind gives it) and label of each step. */
  losses: readonly number[];
  scores: readonly number[];
  labels: readonly number[];
};

/** What a step computed for one pair. */
export type ScoredPairRecord = {
  objective: string;
  kind: string;
  loss: number;
  chosen: number;
  rejected: number;
};

/** What a step computed for one row. */
export type RewardRecord = StepsRecord | ScoredPairRecord;

/** Names and values; what is undefined for these rows is left out. */
const defined = (metrics: Record<string, number | undefined>): Metrics =>
  Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );

const stepMetrics = (records: readonly StepsRecord[], threshold: number): Metrics => {
  const scores = records.flatMap((record) => record.scores);
  const labels = records.flatMap((record) => record.labels);
  const positive = labels.map((label) => label > threshold);
  const probabilities = records.every(({ kind }) => headKinds.get(kind).probability);
  return defined({
    loss: mean(records.flatMap(({ losses }) => losses)),
    accuracy: mean(scores.map((score, i) => Number(score > threshold === positive[i]))),
    auc: areaUnderCurve(scores, positive),
    ece: probabilities ? calibrationError(scores, labels) : undefined,
    correlation: correlation(scores, labels),
    margin: scoreMargin(scores, positive),
  });
};

const pairMetrics = (records: readonly ScoredPairRecord[]): Metrics => {
  const scores = records.flatMap(({ chosen, rejected }) => [chosen, rejected]);
  const positive = records.flatMap(() => [true, false]);
  const margins = records.map(({ chosen, rejected }) => chosen - rejected);
  return defined({
    loss: mean(records.map(({ loss }) => loss)),
    accuracy: mean(margins.map((margin) => Number(margin > 0))),
    auc: areaUnderCurve(scores, positive),
    // How sure the model is of the side that it prefers, against whether that is the chosen one.
    ece: calibrationError(
      margins.map((margin) => logistic(Math.abs(margin))),
      margins.map((margin) => Number(margin > 0)),
    ),
    correlation: correlation(scores, positive.map(Number)),
    margin: mean(margins),
  });
};

const isPair = (record: RewardRecord): record is ScoredPairRecord => "chosen" in record;
const isSteps = (record: RewardRecord): record is StepsRecord => !isPair(record);

/**
 * Metrics of one objective's rows: `loss`, `accuracy`, `auc`, `ece`, `correlation`, `margin`.
 *
 * Of steps: accuracy says how often score and label lie on the same side of the threshold, `auc` and `margin` take labels
 * above it as positive, `ece` is that of probabilities (a value head has none). Of pairs: accuracy says how often the
 * chosen response scores higher, `margin` by how much it does, `auc` and `correlation` compare scores of different
 * prompts too, and `ece` is that of the preferred side's probability. What a step's rows do not define (the area under
 * the curve without positives, say) is left out.
 *
 * @param threshold score and label above which a step counts as good; default 0.5
 */
export const objectiveMetrics = (records: readonly RewardRecord[], threshold = 0.5): Metrics =>
  records.every(isPair) ? pairMetrics(records) : stepMetrics(records.filter(isSteps), threshold);

/** How {@link rewardMetrics} weighs and judges objectives. */
export type RewardMetricsOptions = {
  /** Weight of each objective in the loss; default 1 each. */
  weights?: Readonly<Record<string, number>>;
  /** Score and label above which a step counts as good, for each objective; default 0.5. */
  thresholds?: Readonly<Record<string, number>>;
};

/**
 * The metrics of a step: each objective's under its own name, and the plain `loss` and `accuracy`.
 *
 * The plain `loss` is that of training: the mean over the objectives' mean losses, weighted where weights are given. The
 * plain `accuracy` is the mean of the objectives' own; other metrics of different objectives are never averaged.
 *
 * @throws MahaloError E_METRICS_EMPTY for no rows
 */
export const rewardMetrics = (
  records: readonly RewardRecord[],
  { weights = {}, thresholds = {} }: RewardMetricsOptions = {},
): Metrics => {
  const objectives = [...new Set(records.map(({ objective }) => objective))].sort();
  if (objectives.length === 0) {
    throw new MahaloError("E_METRICS_EMPTY", "a step without rows has no reward metrics", { exitStatus: 1 });
  }
  const byObjective = objectives.map((objective) => {
    const mine = records.filter((record) => record.objective === objective);
    return { objective, metrics: objectiveMetrics(mine, thresholds[objective]) };
  });
  const weightOf = (objective: string): number => weights[objective] ?? 1;
  const total = objectives.reduce((sum, objective) => sum + weightOf(objective), 0);
  const loss = byObjective.reduce(
    (sum, { objective, metrics }) => sum + (weightOf(objective) / total) * (metrics.loss ?? 0),
    0,
  );
  const accuracy = mean(byObjective.map(({ metrics }) => metrics.accuracy ?? 0));
  const named = byObjective.flatMap(({ objective, metrics }) =>
    Object.entries(metrics).map(([name, value]) => [objectiveMetric(objective, name), value] as const),
  );
  return { loss, accuracy, ...Object.fromEntries(named) };
};
