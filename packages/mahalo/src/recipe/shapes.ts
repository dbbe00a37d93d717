/** Weights and bytes that follow from a model's shape: what stages train, and what they hold at their peak. */
import type { ComputeDType } from "../model/transformer/parameters.ts";
import type { TrainingOptions } from "./schema/schema.ts";

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

/** Weights of one layer's linear maps: attention and MLP. */
export const layerParameters = (model: Omit<ModelShape, "layers">): number => {
  const { hiddenSize: d, intermediateSize, heads, kvHeads, headDim } = model;
  return d * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * intermediateSize);
};

/** Weights of all layers' linear maps. */
export const backboneParameters = (model: ModelShape): number => model.layers * layerParameters(model);

/** Weights of a head over the vocabulary, and of the embedding. */
export const headParameters = ({ hiddenSize, vocabSize }: ModelShape): number => hiddenSize * vocabSize;

/** Whether low-rank updates are trained in place of weights. */
export const lowRank = ({ train }: Pick<TrainingOptions, "train">): boolean =>
  typeof train === "object" && !("lastLayers" in train);

/** Layers that get gradients. */
export const trainedLayers = ({ train }: Pick<TrainingOptions, "train">, { layers }: ModelShape): number => {
  if (train === "heads") return 0;
  if (typeof train === "string" || "lora" in train) return layers;
  return Math.min(layers, ("lastLayers" in train ? train.lastLayers : train.adapters.lastLayers) ?? layers);
};

/** Weights of an update of rank 1 of all linear maps of a layer, the parts of fused ones apart or sharing what they read. */
const rankOneParameters = (model: ModelShape, fused: boolean): number => {
  const { hiddenSize: d, intermediateSize: i, heads, kvHeads, headDim } = model;
  const inputs = (fused ? 2 : 5) * d + heads * headDim + i;
  return inputs + (heads + 2 * kvHeads) * headDim + 2 * d + 2 * i;
};

/** Heads that are trained, and their rank where they are updates of another. */
export type TrainedHeads = { heads: number; headRank?: number | undefined };

/** Weights of heads that are trained. */
const trainedHeads = (model: ModelShape, { heads, headRank }: TrainedHeads): number =>
  heads * (headRank === undefined ? headParameters(model) : headRank * (model.hiddenSize + model.vocabSize));

/** Weights that an optimiser updates: of the backbone, and of heads. */
export const trainedParameters = (
  options: Pick<TrainingOptions, "train">,
  model: ModelShape,
  trained: TrainedHeads,
): number => {
  const { train } = options;
  const layers = trainedLayers(options, model);
  const backbone = (): number => {
    if (typeof train === "object" && "lora" in train)
      return layers * train.lora.rank * rankOneParameters(model, false);
    if (typeof train === "object" && "adapters" in train)
      return (
        layers *
        (trained.heads + Number(train.adapters.shared)) *
        train.adapters.rank *
        rankOneParameters(model, true)
      );
    return layers * layerParameters(model) + (train === "full" ? headParameters(model) : 0);
  };
  return backbone() + trainedHeads(model, trained);
};

/** Bytes of a value that is computed with. */
export const sizeOf = (compute: ComputeDType): number => (compute === "bfloat16" ? 2 : 4);

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
  return (lowRank(options) ? 2.8 : 1) * model.layers * ofLayer;
};

/**
 * Bytes at the peak of a training pass.
 *
 * f32 master weights (4 P), their gradients (4 P of what is trained), optimiser state (8, 4 or 0 a trained weight),
 * a bf16 copy (2 P) in bf16, kept activations of one pass, and logits of one chunk of 512 positions with gradient. A pass
 * has no more tokens than a batch's rows.
 *
 * @param held heads that are trained, heads that are only held, and the tokens of a row
 */
export const trainingBytes = (
  options: TrainingOptions,
  model: ModelShape,
  { keptHeads, tokens, ...trained }: TrainedHeads & { keptHeads: number; tokens: number },
  compute: ComputeDType,
): number => {
  const weights =
    backboneParameters(model) + (1 + keptHeads) * headParameters(model) + trainedHeads(model, trained);
  const state = { adamw: 8, rmsprop: 4, sgd: 0 }[options.optimizer];
  const passTokens = Math.min(options.maxTokensPerMicrobatch, options.batchSize * tokens);
  return (
    processBytes +
    weights * (4 + (compute === "bfloat16" ? 2 : 0)) +
    trainedParameters(options, model, trained) * (4 + state) +
    passTokens * valuesPerToken(options, model) * sizeOf(compute) +
    2 * 512 * model.vocabSize * 4
  );
};

/** Bytes of merging models into a soup: float32 weights of the soup and of the model that is added to it. */
export const soupBytes = (model: ModelShape): number =>
  processBytes + 2 * 4 * (backboneParameters(model) + 2 * headParameters(model));

/** Bytes at the peak of decoding: models and heads, keys and values of rows so long, and a step's logits. */
export const decodingBytes = (
  model: ModelShape,
  held: { models: number; heads: number; sideBySide: number; rows: number; length: number },
  compute: ComputeDType,
): number => {
  const bytes = sizeOf(compute);
  const weights = backboneParameters(model) + headParameters(model);
  const keysAndValues = model.layers * 2 * model.kvHeads * model.headDim * bytes;
  return (
    processBytes +
    (held.models * weights + held.heads * headParameters(model)) * (bytes + 4) +
    held.sideBySide * held.rows * held.length * keysAndValues +
    held.rows * model.vocabSize * 8
  );
};
