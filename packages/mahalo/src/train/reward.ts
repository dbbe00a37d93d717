/** Reward models as a task of the one trainer: labelled steps and pairs, each read by its objective's head. */
import { MahaloError } from "@mahalo/torch";
import { bug, element, lookUp, need, zip } from "../core/need.ts";
import type { Origin } from "../data/rows/problems.ts";
import type { EncodedPair } from "../data/tokens/encode.ts";
import { spansOf } from "../data/tokens/step-boundary.ts";
import type { RewardHead } from "../model/reward/reward-heads.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { namedPrompt } from "../model/reward/reward-prompt.ts";
import { rewardLossHead } from "./reward-loss-head.ts";
import { type RewardMetricsOptions, type RewardRecord, rewardMetrics } from "./reward-metrics.ts";
import type { CompletionValues, LossHead, RowLoss, Task, TaskRow } from "./task.ts";

/** A response with labelled steps, as token ids. */
export type LabelledSteps = {
  objective: string;
  prompt: readonly number[];
  response: readonly number[];
  /** For every step the index in `response` behind its last token, ascending. */
  ends: readonly number[];
  /** One for each step; null for a step that has none. */
  labels: readonly (number | null)[];
  origin: Origin;
};

/** A row that a reward model learns from. */
export type RewardRow = LabelledSteps | EncodedPair;

/** Rows, their order, and how objectives count. */
export type RewardTaskOptions = RewardMetricsOptions & {
  rows: readonly RewardRow[];
  heldOut: readonly RewardRow[];
  steps: number;
  /** Indices of the rows of a step; every objective has at least one. */
  batch(step: number): readonly number[];
};

/** What the task knows of a row: where its completions are read, and the label of each output. */
type Target = {
  head: RewardHead;
  /** For each completion the ends that are read. */
  ends: readonly (readonly number[])[];
  /** For each completion the labels of these; a pair that is compared has none. */
  labels: readonly (readonly number[])[];
};

const isPair = (row: RewardRow): row is EncodedPair => "chosen" in row;

function refuse(code: string, { origin, objective }: RewardRow, what: string, hint?: string): never {
  throw new MahaloError(code, `${origin.file}:${origin.line}: objective "${objective}": ${what}`, { hint });
}

/** Refuses labels that lie outside the response, so that none is ever lost without a word. */
const checkSteps = (row: LabelledSteps, { kind, type }: RewardHead): void => {
  const { ends, labels, response } = row;
  const { steps } = type;
  if (steps === undefined) {
    refuse("E_REWARD_ROW", row, `${type.title} learns from pairs, not from labelled steps`);
  }
  if (labels.length !== ends.length) {
    refuse("E_REWARD_ROW", row, `${labels.length} labels for ${ends.length} steps`);
  }
  const wrong = spansOf(ends).find(({ start, end }) => !(end > start && end <= response.length));
  if (wrong !== undefined) {
    refuse("E_REWARD_ROW", row, `a step ends at token ${wrong.end} of ${response.length}`);
  }
  if (labels.every((label) => label === null)) refuse("E_REWARD_ROW", row, "none of its steps has a label");
  for (const label of labels) {
    if (label === null || steps.accepts(label)) continue;
    refuse(
      "E_REWARD_LABEL",
      row,
      `label ${label} is not ${steps.range}, as a head of kind ${kind} needs`,
      "scale the labels, or give the objective a head of kind value",
    );
  }
};

const targetOf = (row: RewardRow, head: RewardHead): Target => {
  if (!isPair(row)) {
    checkSteps(row, head);
    const labelled = zip(row.labels, row.ends).flatMap(([label, end]) =>
      label === null ? [] : [{ label, end }],
    );
    return { head, ends: [labelled.map(({ end }) => end)], labels: [labelled.map(({ label }) => label)] };
  }
  const { pairs, title } = head.type;
  if (pairs === undefined) {
    return refuse("E_REWARD_ROW", row, `${title} learns from labelled steps, not from pairs`);
  }
  const ends = [[row.chosen.length], [row.rejected.length]];
  const labels = "labels" in pairs ? [[pairs.labels.chosen], [pairs.labels.rejected]] : [];
  return { head, ends, labels };
};

/** Losses and gradients of one completion's outputs. */
const judgeSteps = (
  { outputs: width, type }: RewardHead,
  values: CompletionValues,
  labels: readonly number[],
): { losses: number[]; gradients: Float32Array } => {
  const steps = need(type.steps, "a loss of labelled steps");
  const gradients = new Float32Array(values.length);
  const losses = labels.map((label, i) => {
    const step = steps.loss(values.subarray(i * width, (i + 1) * width), label);
    gradients.set(step.gradients, i * width);
    return step.loss;
  });
  return { losses, gradients };
};

const scaled = (gradients: Float32Array, factor: number): Float32Array =>
  gradients.map((gradient) => gradient * factor);

/** Gradients before they are weighed, and the record. */
const judgeRow = (
  objective: string,
  target: Target,
  values: readonly CompletionValues[],
): RowLoss<RewardRecord> => {
  const { head, labels } = target;
  const { kind, type } = head;
  if (labels.length === 0) {
    const { pairs } = type;
    if (pairs === undefined || !("compare" in pairs)) return bug(`${type.title} does not compare`);
    const [chosen, rejected] = [element(element(values, 0), 0), element(element(values, 1), 0)];
    const { loss, slope } = pairs.compare(chosen - rejected);
    return { gradients: [slope, -slope], record: { objective, kind, loss, chosen, rejected } };
  }
  const completions = zip(labels, values).map(([given, read]) => judgeSteps(head, read, given));
  return {
    gradients: completions.map(({ gradients }) => gradients),
    record: {
      objective,
      kind,
      losses: completions.flatMap(({ losses }) => losses),
      scores: values.flatMap((value) => head.scores(value)),
      labels: labels.flat(),
    },
  };
};

const checkWeights = (weights: Readonly<Record<string, number>>): void => {
  for (const [name, weight] of Object.entries(weights)) {
    if (weight > 0 && Number.isFinite(weight)) continue;
    throw new MahaloError("E_OBJECTIVE_WEIGHT", `objectives.${name}.weight: ${weight} is not above 0`);
  }
};

/**
 * Trains reward heads, and what of the backbone trains with them.
 *
 * The batch loss is the weighted mean, over the objectives present, of each one's mean loss:
 *
 *   L = sum_k (w_k / sum_j w_j) (1 / n_k) sum_{i in k} loss_i
 *
 * where n_k counts the labelled steps of objective k in the batch, or its pairs where the head is Bradley-Terry. The loss
 * is the head's: `value` squared error, `soft` binary cross-entropy of a number in [0, 1], `hard` cross-entropy of two
 * classes, `bradley-terry` -log σ(r_chosen - r_rejected) of the last tokens' scores. A head of classes learns from pairs
 * as well: the chosen response's last token is of class 1, the rejected one's of class 0.
 *
 * A row's hidden states come from one pass over prompt and response, read at the ends of all labelled steps; since
 * attention is causal, each is that of its prefix alone. Where the model names objectives in the prompt, so do the rows.
 *
 * Source: method, section 1.
 *
 * @throws MahaloError E_REWARD_ROW for a row that its head cannot learn from or whose labels do not fit its tokens,
 *   E_REWARD_LABEL for a label outside the head's range, E_REWARD_OBJECTIVE for one that the model does not score,
 *   E_OBJECTIVE_WEIGHT; of `rows`, E_BATCH_OBJECTIVE_MISSING
 */
export const rewardTask = (
  model: Pick<RewardModel, "rewards" | "config" | "tokenizer">,
  { rows, heldOut, steps, batch, weights = {}, thresholds = {} }: RewardTaskOptions,
): Task<RewardRecord> => {
  checkWeights(weights);
  const targets = new Map<TaskRow, Target>();
  const target = (row: TaskRow): Target => {
    const found = targets.get(row);
    if (found === undefined) throw new MahaloError("E_INTERNAL", "a row of another task", { exitStatus: 1 });
    return found;
  };
  const taskRow = (row: RewardRow, index: number): TaskRow => {
    const { objective } = row;
    const entry: TaskRow = {
      prompt: namedPrompt(model, objective, row.prompt),
      completions: isPair(row) ? [row.chosen, row.rejected] : [row.response],
      objective,
      index,
    };
    targets.set(entry, targetOf(row, model.rewards.get(objective)));
    return entry;
  };
  const all = rows.map(taskRow);
  const heldOutRows = heldOut.map(taskRow);
  const objectives = [...new Set(rows.map(({ objective }) => objective))].sort();
  const lossHeads = new Map<RewardHead, LossHead>();
  const headOf = (row: TaskRow): LossHead => {
    const { head } = target(row);
    const lossHead = lossHeads.get(head) ?? rewardLossHead(head, (row) => target(row).ends);
    lossHeads.set(head, lossHead);
    return lossHead;
  };

  /** What one loss of each objective counts in a step; computed once a step. */
  const shares = new WeakMap<readonly TaskRow[], Map<string, number>>();
  const sharesOf = (step: readonly TaskRow[]): Map<string, number> => {
    const cached = shares.get(step);
    if (cached !== undefined) return cached;
    const counts = new Map<string, number>();
    for (const row of step) {
      const { labels } = target(row);
      // Pairs that are compared have no labels, and one loss.
      const count = labels.length === 0 ? 1 : labels.flat().length;
      counts.set(row.objective ?? "", (counts.get(row.objective ?? "") ?? 0) + count);
    }
    const weightOf = (name: string): number => weights[name] ?? 1;
    const total = [...counts.keys()].reduce((sum, name) => sum + weightOf(name), 0);
    const stepShares = new Map(
      [...counts].map(([name, count]) => [name, weightOf(name) / total / count] as const),
    );
    shares.set(step, stepShares);
    return stepShares;
  };

  return {
    name: "reward",
    steps,
    rows: (step) => {
      const chosen = batch(step).map((index) => element(all, index, "row"));
      const missing = objectives.find((name) => !chosen.some(({ objective }) => objective === name));
      if (missing === undefined) return chosen;
      throw new MahaloError(
        "E_BATCH_OBJECTIVE_MISSING",
        `step ${step}: no row of objective "${missing}" in the batch`,
        {
          hint: "raise batchSize to at least the number of objectives",
        },
      );
    },
    headOf,
    loss: (row, values, step) => {
      const objective = row.objective ?? "";
      const { gradients, record } = judgeRow(objective, target(row), values);
      const share = lookUp(sharesOf(step), objective, "objective");
      return {
        gradients: gradients.map((gradient) =>
          typeof gradient === "number" ? gradient * share : scaled(gradient, share),
        ),
        record,
      };
    },
    metrics: (records) => rewardMetrics(records, { weights, thresholds }),
    heldOut: heldOutRows,
  };
};
