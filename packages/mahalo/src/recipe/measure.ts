/** Measures how fast this machine runs a model's shape: layers of random weights, on the paths that the stages take. */
import { backward, clipGradNorm, keep, noGrad, Optimizer, ops, scope, type Tensor } from "@mahalo/torch";
import { breathe } from "../core/interrupt.ts";
import { findMemory } from "../core/machine.ts";
import { element, need } from "../core/need.ts";
import { rng } from "../core/random.ts";
import { type PackedBatch, packRows } from "../data/tokens/packing.ts";
import { cachedDecoder } from "../decode/decoder.ts";
import { nextTokens } from "../decode/next-tokens.ts";
import { Sequence } from "../decode/request.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { ModelConfig } from "../model/folder/model-config.ts";
import type { ModelSource } from "../model/folder/model-source.ts";
import { Heads } from "../model/heads/heads.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import { Backbone } from "../model/transformer/backbone.ts";
import { layerParameters } from "../model/transformer/layer.ts";
import { addLora } from "../model/transformer/lora.ts";
import { type ComputeDType, type Parameter, parameter } from "../model/transformer/parameters.ts";
import { batchTokens } from "../model/transformer/tokens.ts";
import { readWeights } from "../model/transformer/weights.ts";
import { headPass } from "../train/head-pass.ts";
import { decays, optimizerRules } from "../train/options.ts";
import { layerParameters as layerWeights, sizeOf } from "./shapes.ts";
import { measuredLength, type Speeds } from "./work.ts";

/** What was measured, and by how much the repeats of a part lay above the fastest one, as a median. */
export type Measurement = { speeds: Speeds; spread: number };

/** What a measurement is of. */
export type MeasureOptions = { compute: ComputeDType; lora: boolean };

const middle = (values: readonly number[]): number =>
  element(
    [...values].sort((a, b) => a - b),
    Math.floor(values.length / 2),
  );

/** Most seconds and repeats of one part; the first repeat pays for memory and is left out where there are more. */
const budget = { seconds: 0.4, repeats: 5 };

/** Weights of one matrix at most: of a large vocabulary a part is measured. */
const mostWeights = 2 ** 25;
/** Bytes of layers that decode, so that a step finds its weights in memory, as in a whole model, not in the cache. */
const decodedBytes = 2 ** 27;
/** Rows of measured decoding steps. */
const stepRows = [1, 8, 32];

const randomWeights = (shape: readonly number[]): Tensor =>
  noGrad(() => scope(() => ops.randn([...shape]).mul(0.02)));

const randomBackbone = (
  config: ModelConfig,
  layers: number,
  held: { compute: ComputeDType; training: boolean },
): Backbone => {
  const shape = { ...config, layers };
  const take = (_name: string, size: readonly number[]): Tensor => randomWeights(size);
  return new Backbone(shape, readWeights({ take }, shape, held), held.compute);
};

const tokens = (count: number, vocabulary: number): number[] =>
  Array.from({ length: count }, (_, index) => index % vocabulary);

/** Measures parts one after the other, and remembers how much repeats differ. */
class Stopwatch {
  readonly spreads: number[] = [];

  /** Median seconds of a part. */
  time(run: () => void): number {
    const times: number[] = [];
    const began = performance.now();
    do {
      const from = performance.now();
      scope(() => {
        run();
      });
      times.push((performance.now() - from) / 1000);
    } while (times.length < budget.repeats && performance.now() - began < 1000 * budget.seconds);
    const counted = times.length > 1 ? times.slice(1) : times;
    if (counted.length > 1) this.spreads.push(middle(counted) / Math.min(...counted));
    return middle(counted);
  }
}

/** Rows of {@link measuredLength} tokens, or a longer one, as a batch. */
const batchOf = (rows: number, length: number, vocabulary: number): PackedBatch => {
  const ids = tokens(length, vocabulary);
  const row = { prompt: ids.slice(0, -1), completions: [ids.slice(-1)] };
  return element(
    packRows(
      Array.from({ length: rows }, () => row),
      rows * length,
    ),
    0,
  ).batch;
};

/** Forward, backward and optimiser of layers, as training steps and readings do them. */
const layerSpeeds = (config: ModelConfig, { compute, lora }: MeasureOptions, watch: Stopwatch) => {
  const layerSize = layerWeights(config);
  const layers = layerSize > mostWeights ? 1 : 2;
  // About as much work for every shape, so that it takes seconds for small ones and not minutes for large ones.
  const rows = Math.min(4, Math.max(1, Math.floor(2 ** 24 / layerSize)));
  const batch = batchOf(rows, measuredLength, config.vocabSize);
  const perToken = (time: number): number => time / batch.ids.length / layers;
  const backbone = randomBackbone(config, layers, { compute, training: true });
  const secondsOf = (parameters: readonly Parameter[]): number =>
    watch.time(() => {
      const pass = backbone.train(batchTokens(batch), packedAttention(batch));
      pass.backward(noGrad(() => ops.onesLike(pass.hidden_TD)));
      for (const trained of parameters) trained.syncGradient();
    });
  const forward = watch.time(() =>
    noGrad(() => {
      backbone.forward(batchTokens(batch), packedAttention(batch));
    }),
  );
  const weights = backbone.weights.layers.flatMap(layerParameters);
  for (const weight of weights) weight.trainable = true;
  const train = secondsOf(weights);
  const masters = new Map(weights.map(({ name, master }) => [name, need(master, "master weights")]));
  const optimizer = new Optimizer(masters, optimizerRules.adamw(0), { learningRate: 1e-9, decays });
  const update = watch.time(() => {
    clipGradNorm(masters, 1);
    optimizer.step();
    for (const weight of weights) weight.syncFromMaster();
  });
  optimizer.dispose();
  for (const weight of weights) {
    weight.clearGradient();
    weight.trainable = false;
  }
  const adapted = lora ? secondsOf(addLora(backbone, { rank: 16, alpha: 32 }, rng(0, "measure"))) : undefined;
  backbone.dispose();
  return {
    forward: perToken(forward),
    train: perToken(train),
    ...(adapted === undefined ? {} : { lora: perToken(adapted) }),
    update: update / layers / layerSize,
  };
};

/** Attention alone: all of a layer that grows with the length of rows. */
const attentionSpeeds = (config: ModelConfig, { compute }: MeasureOptions, watch: Stopwatch) => {
  const { heads, kvHeads, headDim } = config;
  const length = 4 * measuredLength;
  const attend = packedAttention(batchOf(1, length, config.vocabSize));
  const seconds = (learns: boolean): number => {
    const random = (count: number): Tensor => keep(randomWeights([length, count, headDim]).to(compute));
    const inputs = [random(heads), random(kvHeads), random(kvHeads)] as const;
    for (const input of inputs) input.requiresGrad = learns;
    const time = watch.time(() => {
      const o_THE = attend(0, ...inputs);
      if (learns) backward(o_THE, ops.onesLike(o_THE));
    });
    for (const input of inputs) input.dispose();
    return time / length ** 2;
  };
  return { attention: seconds(false), attentionTrain: seconds(true) };
};

/** A head at the positions of a chunk, as {@link headPass} divides them. */
const headSpeeds = (config: ModelConfig, { compute }: MeasureOptions, watch: Stopwatch) => {
  const { vocabSize, hiddenSize } = config;
  const head = parameter("lm_head.weight", randomWeights([vocabSize, hiddenSize]), {
    compute,
    training: true,
  });
  const positions = 2 * measuredLength;
  const targets = Int32Array.from(tokens(positions, vocabSize));
  const gradients = new Float32Array(positions).fill(1);
  const hidden_ND = keep(noGrad(() => ops.randn([positions, hiddenSize]).to(compute)));
  const read = watch.time(() => void headPass(hidden_ND, head, targets));
  const learnt = watch.time(() => void headPass(hidden_ND, head, targets).backward(gradients));
  hidden_ND.dispose();
  head.dispose();
  return { head: read / positions, headTrain: learnt / positions };
};

/** Prompts and steps of a decoder, and the choice of tokens. */
const decodingSpeeds = (
  config: ModelConfig,
  source: ModelSource,
  { compute }: MeasureOptions,
  watch: Stopwatch,
) => {
  const held = { compute, training: false };
  const layerBytes = layerWeights(config) * sizeOf(compute);
  const layers = Math.min(source.config.layers, Math.max(1, Math.floor(decodedBytes / layerBytes)));
  const backbone = randomBackbone(config, layers, held);
  const heads = new Heads(
    parameter("lm_head.weight", randomWeights([config.vocabSize, config.hiddenSize]), held),
  );
  const { tokenizer, template, generation, files } = source;
  const model: LanguageModel = {
    ...{ config: backbone.config, tokenizer, template, generation, files, backbone, heads },
    dispose: () => {
      backbone.dispose();
      heads.dispose();
    },
  };
  const decoder = cachedDecoder(model);
  const ids = tokens(measuredLength, config.vocabSize);
  const prompts = 2;
  const prefill = watch.time(() => {
    const rows = Array.from({ length: prompts }, () => decoder.addRow());
    decoder.extend(rows.map((row) => ({ row, ids })));
    for (const row of rows.reverse()) decoder.removeRow(row);
  });
  decoder.extend([{ row: decoder.addRow(), ids }]);
  while (decoder.rows < Math.max(...stepRows)) decoder.fork(0);
  const step = stepRows.map((rows) => {
    const places = [...Array(rows).keys()];
    const sequences = places.map(() => new Sequence(model, { ids }));
    const layer = watch.time(() => {
      decoder.step(tokens(rows, config.vocabSize), places);
    });
    const head = scope(() => {
      const hidden_RD = ops.randn([rows, config.hiddenSize]).to(compute);
      return watch.time(() => {
        for (const [row, choice] of nextTokens(model, hidden_RD, sequences).entries())
          if ("id" in choice) element(sequences, row).accept(choice.id);
      });
    });
    return { rows, layer: layer / layers, head };
  });
  decoder.dispose();
  model.dispose();
  return { prefill: prefill / prompts / ids.length / layers, step };
};

/**
 * Measures a model's shape for a few seconds; its weights are never read.
 *
 * A head over a large vocabulary is measured in part, and its time scaled up.
 *
 * @returns undefined where the parts that are measured would not fit into what memory is free
 */
export const measureSpeeds = async (
  source: ModelSource,
  options: MeasureOptions,
): Promise<Measurement | undefined> => {
  const { vocabSize, hiddenSize } = source.config;
  const part = Math.min(vocabSize, Math.floor(mostWeights / hiddenSize));
  const config = { ...source.config, vocabSize: part, maxPositions: 4096 };
  const weights = 2 * layerWeights(config) + part * hiddenSize;
  if (16 * weights > findMemory().available) return undefined;
  const watch = new Stopwatch();
  const layers = { ...layerSpeeds(config, options, watch), ...attentionSpeeds(config, options, watch) };
  await breathe(undefined, "measuring");
  const { head, headTrain } = headSpeeds(config, options, watch);
  await breathe(undefined, "measuring");
  const { prefill, step } = decodingSpeeds(config, source, options, watch);
  const whole = vocabSize / part;
  return {
    speeds: {
      ...layers,
      head: head * whole,
      headTrain: headTrain * whole,
      prefill,
      step: step.map((measured) => ({ ...measured, head: measured.head * whole })),
    },
    spread: watch.spreads.length === 0 ? 1 : middle(watch.spreads),
  };
};
