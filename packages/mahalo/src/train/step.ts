/** One training step, top to bottom: forward, loss, backward, clipping, optimizer. */
import { clipGradNorm, gradNorm, noGrad, type Optimizer, ops, scope, type Tensor } from "@mahalo/torch";
import { lookUp, need, zip } from "../core/need.ts";
import { rng } from "../core/random.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { mixedTokens } from "../model/transformer/tokens.ts";
import { passByObjective } from "./analysis/conflict.ts";
import { forwardWithoutGrad, headsOf, type PassOptions, type ReadOptions } from "./forward.ts";
import type { TrainedModel } from "./log-prob-head.ts";
import type { Metrics } from "./metrics.ts";
import { backwardHeads, forwardHeads, microbatches, valuesOf } from "./microbatch.ts";
import type { TrainOptions } from "./options.ts";
import type { CompletionValues, RowLoss, Task, TaskRow } from "./task.ts";

// Shapes: T tokens of a microbatch, D hidden.

/** What changes from step to step, and what that is done with. */
export type TrainState<R> = {
  model: TrainedModel;
  task: Task<R>;
  options: TrainOptions & ReadOptions;
  /** What is trained, and its float32 weights by name. */
  parameters: readonly Parameter[];
  masters: ReadonlyMap<string, Tensor>;
  optimizer: Optimizer;
  /** Learning rate of a step as a share of the options'. */
  schedule: (step: number) => number;
  seed: number;
};

/** One optimizer step, counted from 0. @returns its metrics */
export function trainStep<R>(state: TrainState<R>, step: number): Metrics {
  const { model, task, options, parameters, masters, optimizer } = state;
  const began = performance.now();
  const rows = task.rows(step);
  if (task.prepare !== undefined) {
    const values = forwardWithoutGrad(model, rows, options);
    task.prepare(zip(rows, values).map(([row, read]) => task.loss(row, read, rows).record));
  }

  // A row that a batch names twice has two records.
  const records = new Map<TaskRow, R[]>(rows.map((row) => [row, []]));
  const backward = (some: readonly TaskRow[]): void => {
    const lossOf = (row: TaskRow, values: readonly CompletionValues[]) => task.loss(row, values, rows);
    const recorded = accumulateGradients(model, some, lossOf, { ...options, trained: parameters });
    for (const [row, record] of zip(some, recorded)) lookUp(records, row).push(record);
  };
  const { every, project } = options.conflict ?? { every: 0, project: false };
  const measured = every > 0 && step % every === 0;
  const random = rng(state.seed, "conflict", String(step));
  const conflict =
    measured || project
      ? passByObjective(rows, parameters, backward, { forwardWithoutGrad: measured, project, random })
      : backward(rows);

  const { maxGradNorm, learningRate } = options;
  const norm = maxGradNorm > 0 ? clipGradNorm(masters, maxGradNorm) : gradNorm(masters);
  optimizer.learningRate = learningRate * state.schedule(step);
  optimizer.step();
  optimizer.zeroGrad();
  for (const parameter of parameters) parameter.syncFromMaster();
  model.heads?.clearMixes();
  model.backbone.adapters?.forgetStacks();

  const seconds = (performance.now() - began) / 1000;
  // Records follow the rows' order, not the microbatches', so that metrics do not depend on the packing.
  const inOrder = rows.map((row) => need(lookUp(records, row).shift(), "a row's record"));
  return {
    ...task.metrics(inOrder),
    ...conflict,
    grad_norm: norm,
    learning_rate: optimizer.learningRate,
    seconds,
    tokens_per_second: countTokens(rows) / seconds,
    pairs_per_second: rows.length / seconds,
    peak_memory_bytes: process.resourceUsage().maxRSS * 1024,
  };
}

/**
 * Forward and backward over rows, microbatch by microbatch: gradients are added to the parameters' float32 gradients.
 *
 * A head reads its own rows' positions only; the backbone gets one gradient, d(loss)/d(hidden), made of the heads' own.
 * With kept hidden states it gets none.
 *
 * @param lossOf the loss of one row and its gradients, d(loss of the step)/d(value), once its values are known
 * @returns the rows' records, in their order
 */
export function accumulateGradients<R>(
  model: TrainedModel,
  rows: readonly TaskRow[],
  lossOf: (row: TaskRow, values: readonly CompletionValues[]) => RowLoss<R>,
  options: PassOptions & ReadOptions & { trained: readonly Parameter[] },
): R[] {
  const records: R[] = [];
  const { hidden: cache, trunk, checkpointing = false } = options;
  for (const microbatch of microbatches(rows, options.maxTokensPerMicrobatch, headsOf(model, options))) {
    scope(() => {
      const { batch, mixes } = microbatch;
      const { backbone } = model;
      const pass =
        cache === undefined
          ? backbone.train(mixedTokens(batch, mixes, backbone), packedAttention(batch), {
              checkpoint: checkpointing,
              start: trunk?.startOf(microbatch.rows),
            })
          : undefined;
      const hidden = pass?.hidden_TD.detach() ?? need(cache, "hidden states");
      const outputs = forwardHeads(microbatch, hidden);
      const losses = zip(microbatch.rows, valuesOf(microbatch, outputs)).map(([row, values]) =>
        lossOf(row, values),
      );
      for (const [member, { record }] of zip(microbatch.members, losses)) records[member] = record;
      const gradients = losses.map((loss) => loss.gradients);
      if (pass === undefined) backwardHeads(microbatch, outputs, gradients);
      else {
        const gradient_TD = noGrad(() => ops.zerosLike(pass.hidden_TD));
        backwardHeads(microbatch, outputs, gradients, gradient_TD);
        pass.backward(gradient_TD);
      }
      for (const parameter of options.trained) parameter.syncGradient();
    });
  }
  return records;
}

const countTokens = (rows: readonly TaskRow[]): number =>
  rows.reduce(
    (sum, row) =>
      sum + row.completions.reduce((all, completion) => all + completion.length, row.prompt.length),
    0,
  );
