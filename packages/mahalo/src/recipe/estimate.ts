/** The time and memory of each stage, out of counts, the model's shape, and this machine's measured speeds. */
import { totalmem } from "node:os";
import { need } from "../core/need.ts";
import { computeDType } from "../model/transformer/precision.ts";
import type { RewardOptions } from "./schema/reward.ts";
import type { RolloutBlock } from "./schema/rollout.ts";
import type { AlignOptions, EvaluateOptions, SftOptions, TrainingOptions } from "./schema/schema.ts";
import {
  decodingBytes,
  lowRank,
  type ModelShape,
  sizeOf,
  soupBytes,
  type TrainedHeads,
  trainedLayers,
  trainedParameters,
  trainingBytes,
} from "./shapes.ts";
import { readsReference } from "./stages/align-methods.ts";
import {
  bodySeconds,
  type Cost,
  type DataCounts,
  exampleRow,
  layerSeconds,
  pairRow,
  type Row,
  readSeconds,
  type Speeds,
  stepSeconds,
  type Work,
} from "./work.ts";

const stepsOf = ({ maxSteps, epochs, batchSize }: TrainingOptions, rows: number): number =>
  Math.min(maxSteps ?? Number.POSITIVE_INFINITY, Math.ceil((rows * epochs) / batchSize));

/** How often held-out rows are measured. */
const evaluationsOf = ({ evaluateEvery: every }: TrainingOptions, steps: number): number => {
  if (every === "never") return 0;
  return every === 0 ? 1 : Math.ceil(steps / every);
};

/**
 * Seconds of optimiser steps: layers that train cost what forward and backward were measured to, those below a forward.
 *
 * @param of `kept`: what layers below give is kept, so that steps begin above them
 */
const trainSeconds = (
  options: TrainingOptions,
  model: ModelShape,
  { row, rows, kept = false, ...heads }: TrainedHeads & { row: Row; rows: number; kept?: boolean },
  speeds: Speeds,
): number => {
  const steps = stepsOf(options, rows);
  const trained = trainedLayers(options, model);
  const forward = layerSeconds(speeds.forward, speeds.attention, row.length);
  const learnt = lowRank(options) ? need(speeds.lora, "the speed of low-rank updates") : speeds.train;
  const backward =
    layerSeconds(learnt, speeds.attentionTrain, row.length) + (options.checkpointing ? forward : 0);
  const token = (kept ? 0 : model.layers - trained) * forward + trained * backward;
  return (
    steps * options.batchSize * (row.tokens * token + row.headTokens * speeds.headTrain) +
    steps * trainedParameters(options, model, heads) * speeds.update
  );
};

const workOf = (options: TrainingOptions, seconds: Work["seconds"]): Work => ({
  compute: computeDType(options.precision),
  lora: lowRank(options),
  seconds,
});

/** Cost of supervised fine-tuning. */
export const sftCost = (options: SftOptions, model: ModelShape, data: DataCounts): Cost => {
  const row = exampleRow(data.exampleTokens);
  const rows = data.examples;
  const measured = evaluationsOf(options, stepsOf(options, rows)) * data.heldOutExamples;
  const held = { heads: 1, keptHeads: 0, tokens: row.tokens };
  return {
    bytes: trainingBytes(options, model, held, computeDType(options.precision)),
    work: workOf(
      options,
      (speeds) =>
        trainSeconds(options, model, { row, rows, heads: 1 }, speeds) +
        measured * readSeconds(model, row, speeds),
    ),
  };
};

/** What aligning by a method passes over. */
export type AlignCounts = {
  /** Rows of an epoch; smaller objectives are repeated until the largest has been seen once. */
  rows: number;
  /** Pairs of each objective that trains, and held-out pairs of them all. */
  pairs: readonly number[];
  heldOut: number;
  /** Heads that are trained, and heads that are only held. */
  heads: number;
  keptHeads: number;
  /** Passes without gradients over every pair, of the reference and of models that reward pairs. */
  readings: number;
  /** Whether the backbone is frozen, and only heads learn. */
  frozen: boolean;
};

/**
 * Cost of aligning: one prompt a pair, and a head at the responses only.
 *
 * What the reference and rewarding models read is each pair once that steps reach, an objective having an equal share of
 * them, and the held-out pairs; rewarding models are taken to be as large as the policy, with a head over the vocabulary.
 * With a frozen backbone, hidden states of each such pair are computed once and kept, so that steps cost the heads alone
 * and no layer has gradients or kept activations. What frozen layers below those that train give is kept, too: the reference,
 * which reads each pair once, shares it with all steps.
 */
export const alignCost = (
  options: AlignOptions,
  counts: AlignCounts,
  model: ModelShape,
  data: DataCounts,
): Cost => {
  const row = pairRow(data);
  const { rows, heads, keptHeads, frozen } = counts;
  const steps = stepsOf(options, rows);
  const share = (options.batchSize * steps) / Math.max(1, counts.pairs.length);
  const read = counts.pairs.reduce((sum, size) => sum + Math.min(size, share), counts.heldOut);
  const measured = evaluationsOf(options, steps) * counts.heldOut;
  // What is kept of a frozen backbone is no more than a quarter of the machine's memory.
  const kept = read * row.headTokens * model.hiddenSize * sizeOf(computeDType(options.precision));
  const trained: AlignOptions = frozen ? { ...options, train: "heads", checkpointing: false } : options;
  // Of a frozen backbone steps read what is kept.
  const stepRow = frozen ? { ...row, tokens: 0 } : row;
  // The reference reads the same states.
  const shared = Math.min(counts.readings, Number(frozen && readsReference(options)));
  const headRank = options.heads?.rank;
  const held = { heads, headRank, keptHeads, tokens: row.tokens };
  return {
    bytes:
      trainingBytes(trained, model, held, computeDType(options.precision)) +
      (frozen ? Math.min(kept, totalmem() / 4) : 0),
    work: workOf(
      trained,
      (speeds) =>
        (counts.readings - shared) * read * readSeconds(model, row, speeds) +
        shared * read * readSeconds(model, stepRow, speeds) +
        (frozen ? read * bodySeconds(model, row, speeds) : 0) +
        trainSeconds(trained, model, { row: stepRow, rows, heads, headRank, kept: true }, speeds) +
        measured * readSeconds(model, stepRow, speeds),
    ),
  };
};

/** Cost of merging models into a soup. */
export const soupCost = (model: ModelShape): Cost => ({ bytes: soupBytes(model) });

/** Rows that reward models learn from: responses with labelled steps, and pairs. */
export type RewardCounts = { steps: number; pairs: number };

/**
 * Cost of reward models: a pass over each row an epoch, read at step ends or at the two ends of a pair. Of a wholly
 * frozen backbone every row is read once, whatever the epochs.
 */
export const rewardCost = (
  options: RewardOptions,
  { steps, pairs }: RewardCounts,
  model: ModelShape,
  data: DataCounts,
): Cost => {
  const rows = steps + pairs;
  if (rows === 0) return { bytes: 0 };
  const { train, ...rest } = options;
  const part: TrainingOptions =
    train === "frozen" ? { ...rest, train: "heads", epochs: 1 } : { ...rest, train };
  const tokens = data.promptTokens + (1 + pairs / rows) * data.responseTokens;
  const row = { tokens, headTokens: 0, length: data.promptTokens + data.responseTokens };
  const held = { heads: 0, keptHeads: 0, tokens };
  return {
    bytes: trainingBytes(part, model, held, computeDType(part.precision)),
    work: workOf(part, (speeds) => trainSeconds(part, model, { row, rows, heads: 0 }, speeds)),
  };
};

/**
 * Cost of rolling an objective out: decoding, as in {@link evaluateCost}. How many steps a response has is not known
 * before it is read; four are assumed where answers begin at them. Dialogues cost something only if simulated, and what
 * an endpoint answers costs nothing here.
 */
export const rolloutCost = (
  options: RolloutBlock,
  prompts: number,
  dialogues: boolean,
  model: ModelShape,
  data: DataCounts,
): Cost => {
  if ((dialogues && options.simulate === "none") || options.endpoint !== undefined) return { bytes: 0 };
  const prefixes = options.from === "prompt" || options.from === "auto" || dialogues ? 1 : 4;
  const answers = prompts * options.samples * prefixes;
  const { maxNewTokens, parallel: batchSize } = options;
  return evaluateCost({ maxNewTokens, batchSize, prompts: answers }, decodesOf(1), model, data);
};

/** What the policies of an evaluation take. */
export type EvaluateCounts = {
  /** Tokens of an answer, as far as they are known; infinite where answers may be as long as they can get. */
  answerTokens: number;
  /** Answers to all prompts, each by one model: a policy of several models counts for each of these. */
  decodes: number;
  /** Models that answer side by side, each with keys and values of its own. */
  sideBySide: number;
  /** Models that are in memory at once, and heads beside their own. */
  models: number;
  heads: number;
  /** Models that read all held-out pairs, and heads that do. */
  rankings: number;
  rankingHeads: number;
  /** Models that read all answers of a policy, to measure how far it has moved. */
  divergences: number;
};

/** One model that answers so many times, and ranks no pairs. */
export const decodesOf = (decodes: number, heads = 0): EvaluateCounts => ({
  answerTokens: Number.POSITIVE_INFINITY,
  decodes,
  sideBySide: 1,
  models: 1,
  heads,
  rankings: 0,
  rankingHeads: 0,
  divergences: 0,
});

/**
 * Cost of answers, of how far they have moved, and of held-out pair accuracy. Answers are taken to be as long as those
 * that the model learnt from, where it did, or else as they may get; a model made for a mix (a soup, several models side by
 * side) decodes like any other.
 */
export const evaluateCost = (
  options: Pick<EvaluateOptions, "maxNewTokens" | "batchSize" | "prompts">,
  counts: EvaluateCounts,
  model: ModelShape,
  data: DataCounts,
): Cost => {
  const compute = computeDType("auto");
  const { maxNewTokens, batchSize, prompts } = options;
  const rows = Math.min(batchSize, prompts);
  const newTokens = Math.min(maxNewTokens, counts.answerTokens);
  const steps = Math.ceil(prompts / batchSize) * newTokens;
  const answer = exampleRow({ prompt: data.promptTokens, response: newTokens });
  const pair = pairRow(data);
  return {
    bytes: decodingBytes(
      model,
      { ...counts, rows: batchSize, length: data.promptTokens + maxNewTokens },
      compute,
    ),
    work: {
      compute,
      lora: false,
      seconds: (speeds) => {
        const prefill = prompts * data.promptTokens * model.layers * speeds.prefill;
        const ranking =
          counts.rankings * bodySeconds(model, pair, speeds) +
          counts.rankingHeads * pair.headTokens * speeds.head;
        return (
          counts.decodes * (prefill + steps * stepSeconds(model, speeds, rows)) +
          counts.divergences * prompts * readSeconds(model, answer, speeds) +
          data.heldOutPairs * ranking
        );
      },
    },
  };
};
