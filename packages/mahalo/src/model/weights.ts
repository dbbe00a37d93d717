/** Between Hugging Face's tensors by name and the backbone's fused weights, both ways. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { BackboneWeights, Layer, Linear } from "./backbone.ts";
import type { ModelConfig } from "./config.ts";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";
import type { SourceTensor } from "./source-tensor.ts";

/** Reads tensors by Hugging Face name, as float32, and knows which were never asked for. */
export class NamedTensors {
  readonly #byName: Map<string, SourceTensor>;
  readonly #origin: string;

  constructor(tensors: Iterable<SourceTensor>, origin: string) {
    this.#byName = new Map([...tensors].map((one) => [one.name, one]));
    this.#origin = origin;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Loads one tensor as float32 and checks its shape. */
  take(name: string, shape: readonly number[]): Tensor {
    const source = this.#byName.get(name);
    if (source === undefined) {
      throw new MahaloError("E_MODEL_TENSOR_MISSING", `${this.#origin}: tensor ${name} is missing`, {
        hint: "the folder may be incomplete, or its config.json may describe another model",
      });
    }
    if (source.shape.join() !== shape.join()) {
      throw new MahaloError(
        "E_MODEL_TENSOR_SHAPE",
        `${this.#origin}: tensor ${name} has shape [${source.shape}], config.json says [${shape}]`,
      );
    }
    const bytes = source.load();
    return scope(() => {
      const raw = tensor(bytes, { dtype: "uint8" });
      return ops
        .viewDtype(raw, source.dtype)
        .view(...shape)
        .to("float32")
        .contiguous();
    });
  }
}

/** Where one fused weight's rows come from: Hugging Face modules and their numbers of rows. */
type Pieces = { module: string; rows: number }[];

const layerPieces = (
  config: ModelConfig,
  i: number,
): Record<"qkv" | "attentionOut" | "gateUp" | "down", Pieces> => {
  const { heads, kvHeads, headDim, hiddenSize, intermediateSize } = config;
  const at = (module: string): string => `model.layers.${i}.${module}`;
  return {
    qkv: [
      { module: at("self_attn.q_proj"), rows: heads * headDim },
      { module: at("self_attn.k_proj"), rows: kvHeads * headDim },
      { module: at("self_attn.v_proj"), rows: kvHeads * headDim },
    ],
    attentionOut: [{ module: at("self_attn.o_proj"), rows: hiddenSize }],
    gateUp: [
      { module: at("mlp.gate_proj"), rows: intermediateSize },
      { module: at("mlp.up_proj"), rows: intermediateSize },
    ],
    down: [{ module: at("mlp.down_proj"), rows: hiddenSize }],
  };
};

/** How weights are held. */
export type WeightOptions = { compute: ComputeDType; training: boolean };

/** Builds the backbone's weights out of a source's tensors. */
export const readWeights = (
  source: NamedTensors,
  config: ModelConfig,
  options: WeightOptions,
): BackboneWeights => {
  const { hiddenSize, headDim, heads, intermediateSize, vocabSize } = config;
  const held = (name: string, weights: Tensor): Parameter => parameter(name, keep(weights), options);
  const one = (name: string, shape: number[]): Parameter => held(name, source.take(name, shape));
  const fused = (name: string, pieces: Pieces, suffix: string, shape: number[]): Parameter =>
    held(
      `${name}.${suffix}`,
      noGrad(() =>
        scope(() => {
          const rows = pieces.map((piece) =>
            source.take(`${piece.module}.${suffix}`, [piece.rows, ...shape]),
          );
          return rows.length === 1 && rows[0] ? rows[0] : ops.cat(rows, 0);
        }),
      ),
    );
  const linear = (name: string, pieces: Pieces, inputs: number, bias: boolean): Linear => ({
    weight: fused(name, pieces, "weight", [inputs]),
    bias: bias ? fused(name, pieces, "bias", []) : undefined,
  });
  const layer = (i: number): Layer => {
    const at = `model.layers.${i}`;
    const pieces = layerPieces(config, i);
    return {
      attentionNorm: one(`${at}.input_layernorm.weight`, [hiddenSize]),
      qkv: linear(`${at}.qkv`, pieces.qkv, hiddenSize, config.qkvBias),
      queryNorm: config.qkNorm ? one(`${at}.self_attn.q_norm.weight`, [headDim]) : undefined,
      keyNorm: config.qkNorm ? one(`${at}.self_attn.k_norm.weight`, [headDim]) : undefined,
      attentionOut: linear(`${at}.attentionOut`, pieces.attentionOut, heads * headDim, config.outputBias),
      mlpNorm: one(`${at}.post_attention_layernorm.weight`, [hiddenSize]),
      gateUp: linear(`${at}.gateUp`, pieces.gateUp, hiddenSize, false),
      down: linear(`${at}.down`, pieces.down, intermediateSize, false),
    };
  };
  return {
    embedding: one("model.embed_tokens.weight", [vocabSize, hiddenSize]),
    layers: Array.from({ length: config.layers }, (_, i) => layer(i)),
    norm: one("model.norm.weight", [hiddenSize]),
  };
};

/** A weight to be written: its Hugging Face name and a function that makes it, float32 where a master is held. */
export type NamedWeight = { name: string; load(): Tensor };

/** The backbone's weights under their Hugging Face names, fused ones split again. */
export const writeWeights = (weights: BackboneWeights, config: ModelConfig): NamedWeight[] => {
  const plain = (name: string, one: Parameter | undefined): NamedWeight[] =>
    one ? [{ name, load: () => one.master ?? one.value }] : [];
  const split = (linear: Linear, pieces: Pieces): NamedWeight[] =>
    [
      { suffix: "weight", one: linear.weight },
      { suffix: "bias", one: linear.bias },
    ].flatMap(({ suffix, one }) => {
      let start = 0;
      return one === undefined
        ? []
        : pieces.map(({ module, rows }) => {
            const from = start;
            start += rows;
            return {
              name: `${module}.${suffix}`,
              load: () => (one.master ?? one.value).narrow(0, from, rows).contiguous(),
            };
          });
    });
  return [
    ...plain("model.embed_tokens.weight", weights.embedding),
    ...weights.layers.flatMap((layer, i) => {
      const at = `model.layers.${i}`;
      const pieces = layerPieces(config, i);
      return [
        ...plain(`${at}.input_layernorm.weight`, layer.attentionNorm),
        ...split(layer.qkv, pieces.qkv),
        ...plain(`${at}.self_attn.q_norm.weight`, layer.queryNorm),
        ...plain(`${at}.self_attn.k_norm.weight`, layer.keyNorm),
        ...split(layer.attentionOut, pieces.attentionOut),
        ...plain(`${at}.post_attention_layernorm.weight`, layer.mlpNorm),
        ...split(layer.gateUp, pieces.gateUp),
        ...split(layer.down, pieces.down),
      ];
    }),
    ...plain("model.norm.weight", weights.norm),
  ];
};
