/** A GGUF file's tokenizer, written as tokenizer.json and tokenizer_config.json. */
import { MahaloError } from "@mahalo/torch";
import type { GgufHeader } from "./header.ts";
import { booleanAt, needText, needTexts, numberAt, numbersAt, textAt } from "./metadata.ts";

/** The two files' contents, and the chat template where the file has one. */
export type GgufTokenizer = {
  tokenizer: Record<string, unknown>;
  tokenizerConfig: Record<string, unknown>;
  chatTemplate: string | undefined;
};

/** Values of `tokenizer.ggml.token_type`. */
const controlToken = 3;
const userToken = 4;
const unusedToken = 5;

const byteLevel = (useRegex: boolean): Record<string, unknown> => ({
  type: "ByteLevel",
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

/** Cuts text by a pattern before the bytes are taken. */
const splitBy = (pattern: string): Record<string, unknown> => ({
  type: "Sequence",
  pretokenizers: [
    { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    byteLevel(false),
  ],
});

/** Words, runs of at most `digits` digits, punctuation and white space, as Llama 3 and Qwen 2 cut them. */
export const wordPattern = (digits: string): string =>
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+",
    digits,
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*",
    "\\s*[\\r\\n]+",
    "\\s+(?!\\S)",
    "\\s+",
  ].join("|");

/** How one kind of byte-level BPE cuts text. */
type Kind = {
  preTokenizer: Record<string, unknown>;
  normalizer: Record<string, unknown> | null;
  /** A piece that is a token as it stands is not merged up. */
  ignoreMerges: boolean;
  /** Whether texts begin with the begin token where the file does not say. */
  addBos: boolean;
};

const gpt2: Kind = { preTokenizer: byteLevel(true), normalizer: null, ignoreMerges: false, addBos: false };

const smollm: Kind = {
  ...gpt2,
  preTokenizer: {
    type: "Sequence",
    pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  },
};

const llama3: Kind = {
  preTokenizer: splitBy(wordPattern("\\p{N}{1,3}")),
  normalizer: null,
  ignoreMerges: true,
  addBos: true,
};

const qwen2: Kind = {
  preTokenizer: splitBy(wordPattern("\\p{N}")),
  normalizer: { type: "NFC" },
  ignoreMerges: false,
  addBos: false,
};

/** Values of `tokenizer.ggml.pre`. */
const kinds = new Map<string, Kind>([
  ["default", gpt2],
  ["gpt-2", gpt2],
  ["smollm", smollm],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["qwen2", qwen2],
]);

const fail = (header: GgufHeader, message: string, hint?: string): MahaloError =>
  new MahaloError("E_GGUF_TOKENIZER", `${header.path}: ${message}`, { hint });

const readKind = (header: GgufHeader): Kind => {
  const model = needText(header, "tokenizer.ggml.model");
  if (model !== "gpt2") {
    throw fail(
      header,
      `tokenizer "${model}" is not supported; byte-level BPE ("gpt2") is`,
      "use the model's Hugging Face folder",
    );
  }
  const name = textAt(header, "tokenizer.ggml.pre") ?? "default";
  const kind = kinds.get(name);
  if (kind !== undefined) return kind;
  throw fail(
    header,
    `unknown pre-tokenizer "${name}"; known are ${[...kinds.keys()].join(", ")}`,
    "use the model's Hugging Face folder",
  );
};

/** A special token's text by the metadata key of its id. */
const specialToken = (header: GgufHeader, tokens: string[], key: string): string | undefined => {
  const id = numberAt(header, `tokenizer.ggml.${key}`);
  if (id === undefined) return undefined;
  const token = tokens[id];
  if (token === undefined) {
    throw fail(header, `metadata "tokenizer.ggml.${key}" is ${id}, but there are ${tokens.length} tokens`);
  }
  return token;
};

/** Puts `token` before every text, as the tokenizers library wants to be told. */
const beginWith = (token: string, id: number): Record<string, unknown> => ({
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
  pair: [
    { SpecialToken: { id: token, type_id: 0 } },
    { Sequence: { id: "A", type_id: 0 } },
    { SpecialToken: { id: token, type_id: 1 } },
    { Sequence: { id: "B", type_id: 1 } },
  ],
  special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
});

/** A merge is two halves with a space between; a half is never empty. */
const checkMerge = (header: GgufHeader, merge: string): string => {
  const space = merge.indexOf(" ", 1);
  if (space > 0 && space < merge.length - 1) return merge;
  throw fail(header, `merge ${JSON.stringify(merge)} does not have two halves`);
};

/**
 * The tokenizer of a GGUF file with byte-level BPE. Control tokens become special tokens; user-defined ones are found in
 * text too but are not special; unused ones (padding of the vocabulary) are left out.
 *
 * @throws MahaloError E_GGUF_TOKENIZER, E_GGUF_METADATA
 */
export const tokenizerFromGguf = (header: GgufHeader): GgufTokenizer => {
  const kind = readKind(header);
  const tokens = needTexts(header, "tokenizer.ggml.tokens");
  const types = numbersAt(header, "tokenizer.ggml.token_type") ?? tokens.map(() => 1);
  if (types.length !== tokens.length) {
    throw fail(header, `${types.length} token types for ${tokens.length} tokens`);
  }
  const entries = tokens
    .map((content, id) => ({ content, id, type: types[id] }))
    .filter(({ type }) => type !== unusedToken);
  const vocabulary = Object.fromEntries(entries.map(({ content, id }) => [content, id]));
  if (Object.keys(vocabulary).length !== entries.length) throw fail(header, "a token is there twice");
  const bos = specialToken(header, tokens, "bos_token_id");
  const bosId = numberAt(header, "tokenizer.ggml.bos_token_id");
  const addBos = booleanAt(header, "tokenizer.ggml.add_bos_token") ?? kind.addBos;
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: entries
        .filter(({ type }) => type === controlToken || type === userToken)
        .map(({ content, id, type }) => ({
          id,
          content,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          special: type === controlToken,
        })),
      normalizer: kind.normalizer,
      pre_tokenizer: kind.preTokenizer,
      post_processor: addBos && bos !== undefined && bosId !== undefined ? beginWith(bos, bosId) : null,
      decoder: byteLevel(true),
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: kind.ignoreMerges,
        vocab: vocabulary,
        merges: needTexts(header, "tokenizer.ggml.merges").map((merge) => checkMerge(header, merge)),
      },
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      clean_up_tokenization_spaces: false,
      add_prefix_space: false,
      bos_token: bos ?? null,
      eos_token: specialToken(header, tokens, "eos_token_id") ?? null,
      unk_token: specialToken(header, tokens, "unknown_token_id") ?? null,
      pad_token: specialToken(header, tokens, "padding_token_id") ?? null,
      model_max_length: numberAt(header, `${needText(header, "general.architecture")}.context_length`),
    },
    chatTemplate: textAt(header, "tokenizer.chat_template"),
  };
};
