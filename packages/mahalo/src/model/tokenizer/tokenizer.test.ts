/** Facts about the tokenizer, on a tokenizer of a few tokens. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenText } from "../../data/tokens/token-text.ts";
import { checkTokenizerConfig, openTokenizer, specialTokenTexts } from "./tokenizer.ts";

/** GPT-2's letters for the 256 bytes: printable ones stand for themselves, the others are moved up to 256 and on. */
const letters = (): string[] => {
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    if (printable) return String.fromCodePoint(byte);
    moved += 1;
    return String.fromCodePoint(255 + moved);
  });
};

const bytes = letters();
const tokenizerJson = {
  added_tokens: [
    { id: 256, content: "<|end|>", special: true, normalized: false },
    { id: 257, content: "<tool>", special: false, normalized: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel" },
  model: { type: "BPE", vocab: Object.fromEntries(bytes.map((letter, id) => [letter, id])), merges: [] },
};
const config = checkTokenizerConfig({ eos_token: { content: "<|end|>" }, bos_token: null }, "test");
const open = (changes: Record<string, unknown> = {}, vocabSize = 300) =>
  openTokenizer({ ...tokenizerJson, ...changes }, config, {
    where: "tokenizer.json",
    vocabSize,
    eosIds: [7],
  });
const code = (name: string) => expect.objectContaining({ code: name });

describe("openTokenizer", () => {
  test("any text comes back from its ids", () => {
    const tokenizer = open();
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
    );
  });

  test("any ids give text, whether they have tokens, are text, or lie beyond the vocabulary", () => {
    const tokenizer = open();
    fc.assert(
      fc.property(fc.array(fc.nat(400)), fc.boolean(), (ids, skipSpecial) => {
        expect(typeof tokenizer.decode(ids, { skipSpecial })).toBe("string");
      }),
    );
    expect(tokenizer.decode([299, 104, 105, 9999])).toBe(tokenizer.decode([104, 105]));
    expect(tokenizer.decode([])).toBe("");
  });

  test("a text is the concatenation of its tokens, also where the folder asks to clean up spaces", () => {
    const cleaning = checkTokenizerConfig({ clean_up_tokenization_spaces: true }, "test");
    const vocab = { ...tokenizerJson.model.vocab, "Ġ.": 258, "Ġ'": 259 };
    const model = { type: "BPE", vocab, merges: [["Ġ", "."] as const, ["Ġ", "'"] as const] };
    const tokenizer = openTokenizer({ ...tokenizerJson, model }, cleaning, {
      where: "tokenizer.json",
      vocabSize: 300,
      eosIds: [],
    });
    for (const text of ["x . y , z ?", "say 'so' !", "it 's and do n't", "[1 , 2] == 3 ."]) {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids.map((id) => tokenizer.decode([id])).join("")).toBe(text);
      const pieces = new TokenText(tokenizer);
      expect(ids.map((id) => pieces.push(id)).join("") + pieces.end()).toBe(text);
    }
  });

  test("special tokens are found in text and left out on demand; user tokens stay", () => {
    const tokenizer = open();
    expect(tokenizer.encode("<|end|><tool>")).toEqual([256, 257]);
    expect(tokenizer.decode([256, 257], { skipSpecial: true })).toBe("<tool>");
    expect(tokenizer.specialIds).toEqual(new Set([256]));
  });

  test("the config's end tokens come first, the tokenizer's own is added", () => {
    expect(open().eosIds).toEqual([7, 256]);
  });

  test("`special` adds what the tokenizer puts around a text", () => {
    const piece = { SpecialToken: { id: "<|end|>", type_id: 0 } };
    const tokenizer = open({
      post_processor: {
        type: "TemplateProcessing",
        single: [piece, { Sequence: { id: "A", type_id: 0 } }],
        pair: [piece, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
        special_tokens: { "<|end|>": { id: "<|end|>", ids: [256], tokens: ["<|end|>"] } },
      },
    });
    expect(tokenizer.encode("", { special: true })).toEqual([256]);
    expect(tokenizer.encode("")).toEqual([]);
  });

  test("a tokenizer of another model is refused", () => {
    expect(() => open({}, 257)).toThrow(/"<tool>" has id 257, but the model's vocabulary has 257 rows/);
  });

  test("a file that is no tokenizer names what is wrong", () => {
    expect(() => open({ model: undefined })).toThrow(/tokenizer\.json: model: is missing/);
    expect(() => open({ model: { type: "BPE" } })).toThrow(code("E_TOKENIZER"));
    expect(() => open({ pre_tokenizer: { type: "Nonsense" } })).toThrow(code("E_TOKENIZER"));
    expect(() => open({ added_tokens: [{ id: -1, content: "x" }] })).toThrow(/added_tokens\[0\]\.id/);
  });

  test("templates get the special tokens' texts", () => {
    expect(specialTokenTexts(config)).toEqual({ eos_token: "<|end|>" });
  });
});
