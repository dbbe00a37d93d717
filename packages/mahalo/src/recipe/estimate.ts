/** A rough estimate of a run's time and memory, from counts, the model's shape and a measured matrix-product rate. */
import { totalmem } from "node:os";
import type { GemmRates } from "../core/speed.ts";
import { computeDType } from "../model/transformer/precision.ts";
import type { RewardOptions } from "./schema/reward.ts";
import type { RolloutBlock } from "./schema/rollout.ts";
import type { AlignOptions, EvaluateOptions, SftOptions, TrainingOptions } from "./schema/schema.ts";

/** Sizes of a model that its cost depends on. */
export type ModelShape = {
  layers: number;
  hiddenSize: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabSize: number;
};

/** How much data there is; tokens are means a row. */
export type DataCounts = {
  /** Training pairs of all objectives. */
  pairs: number;
  /** Objectives that have pairs. */
  objectives: number;
  /** Fine-tuning examples. */
  examples: number;
  heldOutPairs: number;
  promptTokens: number;
  responseTokens: number;
};

/** Seconds of work, and bytes held at its peak. */
export type Cost = { seconds: number; bytes: number };

/**
 * Share of the measured matrix-product rate that training and prefill reach: attention, norms, the optimiser and
 * small matrices take the rest. Measured on SmolLM2-135M with 2 cores: 0.6 to 0.8 in f32, 0.55 to 0.65 in bf16.
 */
const efficiency = { f32: 0.65, bf16: 0.55 };

/** Bytes a second that decoding reads weights with; a machine with 2 cores reads about 30 GB/s. */
const readRate = 20e9;

/** Weights of the linear layers: attention and MLP. */
export const backboneParameters = (model: ModelShape): number => {
  const { layers, hiddenSize: d, intermediateSize, heads, kvHeads, headDim } = model;
  return layers * d * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * intermediateSize);
};

const headParameters = ({ hiddenSize, vocabSize }: ModelShape): number => hiddenSize * vocabSize;

/** Share of the layers whose weights get gradients. */
const trainedShare = (options: TrainingOptions, model: ModelShape): number => {
  if (options.train === "full" || "lora" in options.train) return 1;
  return Math.min(1, options.train.lastLayers / model.layers);
};

/** Operations of a forward pass through the layers: 2 P a token, and 4 L H E s / 2 for causal attention over s tokens. */
const bodyForward = (model: ModelShape, tokens: number, length: number): number =>
  tokens * (2 * backboneParameters(model) + 2 * model.layers * model.heads * model.headDim * length);

/** Operations of a head: 2 D V for each token that it reads. */
const headForward = (model: ModelShape, tokens: number): number => tokens * 2 * headParameters(model);

/** The rate that a precision computes at on this machine. */
const rateName = (precision: TrainingOptions["precision"]): keyof GemmRates =>
  computeDType(precision) === "bfloat16" ? "bf16" : "f32";

/** What a training stage computes; tokens are those of a row. */
type Work = {
  /** Rows of an epoch. */
  rows: number;
  tokens: number;
  headTokens: number;
  length: number;
  /** Heads that are trained, and heads that are only held. */
  heads: number;
  keptHeads: number;
};

/** Bytes of a value that is computed with. */
const sizeOf = (dtype: keyof GemmRates): number => (dtype === "bf16" ? 2 : 4);

/** Rows of all steps of a stage. */
const rowsOfSteps = ({ maxSteps, epochs, batchSize }: TrainingOptions, rows: number): number =>
  batchSize * Math.min(maxSteps ?? Number.POSITIVE_INFINITY, Math.ceil((rows * epochs) / batchSize));

/** Bytes of a process that has loaded libtorch and no model yet, as measured. */
const processBytes = 300e6;

/**
 * Values that a token of a training pass keeps until its gradients are there, as measured on 12 layers in f32 at 512 and
 * 4,096 tokens: 1.06 times (12 D + 4 I) a layer. Layers without gradients keep as much until the pass ends, low-rank
 * updates 2.8 times as much; checkpointing keeps D a layer, and 3.4 times a layer's values while one is computed again.
 */
const valuesPerToken = (options: TrainingOptions, model: ModelShape): number => {
  const ofLayer = 12 * model.hiddenSize + 4 * model.intermediateSize;
  if (options.checkpointing) return model.layers * model.hiddenSize + 3.4 * ofLayer;
  return (options.train !== "full" && "lora" in options.train ? 2.8 : 1) * model.layers * ofLayer;
};

/**
 * Bytes at the peak of a training pass.
 *
 * f32 master weights (4 P), their gradients (4 P of what is trained), optimiser state (8, 4 or 0 a trained weight),
 * a bf16 copy (2 P) in bf16, kept activations of one pass, and logits of one chunk of 512 positions with gradient. A pass
 * has no more tokens than a batch's rows.
 */
const trainingBytes = (
  options: TrainingOptions,
  model: ModelShape,
  { heads, keptHeads, tokens }: Pick<Work, "heads" | "keptHeads" | "tokens">,
  dtype: keyof GemmRates,
): number => {
  const backbone = backboneParameters(model);
  const embedding = headParameters(model);
  const weights = backbone + embedding + (heads + keptHeads) * headParameters(model);
  const lora = options.train !== "full" && "lora" in options.train ? options.train.lora.rank : undefined;
  const trainedBackbone =
    lora === undefined
      ? backbone * trainedShare(options, model) + (options.train === "full" ? embedding : 0)
      : model.layers * lora * (10 * model.hiddenSize + 4 * model.intermediateSize);
  const trained = trainedBackbone + heads * headParameters(model);
  const state = { adamw: 8, rmsprop: 4, sgd: 0 }[options.optimizer];
  const passTokens = Math.min(options.maxTokensPerMicrobatch, options.batchSize * tokens);
  return (
    processBytes +
    weights * (4 + (dtype === "bf16" ? 2 : 0)) +
    trained * (4 + state) +
    passTokens * valuesPerToken(options, model) * sizeOf(dtype) +
    2 * 512 * model.vocabSize * 4
  );
};

const trainingCost = (options: TrainingOptions, model: ModelShape, rates: GemmRates, work: Work): Cost => {
  const dtype = rateName(options.precision);
  const body = bodyForward(model, work.tokens, work.length);
  const head = headForward(model, work.headTokens);
  // A backward pass costs one forward for the gradients of activations and one for those of trained weights; heads are
  // always trained, low-rank updates cost next to nothing.
  const share = trainedShare(options, model);
  const weightGradients = options.train !== "full" && "lora" in options.train ? 0.1 : share;
  const factor = 1 + share + weightGradients + (options.checkpointing ? share : 0);
  const operations = rowsOfSteps(options, work.rows) * (body * factor + 3 * head);
  return {
    seconds: operations / (rates[dtype] * efficiency[dtype]),
    bytes: trainingBytes(options, model, work, dtype),
  };
};

/** Cost of supervised fine-tuning. */
export const sftCost = (options: SftOptions, model: ModelShape, data: DataCounts, rates: GemmRates): Cost =>
  trainingCost(options, model, rates, {
    rows: data.examples,
    tokens: data.promptTokens + data.responseTokens,
    headTokens: data.responseTokens,
    length: data.promptTokens + data.responseTokens,
    heads: 1,
    keptHeads: 0,
  });

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
 * (3 forwards: one, and two for gradients) and no layer has gradients or kept activations.
 */
export const alignCost = (
  options: AlignOptions,
  counts: AlignCounts,
  model: ModelShape,
  data: DataCounts,
  rates: GemmRates,
): Cost => {
  const work: Work = {
    rows: counts.rows,
    tokens: data.promptTokens + 2 * data.responseTokens,
    headTokens: 2 * data.responseTokens,
    length: data.promptTokens + data.responseTokens,
    heads: counts.heads,
    keptHeads: counts.keptHeads,
  };
  const dtype = rateName(options.precision);
  const rate = rates[dtype] * efficiency[dtype];
  const [body, head] = [bodyForward(model, work.tokens, work.length), headForward(model, work.headTokens)];
  const share = rowsOfSteps(options, work.rows) / Math.max(1, counts.pairs.length);
  const read = counts.pairs.reduce((sum, size) => sum + Math.min(size, share), counts.heldOut);
  const readings = (counts.readings * read * (body + head)) / rate;
  if (!counts.frozen) {
    const { seconds, bytes } = trainingCost(options, model, rates, work);
    return { seconds: seconds + readings, bytes };
  }
  const heads: AlignOptions = { ...options, train: { lastLayers: 0 }, checkpointing: false };
  const kept = read * work.headTokens * model.hiddenSize * sizeOf(dtype);
  return {
    seconds: readings + (read * body + 3 * head * rowsOfSteps(options, work.rows)) / rate,
    // No more than a quarter of the machine's memory is kept.
    bytes: trainingBytes(heads, model, work, dtype) + Math.min(kept, totalmem() / 4),
  };
};

/** Cost of merging models into a soup: seconds, and float32 weights of the soup and of the model that is added to it. */
export const soupCost = (model: ModelShape): Cost => ({
  seconds: 0,
  bytes: processBytes + 2 * 4 * (backboneParameters(model) + 2 * headParameters(model)),
});

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
  rates: GemmRates,
): Cost => {
  const rows = steps + pairs;
  if (rows === 0) return { seconds: 0, bytes: 0 };
  const { train, ...rest } = options;
  const part: TrainingOptions =
    train === "frozen" ? { ...rest, train: { lastLayers: 0 }, epochs: 1 } : { ...rest, train };
  return trainingCost(part, model, rates, {
    rows,
    tokens: data.promptTokens + (1 + pairs / rows) * data.responseTokens,
    headTokens: 0,
    length: data.promptTokens + data.responseTokens,
    heads: 0,
    keptHeads: 0,
  });
};

/**
 * Cost of rolling an objective out: decoding, bound as in {@link evaluateCost}. How many steps a response has is not
 * known before it is read; four are assumed where answers begin at them. Dialogues cost something only if simulated, and
 * what an endpoint answers costs nothing here.
 */
export const rolloutCost = (
  options: RolloutBlock,
  prompts: number,
  dialogues: boolean,
  model: ModelShape,
  data: DataCounts,
  rates: GemmRates,
): Cost => {
  if ((dialogues && options.simulate === "none") || options.endpoint !== undefined) {
    return { seconds: 0, bytes: 0 };
  }
  const prefixes = options.from === "prompt" || options.from === "auto" || dialogues ? 1 : 4;
  const answers = prompts * options.samples * prefixes;
  const { maxNewTokens, parallel: batchSize } = options;
  return evaluateCost({ maxNewTokens, batchSize, prompts: answers }, decodesOf(1), model, data, rates);
};

/** What the policies of an evaluation take. */
export type EvaluateCounts = {
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
};

/** One model that answers so many times, and ranks no pairs. */
export const decodesOf = (decodes: number, heads = 0): EvaluateCounts => ({
  decodes,
  sideBySide: 1,
  models: 1,
  heads,
  rankings: 0,
  rankingHeads: 0,
});

/**
 * Cost of answers and of held-out pair accuracy. Decoding is bound by reading the weights once a token and batch, or by
 * the products of its rows; a model made for a mix (a soup, several models side by side) decodes like any other.
 */
export const evaluateCost = (
  options: Pick<EvaluateOptions, "maxNewTokens" | "batchSize" | "prompts">,
  counts: EvaluateCounts,
  model: ModelShape,
  data: DataCounts,
  rates: GemmRates,
): Cost => {
  const dtype = rateName("auto");
  const rate = rates[dtype] * efficiency[dtype];
  const bytes = sizeOf(dtype);
  const weights = backboneParameters(model) + headParameters(model);
  const batches = Math.ceil(options.prompts / options.batchSize);
  const perToken = Math.max(
    (weights * bytes) / readRate,
    (2 * weights * Math.min(options.batchSize, options.prompts)) / rate,
  );
  const prefill =
    (bodyForward(model, options.prompts * data.promptTokens, data.promptTokens) +
      headForward(model, options.prompts)) /
    rate;
  const answers = counts.decodes * (prefill + batches * options.maxNewTokens * perToken);
  const pairTokens = data.promptTokens + 2 * data.responseTokens;
  const ranking =
    counts.rankings * bodyForward(model, pairTokens, pairTokens) +
    counts.rankingHeads * headForward(model, 2 * data.responseTokens);
  const cache =
    counts.sideBySide *
    options.batchSize *
    (data.promptTokens + options.maxNewTokens) *
    model.layers *
    2 *
    model.kvHeads *
    model.headDim *
    bytes;
  return {
    seconds: answers + (data.heldOutPairs * ranking) / rate,
    bytes:
      processBytes +
      (counts.models * weights + counts.heads * headParameters(model)) * (bytes + 4) +
      cache +
      options.batchSize * model.vocabSize * 8,
  };
};
