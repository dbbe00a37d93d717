/** A small byte-level tokenizer that merges separators with their neighbours, as Qwen's and Llama 3's do. */
import { checkTokenizerConfig, openTokenizer } from "../../model/tokenizer/tokenizer.ts";
import type { Tokenizer } from "../tokens/tokenizer.ts";

/** GPT-2's letters for the 256 bytes: printable ones stand for themselves, the others are moved up to 256 and on. */
const byteLetters = (): string[] => {
  let moved = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173)) return String.fromCodePoint(byte);
    moved += 1;
    return String.fromCodePoint(255 + moved);
  });
};

/** Merges in order; Ċ is a line feed, Ġ a space. */
const merges: readonly (readonly [string, string])[] = [
  [":", "Ċ"],
  ["Ċ", "Ċ"],
  ["ĊĊ", "Ċ"],
  [".", "ĊĊ"],
  [".", "ĊĊĊ"],
  [".", "Ċ"],
  [".", '"'],
  ["Ġ", "Ċ"],
  ["Ġ", "Ġ"],
  ["t", "h"],
  ["th", "e"],
  ["Ġ", "the"],
];

/** How Qwen cuts a text before it merges: a run of punctuation takes the line feeds behind it. */
const pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The tokenizer; `<|im_start|>` and `<|im_end|>` are special, the latter ends an answer. */
export const mergingTokenizer = (): Tokenizer => {
  const tokens = [...byteLetters(), ...merges.map((pair) => pair.join(""))];
  const special = (content: string, id: number) => ({ id, content, special: true, normalized: false });
  return openTokenizer(
    {
      added_tokens: [special("<|im_start|>", tokens.length), special("<|im_end|>", tokens.length + 1)],
      normalizer: { type: "NFC" },
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, use_regex: false },
        ],
      },
      decoder: { type: "ByteLevel" },
      model: {
        type: "BPE",
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: merges.map((pair) => pair.join(" ")),
      },
    },
    checkTokenizerConfig({ eos_token: "<|im_end|>" }, "test"),
    { where: "tokenizer.json", vocabSize: tokens.length + 2, eosIds: [] },
  );
};
