/** A model's shape and constants, read from and written to Hugging Face's config.json. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue, parseJson } from "../../core/json.ts";
import { didYouMean } from "../../core/suggest.ts";
import type { ModelFamily } from "../families/family.ts";
import { families } from "../families/registry.ts";
import { checkBounds } from "./config-bounds.ts";
import type { ModelConfig, RopeScaling } from "./model-config.ts";

const size = z.int().min(1);
const tokenId = z.int().min(0);

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().min(1).optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: size.optional(),
  partial_rotary_factor: z.number().nullish(),
});

const configSchema = z.looseObject({
  model_type: z.string(),
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  rope_theta: z.number().positive().nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  rms_norm_eps: z.number().positive().optional(),
  tie_word_embeddings: z.boolean().optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  hidden_act: z.string().optional(),
  max_position_embeddings: size.optional(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId)]).nullish(),
  pad_token_id: tokenId.nullish(),
  use_sliding_window: z.boolean().optional(),
  sliding_window: size.nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string()).nullish(),
  partial_rotary_factor: z.number().nullish(),
  quantization_config: z.unknown().optional(),
});

type RawConfig = z.infer<typeof configSchema>;

/** Keys that {@link ModelConfig} holds (or that only say what it implies), so they are not kept as `extra`. */
const heldKeys = new Set(
  Object.keys(configSchema.shape)
    .filter((key) => key !== "max_window_layers")
    .concat("architectures"),
);

const unsupported = (where: string, field: string, what: string, hint: string): MahaloError =>
  new MahaloError("E_CONFIG_UNSUPPORTED", `${where}: ${field}: ${what}`, { hint });

const readFamily = (raw: RawConfig, where: string): ModelFamily => {
  if (families.has(raw.model_type)) return families.get(raw.model_type);
  const { names } = families;
  throw unsupported(
    where,
    "model_type",
    `unknown model family "${raw.model_type}". ${didYouMean(raw.model_type, names)}`,
    `use a model of one of these families: ${names.join(", ")}`,
  );
};

/** A field that one form of rope scaling cannot do without. */
const need = (value: number | undefined, where: string, field: string): number => {
  if (value === undefined) throw new MahaloError("E_CONFIG_FIELD", `${where}: ${field}: is missing`);
  return value;
};

/**
 * Which of a config's two rope fields counts: `rope_scaling` where it says anything, else `rope_parameters`, as in
 * transformers 5, where nothing of the other one is read then.
 */
const ropeKey = ({ rope_scaling }: RawConfig): "rope_scaling" | "rope_parameters" =>
  Object.keys(rope_scaling ?? {}).length > 0 ? "rope_scaling" : "rope_parameters";

/** Rope settings out of the old form (`rope_theta` and `rope_scaling`) or the new one (`rope_parameters`, transformers 5). */
const readRope = (
  raw: RawConfig,
  defaultTheta: number,
  where: string,
): { ropeTheta: number; ropeScaling: RopeScaling | undefined } => {
  const key = ropeKey(raw);
  const rope = (key === "rope_scaling" ? raw.rope_scaling : raw.rope_parameters) ?? {};
  const ropeTheta = rope.rope_theta ?? raw.rope_theta ?? defaultTheta;
  const type = rope.rope_type ?? rope.type ?? "default";
  switch (type) {
    case "default":
      return { ropeTheta, ropeScaling: undefined };
    case "linear":
      return { ropeTheta, ropeScaling: { type, factor: need(rope.factor, where, `${key}.factor`) } };
    case "llama3": {
      const lowFreqFactor = need(rope.low_freq_factor, where, `${key}.low_freq_factor`);
      const highFreqFactor = need(rope.high_freq_factor, where, `${key}.high_freq_factor`);
      if (highFreqFactor <= lowFreqFactor) {
        throw new MahaloError(
          "E_CONFIG_FIELD",
          `${where}: ${key}.high_freq_factor: must be above low_freq_factor (${lowFreqFactor}), not ${highFreqFactor}`,
        );
      }
      return {
        ropeTheta,
        ropeScaling: {
          type,
          factor: need(rope.factor, where, `${key}.factor`),
          lowFreqFactor,
          highFreqFactor,
          originalMaxPositions: need(
            rope.original_max_position_embeddings,
            where,
            `${key}.original_max_position_embeddings`,
          ),
        },
      };
    }
    default:
      throw unsupported(
        where,
        `${key}.rope_type`,
        `rope scaling "${type}" is not supported`,
        "use a model with rope_type default, linear or llama3",
      );
  }
};

/** Refuses what would silently change the model's answers. */
const refuseUnsupported = (
  raw: RawConfig,
  { maxWindowLayers }: ModelFamily["defaults"],
  maxPositions: number,
  where: string,
): void => {
  if ((raw.hidden_act ?? "silu") !== "silu") {
    throw unsupported(where, "hidden_act", `"${raw.hidden_act}" is not supported`, "use a model with silu");
  }
  if (raw.mlp_bias === true) {
    throw unsupported(where, "mlp_bias", "biases in the MLP are not supported", "use a model without them");
  }
  const rotated = raw[ropeKey(raw)]?.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1;
  if (rotated !== 1) {
    throw unsupported(
      where,
      "partial_rotary_factor",
      `${rotated} is not supported`,
      "use a model that rotates whole heads",
    );
  }
  if (raw.quantization_config !== undefined && raw.quantization_config !== null) {
    throw unsupported(
      where,
      "quantization_config",
      "quantised Hugging Face weights are not supported",
      "use the unquantised model, or a .gguf file",
    );
  }
  // Layers before the first that slides see all; null for the window means none, as in transformers.
  const firstSliding = raw.max_window_layers ?? maxWindowLayers;
  const slides = raw.layer_types
    ? raw.layer_types.some((type) => type !== "full_attention")
    : raw.use_sliding_window === true && raw.sliding_window !== null && firstSliding < raw.num_hidden_layers;
  // A window as long as the context hides nothing, so it may be ignored.
  if (slides && (raw.sliding_window ?? 0) < maxPositions) {
    throw unsupported(
      where,
      raw.layer_types ? "layer_types" : "use_sliding_window",
      `attention over a sliding window of ${raw.sliding_window ?? "unknown"} positions is not supported`,
      "use a model with full attention, or lower max_position_embeddings to the window's length",
    );
  }
};

const headLayout = (
  raw: RawConfig,
  { defaults }: ModelFamily,
  where: string,
): { heads: number; kvHeads: number; headDim: number } => {
  const heads = raw.num_attention_heads;
  const kvHeads = raw.num_key_value_heads ?? heads;
  if (heads % kvHeads !== 0) {
    throw new MahaloError(
      "E_CONFIG_FIELD",
      `${where}: num_key_value_heads: ${kvHeads} does not divide num_attention_heads, ${heads}`,
    );
  }
  const headDim = raw.head_dim ?? defaults.headDim ?? raw.hidden_size / heads;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0) {
    throw new MahaloError(
      "E_CONFIG_FIELD",
      `${where}: head_dim: must be an even whole number, not ${headDim} (hidden_size ${raw.hidden_size}, ${heads} heads)`,
    );
  }
  return { heads, kvHeads, headDim };
};

/** What config.json calls the fields that have bounds. */
const fieldNames = {
  vocabSize: "vocab_size",
  hiddenSize: "hidden_size",
  intermediateSize: "intermediate_size",
  layers: "num_hidden_layers",
  heads: "num_attention_heads",
  kvHeads: "num_key_value_heads",
  headDim: "head_dim",
  maxPositions: "max_position_embeddings",
  ropeTheta: "rope_theta",
  rmsNormEps: "rms_norm_eps",
  ropeScaling: "rope_scaling",
  bosId: "bos_token_id",
  eosIds: "eos_token_id",
  padId: "pad_token_id",
} as const;

/**
 * A config from the object that config.json holds.
 *
 * @param where what errors begin with: the file's path.
 * @throws MahaloError E_CONFIG_FIELD (a field is missing or wrong), E_CONFIG_UNSUPPORTED (a family or an option that
 *   would change the model's answers and is not built).
 */
export const fromHuggingFace = (value: unknown, where: string): ModelConfig => {
  const raw = checkValue(value, configSchema, where, { code: "E_CONFIG_FIELD" });
  const family = readFamily(raw, where);
  const { defaults } = family;
  const maxPositions = raw.max_position_embeddings ?? defaults.maxPositions;
  refuseUnsupported(raw, defaults, maxPositions, where);
  const eos = raw.eos_token_id ?? [];
  const config: ModelConfig = {
    family: raw.model_type,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    ...headLayout(raw, family, where),
    ...readRope(raw, defaults.ropeTheta, where),
    rmsNormEps: raw.rms_norm_eps ?? 1e-6,
    tieEmbeddings: raw.tie_word_embeddings ?? defaults.tieEmbeddings,
    ...family.biases(raw.attention_bias ?? false),
    qkNorm: family.qkNorm,
    maxPositions,
    bosId: raw.bos_token_id ?? undefined,
    eosIds: typeof eos === "number" ? [eos] : eos,
    padId: raw.pad_token_id ?? undefined,
    extra: Object.fromEntries(Object.entries(raw).filter(([key]) => !heldKeys.has(key))),
  };
  checkBounds(
    config,
    fieldNames,
    (field, what) => new MahaloError("E_CONFIG_FIELD", `${where}: ${field}: ${what}`),
  );
  return config;
};

/** {@link fromHuggingFace} of config.json's text. */
export const parseConfig = (text: string, where: string): ModelConfig =>
  fromHuggingFace(parseJson(text, z.looseObject({}), where), where);

const ropeScalingToHuggingFace = (scaling: RopeScaling | undefined): Record<string, unknown> | null => {
  if (scaling === undefined) return null;
  if (scaling.type === "linear") return { rope_type: "linear", factor: scaling.factor };
  return {
    rope_type: "llama3",
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositions,
  };
};

/**
 * The object to write as config.json: the config's fields over the keys it came with.
 *
 * Rope settings are written in the old form (`rope_theta`, `rope_scaling`), which every version of transformers reads.
 */
export const toHuggingFace = (config: ModelConfig): Record<string, unknown> => {
  const [eos] = config.eosIds;
  const family = families.get(config.family);
  return {
    ...config.extra,
    architectures: [`${family.className}ForCausalLM`],
    model_type: config.family,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScalingToHuggingFace(config.ropeScaling),
    rms_norm_eps: config.rmsNormEps,
    tie_word_embeddings: config.tieEmbeddings,
    ...family.keys(config),
    max_position_embeddings: config.maxPositions,
    bos_token_id: config.bosId ?? null,
    eos_token_id: config.eosIds.length > 1 ? config.eosIds : (eos ?? null),
    pad_token_id: config.padId ?? null,
  };
};
