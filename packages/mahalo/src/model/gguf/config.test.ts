/** Facts about configs out of GGUF metadata: what is read, what is worked out, what is refused. */
import { describe, expect, test } from "vitest";
import { configFromGguf } from "./config.ts";
import type { GgufHeader, GgufTensor, GgufValue } from "./header.ts";

const metadata: Record<string, GgufValue> = {
  "general.architecture": "llama",
  "llama.embedding_length": 64,
  "llama.feed_forward_length": 128,
  "llama.block_count": 2,
  "llama.context_length": 512,
  "llama.attention.head_count": 4,
  "llama.attention.head_count_kv": 2,
  "llama.attention.layer_norm_rms_epsilon": Math.fround(1e-5),
  "llama.rope.freq_base": 500_000,
};
const tensor = (name: string, shape: number[]): [string, GgufTensor] => [
  name,
  { name, shape, type: "F32", offset: 0, bytes: 0 },
];
const embedding = tensor("token_embd.weight", [300, 64]);
const make = (
  changes: Record<string, GgufValue | undefined> = {},
  more: [string, GgufTensor][] = [],
  divisors: number[] = [],
) => {
  const entries = Object.entries({ ...metadata, ...changes });
  const header: GgufHeader = {
    path: "m.gguf",
    version: 3,
    metadata: new Map(entries.filter((entry): entry is [string, GgufValue] => entry[1] !== undefined)),
    tensors: new Map([embedding, ...more]),
  };
  return configFromGguf(header, () => Float32Array.from(divisors));
};

describe("configFromGguf", () => {
  test("sizes come from the metadata, the vocabulary and ties from the tensors", () => {
    expect(make()).toMatchObject({
      family: "llama",
      vocabSize: 300,
      headDim: 16,
      kvHeads: 2,
      rmsNormEps: 1e-5,
      tieEmbeddings: true,
      qkvBias: false,
    });
    const more = [tensor("output.weight", [300, 64]), tensor("blk.0.attn_q.bias", [64])];
    expect(make({}, more)).toMatchObject({ tieEmbeddings: false, qkvBias: true });
  });

  test("every token that ends a turn or a text is an end token, once", () => {
    const ids = { eos_token_id: 2, eot_token_id: 5, eom_token_id: 2 };
    const keys = Object.fromEntries(Object.entries(ids).map(([key, id]) => [`tokenizer.ggml.${key}`, id]));
    expect(make(keys).eosIds).toEqual([2, 5]);
  });

  test("divisors of the frequencies that are all one scale nothing", () => {
    const frequencies = tensor("rope_freqs.weight", [8]);
    expect(make({}, [frequencies], Array(8).fill(1)).ropeScaling).toBeUndefined();
  });

  test("linear scaling is read", () => {
    const linear = { "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4 };
    expect(make(linear).ropeScaling).toEqual({ type: "linear", factor: 4 });
  });

  test.each([
    [{ "general.architecture": "lama" }, /unknown architecture "lama".*"llama"/],
    [{ "llama.rope.scaling.type": "yarn" }, /rope scaling "yarn"/],
    [{ "llama.expert_count": 8 }, /mixtures of experts/],
    [{ "llama.rope.dimension_count": 8 }, /only partly rotated/],
    [{ "llama.attention.value_length": 8 }, /values of another width/],
  ])("refuses %j, which would change the answers", (changes, message) => {
    expect(() => make(changes)).toThrow(message);
    expect(() => make(changes)).toThrow(expect.objectContaining({ code: "E_CONFIG_UNSUPPORTED" }));
  });

  test("divisors of another rule than Llama 3's are refused", () => {
    const frequencies = tensor("rope_freqs.weight", [8]);
    expect(() => make({}, [frequencies], [1, 1, 1, 1, 2, 3, 4, 5])).toThrow(/does not follow Llama 3/);
    expect(() => make({}, [frequencies], [1, 2])).toThrow(/does not follow Llama 3/);
  });

  test.each([
    [{ "llama.block_count": undefined }, /"llama\.block_count" is missing/],
    [{ "llama.attention.head_count_kv": [2, 2] }, /"llama\.attention\.head_count_kv" must be a number/],
    [{ "llama.attention.head_count_kv": 3 }, /do not fit together/],
    [{ "llama.attention.head_count": 5 }, /do not fit together/],
  ])("says what is wrong with %j", (changes, message) => {
    expect(() => make(changes)).toThrow(message);
  });

  test("a file without an embedding is no language model", () => {
    const header = {
      path: "m.gguf",
      version: 3,
      metadata: new Map(Object.entries(metadata)),
      tensors: new Map(),
    };
    expect(() => configFromGguf(header, () => new Float32Array())).toThrow(/"token_embd\.weight" is missing/);
  });

  test.each<[string, GgufValue]>([
    ["llama.block_count", 4e9],
    ["llama.block_count", 0],
    ["llama.embedding_length", 2 ** 32],
    ["llama.feed_forward_length", 1.5],
    ["llama.context_length", -1],
    ["llama.attention.layer_norm_rms_epsilon", 1e30],
    ["llama.rope.freq_base", 1e30],
    ["tokenizer.ggml.bos_token_id", 300],
    ["tokenizer.ggml.eos_token_id", 300],
    ["tokenizer.ggml.padding_token_id", 4e9],
  ])("%s: %d is refused by its name", (key, value) => {
    const refused = {
      code: "E_GGUF_METADATA",
      message: expect.stringContaining(`metadata "${key}" must be`),
    };
    expect(() => make({ [key]: value })).toThrow(expect.objectContaining(refused));
  });

  test("a head as wide as no memory holds is refused before its divisors are worked out", () => {
    const frequencies = tensor("rope_freqs.weight", [8]);
    const wide = { "llama.attention.key_length": 2 ** 40 };
    expect(() => make(wide, [frequencies], Array(8).fill(2))).toThrow(/rope_freqs\.weight/);
  });
});
