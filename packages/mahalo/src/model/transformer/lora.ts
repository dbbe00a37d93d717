/** Low-rank adapters (LoRA) on linear maps: trained beside a frozen weight, and saved as part of it. */
import { keep, MahaloError, ops, type Tensor, tensor } from "@mahalo/torch";
import type { Random } from "../../core/random.ts";
import { Adapter, type AdapterPart } from "./adapter.ts";
import type { Backbone } from "./backbone.ts";
import type { Linear } from "./layer.ts";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";

// Shapes: T tokens, N inputs, M outputs, R rank.

/** Size of the adapters. */
export type LoraOptions = {
  /** Rank R of the update. */
  rank: number;
  /** The update is scaled by alpha / rank. */
  alpha: number;
};

/** The fused linear maps of the backbone and the sizes of the original maps inside each. */
const linearMaps = (backbone: Backbone): { name: string; linear: Linear; outputs: number[] }[] => {
  const { heads, kvHeads, headDim, hiddenSize, intermediateSize } = backbone.config;
  return backbone.weights.layers.flatMap((layer, i) => [
    { name: `${i}.qkv`, linear: layer.qkv, outputs: [heads * headDim, kvHeads * headDim, kvHeads * headDim] },
    { name: `${i}.attentionOut`, linear: layer.attentionOut, outputs: [hiddenSize] },
    { name: `${i}.gateUp`, linear: layer.gateUp, outputs: [intermediateSize, intermediateSize] },
    { name: `${i}.down`, linear: layer.down, outputs: [hiddenSize] },
  ]);
};

const newPart = (
  name: string,
  inputs: number,
  outputs: number,
  rank: number,
  random: Random,
  compute: ComputeDType,
): AdapterPart => {
  // A is random and B zero, so that training starts from the unchanged model (Hu et al. 2021, section 4.1).
  const bound = 1 / Math.sqrt(inputs);
  const down = Float32Array.from({ length: rank * inputs }, () => (2 * random.next() - 1) * bound);
  const trainable = (suffix: string, weights: Tensor): Parameter => {
    const matrix = parameter(`lora.${name}.${suffix}`, weights, { compute, training: true });
    matrix.trainable = true;
    return matrix;
  };
  return {
    outputs,
    down_RN: trainable("down", keep(tensor(down, { shape: [rank, inputs] }))),
    up_MR: trainable("up", keep(ops.zeros([outputs, rank]))),
  };
};

/**
 * Freezes the backbone and puts a trainable adapter on every linear map; returns the adapters' parameters.
 *
 * @throws MahaloError E_LORA_EXISTS when there are adapters, which new ones would silently replace;
 *   E_LORA_RANK when the rank is above the widest layer's width, where an update is far larger than the weights
 */
export const addLora = (backbone: Backbone, { rank, alpha }: LoraOptions, random: Random): Parameter[] => {
  if (linearMaps(backbone).some(({ linear }) => linear.adapter !== undefined)) {
    throw new MahaloError("E_LORA_EXISTS", "the model has low-rank adapters already", {
      hint: "save the model and load it again",
      exitStatus: 1,
    });
  }
  const { hiddenSize, intermediateSize } = backbone.config;
  const widest = Math.max(hiddenSize, intermediateSize);
  if (rank > widest) {
    throw new MahaloError(
      "E_LORA_RANK",
      `lora.rank: must be at most the width of the model's widest layer, ${widest}, not ${rank}`,
      { hint: "16 is usual; an update of full rank is train: full" },
    );
  }
  for (const parameter of backbone.parameters()) parameter.trainable = false;
  return linearMaps(backbone).flatMap(({ name, linear, outputs }) => {
    const inputs = linear.weight.value.size(1);
    const parts = outputs.map((size, i) =>
      newPart(`${name}.${i}`, inputs, size, rank, random, backbone.compute),
    );
    linear.adapter = new Adapter(parts, alpha / rank);
    return linear.adapter.parameters();
  });
};
