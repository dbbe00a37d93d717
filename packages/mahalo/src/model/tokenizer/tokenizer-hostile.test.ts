/** Tokenizers that are damaged or mean harm: each is refused with its field, or ended in time. */
import { describe, expect, test } from "vitest";
import { checkTokenizerConfig, openTokenizer } from "./tokenizer.ts";

const vocab = { a: 0, b: 1, ab: 2, "!": 3 };
const sound = {
  added_tokens: [{ id: 4, content: "<end>", special: true }],
  model: { type: "BPE", vocab, merges: ["a b"] },
};
const open = (changes: Record<string, unknown>, config: Record<string, unknown> = {}) =>
  openTokenizer({ ...sound, ...changes }, checkTokenizerConfig(config, "tokenizer_config.json"), {
    where: "tokenizer.json",
    vocabSize: 5,
    eosIds: [],
  });
const bpe = (changes: Record<string, unknown>) => ({ model: { type: "BPE", vocab, merges: [], ...changes } });

test("the sound one is opened, with merges in either form", () => {
  expect(open({}).encode("aba!<end>")).toEqual([2, 0, 3, 4]);
  expect(open(bpe({ merges: [["a", "b"]] })).encode("ab")).toEqual([2]);
  expect(open({ model: { vocab, merges: ["a b"] } }).encode("ab")).toEqual([2]);
});

describe("a tokenizer is refused with the field named", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["an unknown kind", { model: { type: "BEP", vocab } }, /model\.type: unknown kind "BEP".*"BPE"/],
    ["a word-level model", { model: { type: "WordLevel", vocab } }, /model\.type: unknown kind "WordLevel"/],
    ["an empty vocabulary", { added_tokens: [], ...bpe({ vocab: {} }) }, /model\.vocab: is empty/],
    ["a vocabulary that is a list", bpe({ vocab: [] }), /model\.vocab: must be a map/],
    ["no vocabulary", bpe({ vocab: undefined }), /model\.vocab: must be a map/],
    ["an id twice", bpe({ vocab: { a: 0, b: 0 } }), /model\.vocab\["b"\]: tokens "a" and "b" .* same id, 0/],
    ["a negative id", bpe({ vocab: { a: -5 } }), /model\.vocab\["a"\]: .* not -5/],
    ["a fraction", bpe({ vocab: { a: 1.5 } }), /model\.vocab\["a"\]: .* not 1\.5/],
    ["an id as text", bpe({ vocab: { a: "5" } }), /model\.vocab\["a"\]: .* not "5"/],
    ["an id beyond the rows", bpe({ vocab: { a: 1e9 } }), /has id 1000000000, .* has 5 rows/],
    ["more tokens than rows", bpe({ vocab: { ...vocab, c: 4, d: 5 } }), /"d" has id 5, .* has 5 rows/],
    [
      "an added token in another's place",
      { added_tokens: [{ id: 0, content: "<x>" }] },
      /added_tokens\[0\]\.id: tokens "a" and "<x>" have the same id, 0/,
    ],
    [
      "an added token with a second id",
      { added_tokens: [{ id: 4, content: "a" }] },
      /added_tokens\[0\]\.id: token "a" has two ids, 0 and 4/,
    ],
    ["a merge of one", bpe({ merges: ["ab"] }), /model\.merges\[0\]: must be a pair/],
    ["a merge of numbers", bpe({ merges: [[1, 2]] }), /model\.merges\[0\]: must be a pair/],
    [
      "a merge of what is no token",
      bpe({ merges: ["a x"] }),
      /model\.merges\[0\]: token "x" of it is not in/,
    ],
    [
      "a merge into no token",
      bpe({ merges: [["b", "a"]] }),
      /model\.merges\[0\]: token "ba" of it is not in/,
    ],
    ["no merges", bpe({ merges: undefined }), /model\.merges: must be a list/],
    ["scores that are text", { model: { type: "Unigram", vocab: [["a", "x"]] } }, /model\.vocab\[0\]: must/],
  ])("%s", (_, changes, message) => {
    expect(() => open(changes)).toThrow(
      expect.objectContaining({ code: "E_TOKENIZER", message: expect.stringMatching(message) }),
    );
  });

  test("a normaliser that doubles a text over and over", () => {
    const doubling = { type: "Replace", pattern: { String: "a" }, content: "aa" };
    const times = (count: number) => ({
      normalizer: { type: "Sequence", normalizers: Array.from({ length: count }, () => doubling) },
    });
    expect(open(times(2)).encode("a!")).toEqual([0, 0, 0, 0, 3]);
    expect(() => open(times(40))).toThrow(/normalizer: its replacements may make a text \d+ times as long/);
  });

  test("a begin or end token that is none", () => {
    expect(() => open({}, { eos_token: "</s>" })).toThrow(/eos_token: "<\/s>", .* not among the tokens/);
    expect(() => open({}, { bos_token: { content: "<s>" } })).toThrow(/bos_token: "<s>"/);
  });
});

test("tokens may have the names of an object's own fields", () => {
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
  const text = `{"vocab": {${names.map((name, id) => `${JSON.stringify(name)}: ${id}`).join(", ")}}}`;
  const { vocab: named } = JSON.parse(text) as { vocab: Record<string, number> };
  const tokenizer = open({ ...bpe({ vocab: named, ignore_merges: true }), added_tokens: [] });
  for (const [id, name] of names.entries()) {
    expect(tokenizer.encode(name)).toEqual([id]);
    expect(tokenizer.decode([id])).toBe(name);
  }
});

describe("a pattern that takes time without bound is ended", () => {
  const endless = { Regex: "(a+)+$" };
  const text = `${"a".repeat(60)}!`;
  const late = expect.objectContaining({
    code: "E_TOKENIZER_TIME",
    hint: expect.stringContaining("(a+)+$"),
  });

  test.each([
    ["Split", { pre_tokenizer: { type: "Split", pattern: endless, behavior: "Isolated", invert: false } }],
    ["Replace", { normalizer: { type: "Replace", pattern: endless, content: "b" } }],
    [
      "Replace in a sequence",
      {
        normalizer: { type: "Sequence", normalizers: [{ type: "Replace", pattern: endless, content: "b" }] },
      },
    ],
  ])("of a %s while encoding", (_, changes) => {
    const tokenizer = open(changes);
    expect(tokenizer.encode("ab!")).toEqual(expect.any(Array));
    expect(() => tokenizer.encode(text)).toThrow(late);
  });

  test("while the tokenizer is built", () => {
    const added_tokens = [{ id: 4, content: text, special: false, normalized: true }];
    const normalizer = { type: "Replace", pattern: endless, content: "b" };
    expect(() => open({ added_tokens, normalizer })).toThrow(late);
  });

  test("while decoding", () => {
    const decoder = { type: "Replace", pattern: endless, content: "b" };
    const tokenizer = open({ decoder, ...bpe({ vocab: { [text]: 0 } }) });
    expect(() => tokenizer.decode([0])).toThrow(late);
  });
});
