/** A model's config out of a GGUF file's metadata and tensors. */
import { MahaloError } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import { didYouMean } from "../../core/suggest.ts";
import { families } from "../families/registry.ts";
import { checkBounds } from "../folder/config-bounds.ts";
import type { ModelConfig, RopeScaling } from "../folder/model-config.ts";
import type { GgufHeader, GgufTensor } from "./header.ts";
import { needNumber, needText, numberAt, shortest, textAt } from "./metadata.ts";

const unsupported = (header: GgufHeader, what: string, hint: string): MahaloError =>
  new MahaloError("E_CONFIG_UNSUPPORTED", `${header.path}: ${what}`, { hint });

const needTensor = (header: GgufHeader, name: string): GgufTensor => {
  const tensor = header.tensors.get(name);
  if (tensor !== undefined) return tensor;
  throw new MahaloError("E_GGUF_TENSOR", `${header.path}: tensor "${name}" is missing`, {
    hint: "the file does not hold a whole language model; fetch it again",
  });
};

/**
 * Divisors of the rotary frequencies under Llama 3.1's rule, one for each pair of a head's elements.
 *
 * A frequency of wavelength w is kept for w < o / high, divided by `factor` for w > o / low, and in between divided by
 * 1 / ((1 - s) / factor + s) with s = (o / w - low) / (high - low); o = original positions.
 */
const llama3Divisors = (
  theta: number,
  headDim: number,
  scaling: Extract<RopeScaling, { type: "llama3" }>,
): number[] =>
  Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    const ratio = scaling.originalMaxPositions / wavelength;
    if (ratio > scaling.highFreqFactor) return 1;
    if (ratio < scaling.lowFreqFactor) return scaling.factor;
    const smooth = (ratio - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor);
    return 1 / ((1 - smooth) / scaling.factor + smooth);
  });

/** Llama 3.1 to 3.3 use these; converters keep only the divisors that follow from them. */
const llama3Constants = { lowFreqFactor: 1, highFreqFactor: 4 } as const;

/** Lengths of first training to try: that of Llama 3.1 to 3.3, then other powers of two. */
const originalLengths = [8192, ...Array.from({ length: 15 }, (_, power) => 64 * 2 ** power)];

/**
 * Rope scaling from the tensor `rope_freqs.weight`, whose rule the file does not name: Llama 3's is taken and must
 * give the very same divisors.
 */
const scalingFromDivisors = (
  header: GgufHeader,
  theta: number,
  headDim: number,
  divisors: Float32Array,
): RopeScaling | undefined => {
  if (divisors.every((value) => value === 1)) return undefined;
  const factor = shortest(divisors.reduce((most, value) => Math.max(most, value), 1));
  // Of another length they are does not follow's; a head's width from a hostile file may be of any size.
  const lengths = divisors.length === headDim / 2 ? originalLengths : [];
  for (const originalMaxPositions of lengths) {
    const scaling = { type: "llama3", factor, ...llama3Constants, originalMaxPositions } as const;
    const expected = llama3Divisors(theta, headDim, scaling);
    const near = ([value, divisor]: [number, number]): boolean => Math.abs(value - divisor) <= 1e-4 * value;
    if (zip(expected, divisors).every(near)) return scaling;
  }
  throw unsupported(
    header,
    'tensor "rope_freqs.weight" does not follow Llama 3\'s rule',
    "use the model's Hugging Face folder",
  );
};

const readScaling = (header: GgufHeader, architecture: string): RopeScaling | undefined => {
  const type = textAt(header, `${architecture}.rope.scaling.type`) ?? "none";
  if (type === "none") return undefined;
  if (type === "linear") {
    return { type, factor: shortest(needNumber(header, `${architecture}.rope.scaling.factor`)) };
  }
  throw unsupported(header, `rope scaling "${type}" is not supported`, "use a model without it");
};

/** Ids that end a text: the main one, and the end of a turn where the file names another. */
const endIds = (header: GgufHeader): number[] => {
  const keys = ["eos_token_id", "eot_token_id", "eom_token_id"].map((key) => `tokenizer.ggml.${key}`);
  const ids = keys.map((key) => numberAt(header, key)).filter((id) => id !== undefined);
  return [...new Set(ids)];
};

/** What a file calls the fields that have bounds. */
const fieldNames = (architecture: string) => ({
  vocabSize: "tokenizer.ggml.tokens",
  hiddenSize: `${architecture}.embedding_length`,
  intermediateSize: `${architecture}.feed_forward_length`,
  layers: `${architecture}.block_count`,
  heads: `${architecture}.attention.head_count`,
  kvHeads: `${architecture}.attention.head_count_kv`,
  headDim: `${architecture}.attention.key_length`,
  maxPositions: `${architecture}.context_length`,
  ropeTheta: `${architecture}.rope.freq_base`,
  rmsNormEps: `${architecture}.attention.layer_norm_rms_epsilon`,
  ropeScaling: `${architecture}.rope.scaling.factor`,
  bosId: "tokenizer.ggml.bos_token_id",
  eosIds: "tokenizer.ggml.eos_token_id",
  padId: "tokenizer.ggml.padding_token_id",
});

/**
 * The config of a GGUF file of a llama, qwen2 or qwen3 model.
 *
 * @param loadDivisors reads the tensor `rope_freqs.weight`, where the file has it.
 * @throws MahaloError E_GGUF_METADATA, E_GGUF_TENSOR (a needed entry is missing), E_CONFIG_UNSUPPORTED
 */
export const configFromGguf = (
  header: GgufHeader,
  loadDivisors: (tensor: GgufTensor) => Float32Array,
): ModelConfig => {
  const architecture = needText(header, "general.architecture");
  const readable = families.names.filter((name) => families.get(name).gguf !== undefined);
  if (!readable.includes(architecture)) {
    throw unsupported(
      header,
      `unknown architecture "${architecture}". ${didYouMean(architecture, readable)}`,
      `use a model of one of these families: ${readable.join(", ")}`,
    );
  }
  const optional = (key: string): number | undefined => numberAt(header, `${architecture}.${key}`);
  const need = (key: string): number => needNumber(header, `${architecture}.${key}`);
  if ((optional("expert_count") ?? 0) > 0) {
    throw unsupported(header, "mixtures of experts are not supported", "use a dense model");
  }
  const hiddenSize = need("embedding_length");
  const heads = need("attention.head_count");
  const kvHeads = optional("attention.head_count_kv") ?? heads;
  const headDim = optional("attention.key_length") ?? hiddenSize / heads;
  const rotated = optional("rope.dimension_count") ?? headDim;
  if (!Number.isInteger(headDim) || headDim % 2 !== 0 || heads % kvHeads !== 0) {
    throw new MahaloError(
      "E_GGUF_METADATA",
      `${header.path}: ${heads} heads, ${kvHeads} key heads and hidden size ${hiddenSize} do not fit together`,
    );
  }
  if (rotated !== headDim || (optional("attention.value_length") ?? headDim) !== headDim) {
    throw unsupported(
      header,
      "keys that are only partly rotated, or values of another width",
      "use another model",
    );
  }
  const ropeTheta = shortest(optional("rope.freq_base") ?? 10_000);
  const divisors = header.tensors.get("rope_freqs.weight");
  const config: ModelConfig = {
    family: architecture,
    vocabSize: element(needTensor(header, "token_embd.weight").shape, 0, "dimension"),
    hiddenSize,
    intermediateSize: need("feed_forward_length"),
    layers: need("block_count"),
    heads,
    kvHeads,
    headDim,
    ropeTheta,
    ropeScaling:
      divisors === undefined
        ? readScaling(header, architecture)
        : scalingFromDivisors(header, ropeTheta, headDim, loadDivisors(divisors)),
    rmsNormEps: shortest(need("attention.layer_norm_rms_epsilon")),
    tieEmbeddings: !header.tensors.has("output.weight"),
    qkvBias: header.tensors.has("blk.0.attn_q.bias"),
    outputBias: header.tensors.has("blk.0.attn_output.bias"),
    qkNorm: families.get(architecture).qkNorm,
    maxPositions: need("context_length"),
    bosId: numberAt(header, "tokenizer.ggml.bos_token_id"),
    eosIds: endIds(header),
    padId: numberAt(header, "tokenizer.ggml.padding_token_id"),
    extra: {},
  };
  checkBounds(config, fieldNames(architecture), (key, what) => {
    const message = `${header.path}: metadata "${key}" ${what}`;
    return new MahaloError("E_GGUF_METADATA", message, { hint: "the file is damaged; fetch it again" });
  });
  return config;
};
