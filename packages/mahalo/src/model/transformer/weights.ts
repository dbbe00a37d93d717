/** Between Hugging Face's tensors by name and the backbone's fused weights, both ways. */
import { keep, MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { ModelConfig } from "../folder/model-config.ts";
import type { SourceTensor } from "../folder/source-tensor.ts";
import type { BackboneWeights, Layer, Linear } from "./layer.ts";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";

/** Tensors that some files hold and no model reads: rotations are computed from the config. */
const needless = /\.rotary_emb\.inv_freq$/;

/** Reads tensors by Hugging Face name, as float32, and knows which were never asked for. */
export class NamedTensors {
  readonly #byName: Map<string, SourceTensor>;
  readonly #origin: string;
  readonly #taken = new Set<string>();

  constructor(tensors: Iterable<SourceTensor>, origin: string) {
    this.#byName = new Map([...tensors].map((tensor) => [tensor.name, tensor]));
    this.#origin = origin;
  }

  /**
   * Refuses a source with weights that nothing asked for: the model would answer otherwise than its makers' does.
   *
   * @param passed names that may stay unread
   * @throws MahaloError E_MODEL_TENSOR_UNKNOWN
   */
  checkAllTaken(passed: readonly string[]): void {
    const left = [...this.#byName.keys()].filter(
      (name) => !this.#taken.has(name) && !passed.includes(name) && !needless.test(name),
    );
    if (left.length === 0) return;
    const shown = left.slice(0, 3).join(", ");
    throw new MahaloError(
      "E_MODEL_TENSOR_UNKNOWN",
      `${this.#origin}: nothing in config.json mentions ${shown}${left.length > 3 ? ` and ${left.length - 3} more tensors` : ""}`,
      { hint: "config.json may describe another model, or the model may have parts that are not supported" },
    );
  }

  /** Names of all tensors. */
  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /** Whether the source has a tensor of this name. */
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** The shape of a tensor; undefined where the source has none of this name. */
  shapeOf(name: string): readonly number[] | undefined {
    return this.#byName.get(name)?.shape;
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
    this.#taken.add(name);
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

/** The Hugging Face modules that each fused linear map of a layer is made of. */
export const layerPieces = (
  config: ModelConfig,
  i: number,
): Record<"qkv" | "attentionOut" | "gateUp" | "down", Pieces> => {
  const { heads, kvHeads, headDim, hiddenSize, intermediateSize } = config;
  const path = (module: string): string => `model.layers.${i}.${module}`;
  return {
    qkv: [
      { module: path("self_attn.q_proj"), rows: heads * headDim },
      { module: path("self_attn.k_proj"), rows: kvHeads * headDim },
      { module: path("self_attn.v_proj"), rows: kvHeads * headDim },
    ],
    attentionOut: [{ module: path("self_attn.o_proj"), rows: hiddenSize }],
    gateUp: [
      { module: path("mlp.gate_proj"), rows: intermediateSize },
      { module: path("mlp.up_proj"), rows: intermediateSize },
    ],
    down: [{ module: path("mlp.down_proj"), rows: hiddenSize }],
  };
};

/** How weights are held. */
export type WeightOptions = { compute: ComputeDType; training: boolean };

/** Builds the backbone's weights out of a source's tensors. */
export const readWeights = (
  source: Pick<NamedTensors, "take">,
  config: ModelConfig,
  options: WeightOptions,
): BackboneWeights => {
  const { hiddenSize, headDim, heads, intermediateSize, vocabSize } = config;
  const held = (name: string, weights: Tensor): Parameter => parameter(name, keep(weights), options);
  const single = (name: string, shape: number[]): Parameter => held(name, source.take(name, shape));
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
    const path = `model.layers.${i}`;
    const pieces = layerPieces(config, i);
    return {
      attentionNorm: single(`${path}.input_layernorm.weight`, [hiddenSize]),
      qkv: linear(`${path}.qkv`, pieces.qkv, hiddenSize, config.qkvBias),
      queryNorm: config.qkNorm ? single(`${path}.self_attn.q_norm.weight`, [headDim]) : undefined,
      keyNorm: config.qkNorm ? single(`${path}.self_attn.k_norm.weight`, [headDim]) : undefined,
      attentionOut: linear(`${path}.attentionOut`, pieces.attentionOut, heads * headDim, config.outputBias),
      mlpNorm: single(`${path}.post_attention_layernorm.weight`, [hiddenSize]),
      gateUp: linear(`${path}.gateUp`, pieces.gateUp, hiddenSize, false),
      down: linear(`${path}.down`, pieces.down, intermediateSize, false),
    };
  };
  return {
    embedding: single("model.embed_tokens.weight", [vocabSize, hiddenSize]),
    layers: Array.from({ length: config.layers }, (_, i) => layer(i)),
    norm: single("model.norm.weight", [hiddenSize]),
  };
};

/** A weight to be written: its Hugging Face name and shape, and a function that makes it, float32 where a master is held. */
export type NamedWeight = { name: string; shape: readonly number[]; load(): Tensor };

/**
 * The backbone's weights under their Hugging Face names, fused ones split again, LoRA merged in.
 *
 * @param update what is added to the weight of a linear map on top, float32; undefined for nothing
 */
export const writeWeights = (
  weights: BackboneWeights,
  config: ModelConfig,
  update: (linear: Linear) => Tensor | undefined = () => undefined,
): NamedWeight[] => {
  const plain = (name: string, parameter: Parameter | undefined): NamedWeight[] =>
    parameter
      ? [{ name, shape: parameter.value.shape, load: () => parameter.master ?? parameter.value }]
      : [];
  const merged = (linear: Linear): Tensor => {
    const { weight, adapter } = linear;
    const lora =
      adapter === undefined ? (weight.master ?? weight.value) : weight.float().add(adapter.delta());
    const more = update(linear);
    return more === undefined ? lora : lora.to("float32").add(more);
  };
  const split = (linear: Linear, pieces: Pieces): NamedWeight[] => {
    const { bias } = linear;
    const wholes = [
      { suffix: "weight", parameter: linear.weight, load: () => merged(linear) },
      ...(bias ? [{ suffix: "bias", parameter: bias, load: () => bias.master ?? bias.value }] : []),
    ];
    return wholes.flatMap(({ suffix, parameter, load }) => {
      let start = 0;
      return pieces.map(({ module, rows }) => {
        const from = start;
        start += rows;
        return {
          name: `${module}.${suffix}`,
          shape: [rows, ...parameter.value.shape.slice(1)],
          load: () => load().narrow(0, from, rows).contiguous(),
        };
      });
    });
  };
  return [
    ...plain("model.embed_tokens.weight", weights.embedding),
    ...weights.layers.flatMap((layer, i) => {
      const path = `model.layers.${i}`;
      const pieces = layerPieces(config, i);
      return [
        ...plain(`${path}.input_layernorm.weight`, layer.attentionNorm),
        ...split(layer.qkv, pieces.qkv),
        ...plain(`${path}.self_attn.q_norm.weight`, layer.queryNorm),
        ...plain(`${path}.self_attn.k_norm.weight`, layer.keyNorm),
        ...split(layer.attentionOut, pieces.attentionOut),
        ...plain(`${path}.post_attention_layernorm.weight`, layer.mlpNorm),
        ...split(layer.gateUp, pieces.gateUp),
        ...split(layer.down, pieces.down),
      ];
    }),
    ...plain("model.norm.weight", weights.norm),
  ];
};
