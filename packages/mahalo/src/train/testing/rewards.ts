/** Rows for reward models, one step of the task through training's own pass, and the same the plain way under autograd. */

import { backward, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { lookUp, zip } from "../../core/need.ts";
import { rng } from "../../core/random.ts";
import { unpackedRows } from "../../data/testing/unpacked-rows.ts";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import type { RewardModel } from "../../model/reward/reward-model.ts";
import { namedPrompt } from "../../model/reward/reward-prompt.ts";
import { denseMask, maskedAttention } from "../../model/testing/dense-attention.ts";
import { gradientsWith } from "../../model/testing/gradients.ts";
import { tokensOf } from "../../model/testing/tiny.ts";
import { plainKernels } from "../../model/transformer/kernels.ts";
import type { Parameter } from "../../model/transformer/parameters.ts";
import type { PassOptions } from "../forward.ts";
import type { Metrics } from "../metrics.ts";
import { type LabelledSteps, type RewardRow, type RewardTaskOptions, rewardTask } from "../reward.ts";
import type { RewardRecord } from "../reward-metrics.ts";
import { accumulateGradients } from "../step.ts";
import type { Task } from "../task.ts";

const ids = (name: string, length: number): number[] => {
  const random = rng(7, "rewards", name);
  return Array.from({ length }, () => 3 + random.integer(250));
};

/** A response with labelled steps; the labels' number is the steps', each some tokens long. */
const steps = (
  objective: string,
  line: number,
  prompt: number,
  lengths: readonly number[],
  labels: readonly (number | null)[],
): LabelledSteps => {
  const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0));
  return {
    objective,
    prompt: ids(`prompt ${line}`, prompt),
    response: ids(`response ${line}`, ends.at(-1) ?? 0),
    ends,
    labels,
    origin: { file: "steps.jsonl", line },
  };
};

const pair = (objective: string, line: number, ...[prompt, chosen, rejected]: number[]): EncodedPair => ({
  objective,
  prompt: ids(`prompt ${line}`, prompt ?? 0),
  chosen: ids(`chosen ${line}`, chosen ?? 0),
  rejected: ids(`rejected ${line}`, rejected ?? 0),
  origin: { file: "pairs.jsonl", line },
});

/** Rows of the objectives of `ALL_KINDS`, unequal on purpose: steps of one token, steps without a label, shares. */
export const REWARD_ROWS: readonly RewardRow[] = [
  steps("accuracy", 1, 5, [3, 1, 4], [1.2, 0.4, 1.9]),
  steps("accuracy", 2, 8, [6], [0]),
  steps("clarity", 3, 4, [2, 3, 5, 1], [0.7, null, 0.1, 1]),
  steps("engagement", 4, 7, [4, 2], [1, 0]),
  steps("engagement", 5, 1, [1, 5], [null, 1]),
  steps("engagement", 6, 3, [2, 2, 2], [0, 0, 1]),
  pair("helpful", 7, 6, 4, 5),
  pair("helpful", 8, 2, 1, 7),
];

/** A task over rows; by default one step of all of {@link REWARD_ROWS}. */
export const rewardsTask = (
  model: RewardModel,
  options: Partial<RewardTaskOptions> = {},
): Task<RewardRecord> => {
  const { rows = REWARD_ROWS } = options;
  return rewardTask(model, { rows, heldOut: [], steps: 1, batch: () => rows.map((_, i) => i), ...options });
};

/** Lets the whole backbone and all reward heads train. */
export const trainAllRewards = ({ backbone, rewards }: RewardModel): Parameter[] => {
  const all = [...backbone.parameters(), ...rewards.parameters()];
  for (const parameter of all) parameter.trainable = true;
  return all;
};

/** Metrics, records and gradients that training's own pass gives for a step of all rows. */
export const rewardStep = (
  model: RewardModel,
  task: Task<RewardRecord>,
  options: Partial<PassOptions> = {},
): { metrics: Metrics; records: RewardRecord[]; gradients: Map<string, Float32Array> } => {
  const trained = trainAllRewards(model);
  for (const parameter of trained) parameter.clearGradient();
  const rows = task.rows(0);
  const records: RewardRecord[] = [];
  const inOrder = accumulateGradients(model, rows, (row, values) => task.loss(row, values, rows), {
    maxTokensPerMicrobatch: 10_000,
    ...options,
    headOf: task.headOf,
    trained,
  });
  for (const [row, record] of zip(rows, inOrder)) records[row.index] = record;
  return {
    metrics: task.metrics(records),
    records,
    gradients: gradientsWith(model, model.rewards.parameters()),
  };
};

/** Each loss as torch operators of a head's outputs at one place, [O]. */
const plainLosses = new Map<string, (outputs: Tensor, label: number) => Tensor>(
  Object.entries({
    value: (outputs, label) => ops.pow(outputs.sub(label), 2).sum(),
    soft: (outputs, label) =>
      ops
        .logSigmoid(outputs)
        .mul(-label)
        .add(ops.logSigmoid(outputs.mul(-1)).mul(label - 1))
        .sum(),
    hard: (outputs, label) => {
      const logs = outputs.logSoftmax(-1);
      return logs
        .narrow(0, 0, 1)
        .mul(label - 1)
        .add(logs.narrow(0, 1, 1).mul(-label))
        .sum();
    },
  }),
);

/** The loss of a kind of head at one place. */
const plainLoss = (kind: string, outputs: Tensor, label: number): Tensor =>
  lookUp(plainLosses, kind, "loss of the head")(outputs, label);

/** Outputs of a head behind a prefix, computed from the prefix alone, recorded by autograd. */
const prefixOutputs = (
  model: RewardModel,
  objective: string,
  prompt: readonly number[],
  prefix: readonly number[],
): Tensor => {
  const named = namedPrompt(model, objective, prompt);
  const [alone] = unpackedRows([{ prompt: named, completions: [prefix] }]);
  if (alone === undefined) throw new Error("a row with one completion");
  const { backbone } = model;
  const fast = backbone.kernels;
  backbone.kernels = plainKernels;
  try {
    const hidden_TD = backbone.forward(tokensOf(alone.batch), maskedAttention(denseMask(alone.batch)));
    const last = tensor(Int32Array.of(named.length + prefix.length - 1), { dtype: "int64" });
    return model.rewards.get(objective).apply(hidden_TD.indexSelect(0, last)).view(-1);
  } finally {
    backbone.kernels = fast;
  }
};

const rowLosses = (model: RewardModel, row: RewardRow): Tensor[] => {
  const { objective, prompt } = row;
  const { kind } = model.rewards.get(objective);
  const outputs = (prefix: readonly number[]): Tensor => prefixOutputs(model, objective, prompt, prefix);
  if ("chosen" in row) {
    const [chosen, rejected] = [outputs(row.chosen), outputs(row.rejected)];
    if (kind === "bradley-terry") return [ops.logSigmoid(chosen.sub(rejected)).mul(-1).sum()];
    return [plainLoss(kind, chosen, 1), plainLoss(kind, rejected, 0)];
  }
  if (kind === "bradley-terry") throw new Error("steps have no Bradley-Terry loss");
  return row.labels.flatMap((label, i) =>
    label === null ? [] : [plainLoss(kind, outputs(row.response.slice(0, row.ends[i])), label)],
  );
};

/**
 * The batch loss and its gradients by autograd, every prefix of every response in a pass of its own: no packing, no
 * output of several steps from one pass, no closed forms, no fused kernels.
 */
export const plainRewardStep = (
  model: RewardModel,
  rows: readonly RewardRow[] = REWARD_ROWS,
  weights: Readonly<Record<string, number>> = {},
): { loss: number; gradients: Map<string, Float32Array> } => {
  for (const parameter of trainAllRewards(model)) parameter.clearGradient();
  const loss = scope(() => {
    const names = [...new Set(rows.map(({ objective }) => objective))];
    const total = names.reduce((sum, name) => sum + (weights[name] ?? 1), 0);
    const means = names.map((name) => {
      const losses = rows
        .filter(({ objective }) => objective === name)
        .flatMap((row) => rowLosses(model, row));
      return ops
        .stack(losses)
        .mean()
        .mul((weights[name] ?? 1) / total);
    });
    const all = ops.stack(means).sum();
    backward(all);
    return all.item();
  });
  return { loss, gradients: gradientsWith(model, model.rewards.parameters()) };
};
