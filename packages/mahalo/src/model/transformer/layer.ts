/** What a transformer's weights are made of: linear maps with their low-rank updates, layers, and all of a backbone. */
import type { Adapter } from "./adapter.ts";
import type { Int8Weight } from "./kernels.ts";
import type { MapAdapters } from "./map-adapters.ts";
import type { Parameter } from "./parameters.ts";

// Shapes: D hidden, H query heads, G key-value heads, E head width, I width of the MLP, J = 2I, Q = (H + 2G)E.

/** A linear map: weight [out, in], an optional bias [out], optional low-rank updates. */
export type Linear = {
  weight: Parameter;
  bias?: Parameter | undefined;
  adapter?: Adapter | undefined;
  /** Objectives' low-rank updates, which count where a pass has gains. */
  adapters?: MapAdapters | undefined;
  /** The weight once more as int8, which passes without gradients multiply with. */
  int8?: Int8Weight | undefined;
};

/** Weights of one layer; query, key and value are one matrix, and so are gate and up. */
export type Layer = {
  attentionNorm: Parameter;
  /** [Q, D]: rows of query heads, then key heads, then value heads. */
  qkv: Linear;
  /** RMS norms of each query and key head (Qwen3). */
  queryNorm?: Parameter | undefined;
  keyNorm?: Parameter | undefined;
  attentionOut: Linear;
  mlpNorm: Parameter;
  /** [J, D]: rows of the gate, then rows of up. */
  gateUp: Linear;
  down: Linear;
};

/** Everything of a model but its heads. */
export type BackboneWeights = { embedding: Parameter; layers: Layer[]; norm: Parameter };

/** All parameters of a linear map. */
export const linearParameters = ({ weight, bias }: Linear): Parameter[] => (bias ? [weight, bias] : [weight]);

/** All parameters of a layer. */
export const layerParameters = (layer: Layer): Parameter[] => [
  layer.attentionNorm,
  ...linearParameters(layer.qkv),
  ...(layer.queryNorm ? [layer.queryNorm] : []),
  ...(layer.keyNorm ? [layer.keyNorm] : []),
  ...linearParameters(layer.attentionOut),
  layer.mlpNorm,
  ...linearParameters(layer.gateUp),
  ...linearParameters(layer.down),
];
