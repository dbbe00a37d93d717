/** Facts about the tokenizer that a GGUF file's metadata makes, and about metadata that makes none. */
import { describe, expect, test } from "vitest";
import type { GgufHeader, GgufValue } from "./header.ts";
import { shortest } from "./metadata.ts";
import { tokenizerFromGguf } from "./tokenizer.ts";

const metadata: Record<string, GgufValue> = {
  "general.architecture": "llama",
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "smollm",
  "tokenizer.ggml.tokens": ["<end>", "a", "b", "ab", "<tool>", "[PAD5]"],
  "tokenizer.ggml.token_type": [3, 1, 1, 1, 4, 5],
  "tokenizer.ggml.merges": ["a b"],
  "tokenizer.ggml.bos_token_id": 0,
};
const make = (changes: Record<string, GgufValue | undefined> = {}) => {
  const entries = Object.entries({ ...metadata, ...changes });
  const header: GgufHeader = {
    path: "m.gguf",
    version: 3,
    metadata: new Map(entries.filter((entry): entry is [string, GgufValue] => entry[1] !== undefined)),
    tensors: new Map(),
  };
  return tokenizerFromGguf(header);
};
const key = (name: string) => `tokenizer.ggml.${name}`;

describe("tokenizerFromGguf", () => {
  test("token types decide what is special, what is found in text, and what is left out", () => {
    const { tokenizer, tokenizerConfig } = make();
    expect(tokenizer).toMatchObject({
      added_tokens: [
        { id: 0, content: "<end>", special: true },
        { id: 4, content: "<tool>", special: false },
      ],
      model: { vocab: { "<end>": 0, a: 1, b: 2, ab: 3, "<tool>": 4 }, merges: ["a b"] },
      post_processor: null,
    });
    expect(tokenizerConfig).toMatchObject({ bos_token: "<end>", eos_token: null });
  });

  test("the begin token is added where the file or its kind of tokenizer says so", () => {
    const begins = (changes: Record<string, GgufValue>) => make(changes).tokenizer.post_processor !== null;
    expect(begins({ [key("pre")]: "llama-bpe" })).toBe(true);
    expect(begins({ [key("pre")]: "llama-bpe", [key("add_bos_token")]: false })).toBe(false);
    expect(begins({ [key("add_bos_token")]: true })).toBe(true);
    expect(begins({})).toBe(false);
  });

  test.each([
    [{ [key("model")]: "llama" }, /tokenizer "llama" is not supported/],
    [{ [key("pre")]: "nonsense" }, /unknown pre-tokenizer "nonsense"; known are .*smollm/],
    [{ [key("tokens")]: undefined }, /"tokenizer\.ggml\.tokens" is missing/],
    [{ [key("tokens")]: [1, 2] }, /must be a list of texts/],
    [{ [key("token_type")]: [1] }, /1 token types for 6 tokens/],
    [{ [key("tokens")]: ["a", "a", "b", "c", "d", "e"] }, /a token is there twice/],
    [{ [key("merges")]: ["ab"] }, /merge "ab" does not have two halves/],
    [{ [key("merges")]: ["a "] }, /does not have two halves/],
    [{ [key("bos_token_id")]: 17 }, /bos_token_id" is 17, but there are 6 tokens/],
    [{ [key("bos_token_id")]: "0" }, /must be a number/],
  ])("says what is wrong with %j", (changes, message) => {
    expect(() => make(changes)).toThrow(message);
    expect(() => make(changes)).toThrow(/^m\.gguf: /);
  });

  test("a token called __proto__ is a token", () => {
    const { tokenizer } = make({
      [key("tokens")]: ["__proto__", "a", "b", "ab", "c", "d"],
      [key("token_type")]: [1, 1, 1, 1, 1, 1],
    });
    expect(JSON.stringify(tokenizer)).toContain('"__proto__":0');
  });
});

test("a float of 32 bits is read as the decimal it was written from", () => {
  for (const value of [1e-5, 1e-6, 0.1, 500_000, 1_000_000, 10_000, 1.5, 8]) {
    expect(shortest(Math.fround(value))).toBe(value);
  }
  expect(shortest(9.999999747378752e-6)).toBe(1e-5);
});
