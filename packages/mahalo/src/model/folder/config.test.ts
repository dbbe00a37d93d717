/** Facts about config.json: what is read, what is refused, and that writing gives it back. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { fromHuggingFace, parseConfig, toHuggingFace } from "./config.ts";

const llama = {
  model_type: "llama",
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const read = (fields: Record<string, unknown>) => fromHuggingFace({ ...llama, ...fields }, "config.json");
const code = (name: string) => expect.objectContaining({ code: name });

describe("fromHuggingFace", () => {
  test("takes the classes' defaults where the file is silent", () => {
    expect(read({})).toEqual({
      family: "llama",
      vocabSize: 100,
      hiddenSize: 64,
      intermediateSize: 128,
      layers: 2,
      heads: 4,
      kvHeads: 4,
      headDim: 16,
      ropeTheta: 10_000,
      ropeScaling: undefined,
      rmsNormEps: 1e-6,
      tieEmbeddings: false,
      qkvBias: false,
      outputBias: false,
      qkNorm: false,
      maxPositions: 2048,
      bosId: undefined,
      eosIds: [],
      padId: undefined,
      extra: {},
    });
  });

  test("biases and norms follow the family", () => {
    expect(read({ attention_bias: true })).toMatchObject({ qkvBias: true, outputBias: true, qkNorm: false });
    expect(read({ model_type: "qwen2" })).toMatchObject({ qkvBias: true, outputBias: false, qkNorm: false });
    expect(read({ model_type: "qwen3" })).toMatchObject({ qkvBias: false, qkNorm: true, headDim: 128 });
  });

  test("rope scaling reads the same in the old and the new form", () => {
    const scaling = {
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const old = read({ rope_theta: 500_000, rope_scaling: { rope_type: "llama3", ...scaling } });
    const older = read({ rope_theta: 500_000, rope_scaling: { type: "llama3", ...scaling } });
    const current = read({ rope_parameters: { rope_type: "llama3", rope_theta: 500_000, ...scaling } });
    expect(old).toMatchObject({
      ropeTheta: 500_000,
      ropeScaling: {
        type: "llama3",
        factor: 8,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalMaxPositions: 8192,
      },
    });
    expect(older).toEqual(old);
    expect(current).toEqual(old);
    expect(
      read({ rope_scaling: null, rope_parameters: { rope_type: "default" } }).ropeScaling,
    ).toBeUndefined();
    expect(read({ rope_scaling: { type: "linear", factor: 2 } }).ropeScaling).toEqual({
      type: "linear",
      factor: 2,
    });
  });

  test("of two rope fields rope_scaling counts alone, as in transformers", () => {
    const linear = { rope_type: "linear", factor: 2 };
    const yarn = { rope_type: "yarn", factor: 4 };
    const both = read({ rope_scaling: linear, rope_parameters: { ...yarn, rope_theta: 5 }, rope_theta: 7 });
    expect(both).toMatchObject({ ropeScaling: { type: "linear", factor: 2 }, ropeTheta: 7 });
    expect(read({ rope_scaling: linear, rope_parameters: { rope_theta: 5 } }).ropeTheta).toBe(10_000);
    expect(read({ rope_scaling: {}, rope_parameters: { ...linear, rope_theta: 5 } })).toMatchObject({
      ropeScaling: { type: "linear", factor: 2 },
      ropeTheta: 5,
    });
    expect(() => read({ rope_scaling: yarn, rope_parameters: linear })).toThrow(
      /rope_scaling\.rope_type.*"yarn"/,
    );
    expect(() => read({ rope_parameters: { ...linear, partial_rotary_factor: 0.5 } })).toThrow(
      /partial_rotary_factor: 0\.5/,
    );
  });

  test("one end token or several", () => {
    expect(read({ eos_token_id: 2 }).eosIds).toEqual([2]);
    expect(read({ eos_token_id: [2, 5] }).eosIds).toEqual([2, 5]);
    expect(read({ eos_token_id: null }).eosIds).toEqual([]);
  });

  test.each([
    [{ model_type: "lama" }, /"lama".*"llama"/],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, /rope_scaling\.rope_type.*"yarn"/],
    [{ hidden_act: "gelu" }, /hidden_act/],
    [{ mlp_bias: true }, /mlp_bias/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor/],
    [{ quantization_config: { bits: 4 } }, /quantization_config/],
    [{ use_sliding_window: true, sliding_window: 1024 }, /use_sliding_window.*1024/],
    [{ layer_types: ["full_attention", "sliding_attention"], sliding_window: 512 }, /layer_types.*512/],
  ])("refuses %j, which would change the answers", (fields, message) => {
    expect(() => read(fields)).toThrow(code("E_CONFIG_UNSUPPORTED"));
    expect(() => read(fields)).toThrow(message);
  });

  test("a sliding window that hides nothing is let be", () => {
    expect(() => read({ use_sliding_window: false, sliding_window: 64 })).not.toThrow();
    expect(() => read({ use_sliding_window: true, sliding_window: 4096 })).not.toThrow();
    expect(() => read({ layer_types: ["full_attention"], sliding_window: 64 })).not.toThrow();
    const sliding = { model_type: "qwen2", use_sliding_window: true, sliding_window: 64 };
    for (const layers of [2, 3, undefined])
      expect(() => read({ ...sliding, max_window_layers: layers })).not.toThrow();
    expect(() => read({ ...sliding, sliding_window: null, max_window_layers: 0 })).not.toThrow();
    expect(() => read({ ...sliding, max_window_layers: 1 })).toThrow(/use_sliding_window.*64/);
    const written = toHuggingFace(read({ ...sliding, max_window_layers: 2 }));
    expect(written).toMatchObject({ use_sliding_window: false, max_window_layers: 2 });
  });

  test.each([
    [{ vocab_size: "100" }, /vocab_size/],
    [{ hidden_size: undefined }, /hidden_size: is missing/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads: 3 does not divide/],
    [{ num_attention_heads: 5 }, /head_dim/],
    [{ num_hidden_layers: 0 }, /num_hidden_layers/],
    [{ rms_norm_eps: -1 }, /rms_norm_eps/],
    [{ rope_scaling: { rope_type: "llama3", factor: 8 } }, /rope_scaling\.low_freq_factor: is missing/],
    [
      {
        rope_scaling: {
          rope_type: "llama3",
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
      /high_freq_factor: must be above/,
    ],
  ])("names the field that is wrong in %j", (fields, message) => {
    expect(() => read(fields)).toThrow(code("E_CONFIG_FIELD"));
    expect(() => read(fields)).toThrow(message);
  });

  test("text that is no JSON names the file", () => {
    expect(() => parseConfig("{", "m/config.json")).toThrow(/m\/config\.json/);
  });
});

describe("toHuggingFace", () => {
  const models = fileURLToPath(new URL("../../../../../test/golden/data/models", import.meta.url));

  test.each(readdirSync(models))("what is written of %s reads the same", (name) => {
    const config = parseConfig(readFileSync(join(models, name, "config.json"), "utf8"), name);
    expect(fromHuggingFace(toHuggingFace(config), "written")).toEqual(config);
  });

  test("keeps keys it does not know, and several end tokens", () => {
    const config = read({ eos_token_id: [2, 5], initializer_range: 0.02, mahalo: { objectives: ["a"] } });
    expect(toHuggingFace(config)).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      eos_token_id: [2, 5],
      initializer_range: 0.02,
      mahalo: { objectives: ["a"] },
    });
  });
});

describe("a number that no model has is refused by its name", () => {
  test.each<[string, unknown]>([
    ["num_hidden_layers", 1e15],
    ["num_hidden_layers", 10_001],
    ["hidden_size", 2 ** 40],
    ["intermediate_size", 2 ** 40],
    ["vocab_size", 1e12],
    ["num_attention_heads", 2 ** 30],
    ["max_position_embeddings", 1e15],
    ["rms_norm_eps", 1e300],
    ["rms_norm_eps", 5e-324],
    ["rope_theta", 1e308],
    ["rope_theta", 0.5],
    ["bos_token_id", 100],
    ["eos_token_id", 100],
    ["eos_token_id", [2, 1e9]],
    ["pad_token_id", 100],
  ])("%s: %s", (field, value) => {
    // Sizes that must divide each other do.
    const heads = field === "num_attention_heads" ? { hidden_size: 2 ** 19, head_dim: 2 } : { head_dim: 16 };
    const error = {
      code: "E_CONFIG_FIELD",
      message: expect.stringContaining(`config.json: ${field}: must be`),
    };
    expect(() => read({ ...heads, [field]: value })).toThrow(expect.objectContaining(error));
  });

  test("and those of rope scaling", () => {
    const rope_scaling = { rope_type: "linear", factor: 1e300 };
    expect(() => read({ rope_scaling })).toThrow(/config\.json: rope_scaling: factor must be a number/);
  });
});
