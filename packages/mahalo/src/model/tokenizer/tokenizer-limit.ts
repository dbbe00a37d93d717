/** A time limit on tokenizers whose patterns, which come with a model from anywhere, may take time without bound. */
import { MahaloError } from "@mahalo/torch";
import { safeLength } from "../../core/pattern-cost.ts";
import { overdue, withinTime } from "../../core/time-limit.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { wordPattern } from "../gguf/tokenizer.ts";

/** Milliseconds for any text, and for each of its characters: a hundred times what a usual tokenizer takes. */
const limitOf = (length: number): number => 2_000 + Math.ceil(length / 5);

/** How Llama 3 and Qwen 2 cut words: in linear time, though the bound cannot tell. */
const linear = new Set([wordPattern("\\p{N}{1,3}"), wordPattern("\\p{N}")]);

/** Every regular expression inside a part of tokenizer.json. */
const patternsIn = (part: unknown): string[] => {
  if (typeof part !== "object" || part === null) return [];
  return Object.entries(part).flatMap(([key, value]) =>
    key === "Regex" && typeof value === "string" ? [value] : patternsIn(value),
  );
};

/** The costliest of patterns, and the longest text that it is safe on. */
const costliest = (parts: readonly unknown[]): { pattern: string; safe: number } => {
  const costs = parts
    .flatMap(patternsIn)
    .filter((pattern) => !linear.has(pattern))
    .map((pattern) => ({ pattern, safe: safeLength(pattern) }));
  return costs.reduce((a, b) => (b.safe < a.safe ? b : a), { pattern: "", safe: Number.POSITIVE_INFINITY });
};

/** Parts of tokenizer.json that work on text. */
export type TokenizerParts = { normalizer?: unknown; pre_tokenizer?: unknown; decoder?: unknown };

/** Runs work on a text of a length; where a pattern may take long on it, within a time limit. */
export type LimitedWork = <T>(length: number, work: () => T) => T;

const limiter = (where: string, doing: string, parts: readonly unknown[]): LimitedWork => {
  const { pattern, safe } = costliest(parts);
  return (length, work) => {
    if (length <= safe) return work();
    const limit = limitOf(length);
    const result = withinTime(limit, work);
    if (result !== overdue) return result;
    throw new MahaloError(
      "E_TOKENIZER_TIME",
      `${where}: ${doing} ${length} characters took longer than ${limit / 1000} s and was ended`,
      {
        hint: `the tokenizer's pattern ${JSON.stringify(pattern.slice(0, 80))} can take forever; use another model`,
      },
    );
  };
};

/** The limit on turning text into ids: by the patterns of normaliser and pre-tokenizer. */
export const encodeLimiter = (where: string, parts: TokenizerParts): LimitedWork =>
  limiter(where, "encoding a text of", [parts.normalizer, parts.pre_tokenizer]);

/**
 * A tokenizer that ends with an error where a pattern of its tokenizer takes too long. Patterns that cannot, and short texts
 * under those that can, cost nothing.
 */
export const limitTime = (tokenizer: Tokenizer, where: string, parts: TokenizerParts): Tokenizer => {
  const encoding = encodeLimiter(where, parts);
  const decoding = limiter(where, "decoding tokens of", [parts.decoder]);
  return {
    encode: (text, options) => encoding(text.length, () => tokenizer.encode(text, options)),
    // A token's text has a few characters; how many is not told before it is decoded.
    decode: (ids, options) => decoding(ids.length * 64, () => tokenizer.decode(ids, options)),
    specialIds: tokenizer.specialIds,
    eosIds: tokenizer.eosIds,
    vocabSize: tokenizer.vocabSize,
  };
};
