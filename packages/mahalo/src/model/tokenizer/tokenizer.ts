/** The model's tokenizer: tokenizer.json and tokenizer_config.json in, a tokenizer out. */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../../core/json.ts";
import type { DecodeTextOptions, EncodeTextOptions, Tokenizer } from "../../data/tokens/tokenizer.ts";
import { checkNamedTokens, checkNormalizer, checkVocabulary, modelOf } from "./tokenizer-checks.ts";
import { encodeLimiter, limitTime } from "./tokenizer-limit.ts";

const addedTokenSchema = z.looseObject({
  id: z.int().min(0),
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});

const part = z.looseObject({ type: z.string() }).nullish();

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: part,
  pre_tokenizer: part,
  post_processor: part,
  decoder: part,
  model: z.looseObject({ type: z.string().optional() }),
});

/** A special token is named by its text, or by an object that holds it. */
const tokenName = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish();

/** Special tokens by the names that tokenizer_config.json and special_tokens_map.json have for them. */
export const tokenNamesSchema = z.looseObject({
  bos_token: tokenName,
  eos_token: tokenName,
  unk_token: tokenName,
  pad_token: tokenName,
});

const tokenizerConfigSchema = tokenNamesSchema.extend({
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});

/** What tokenizer_config.json says, as far as it is used here. */
export type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

/** Checks tokenizer_config.json's content. @throws MahaloError E_TOKENIZER */
export const checkTokenizerConfig = (value: unknown, where: string): TokenizerConfig =>
  checkValue(value, tokenizerConfigSchema, where, { code: "E_TOKENIZER" });

/** Texts of the special tokens under the names that chat templates use. */
export const specialTokenTexts = (config: TokenizerConfig): Record<string, string> => {
  const { bos_token, eos_token, unk_token, pad_token } = config;
  const named = Object.entries({ bos_token, eos_token, unk_token, pad_token });
  return Object.fromEntries(named.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
};

/** Options of {@link openTokenizer}. */
export type TokenizerOptions = {
  /** What errors call the tokenizer: the path of tokenizer.json. */
  where: string;
  /** Number of rows of the model's vocabulary. */
  vocabSize: number;
  /** Ids that end an answer, as the model's config names them; the tokenizer's own end token is added. */
  eosIds: readonly number[];
};

/**
 * A pre-tokenizer as the library reads it rightly. Its `Digits` knows Unicode's decimal digits only, while the original
 * cuts at every numeric character (½ and ² too), which a pattern says as well.
 */
const spellOutDigits = (preTokenizer: Record<string, unknown>): Record<string, unknown> => {
  const { type, pretokenizers, individual_digits } = preTokenizer;
  if (type === "Digits") {
    const pattern = { Regex: individual_digits === true ? "\\p{N}" : "\\p{N}+" };
    return { type: "Split", pattern, behavior: "Isolated", invert: false };
  }
  if (type !== "Sequence" || !Array.isArray(pretokenizers)) return preTokenizer;
  const isPart = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null;
  return {
    ...preTokenizer,
    pretokenizers: pretokenizers.map((inner: unknown) => (isPart(inner) ? spellOutDigits(inner) : inner)),
  };
};

/** The ids that have a token, since the library stops at one that has none. */
const knownOnly = (ids: readonly number[], library: LibraryTokenizer): number[] =>
  ids.filter((id) => library.id_to_token(id) !== undefined);

class HuggingFaceTokenizer implements Tokenizer {
  readonly specialIds: ReadonlySet<number>;
  readonly eosIds: readonly number[];
  readonly vocabSize: number;
  readonly #library: LibraryTokenizer;

  constructor(
    library: LibraryTokenizer,
    facts: { specialIds: Set<number>; eosIds: number[]; vocabSize: number },
  ) {
    this.#library = library;
    this.specialIds = facts.specialIds;
    this.eosIds = facts.eosIds;
    this.vocabSize = facts.vocabSize;
  }

  encode(text: string, options: EncodeTextOptions = {}): number[] {
    return this.#library.encode(text, { add_special_tokens: options.special ?? false }).ids;
  }

  decode(ids: readonly number[], options: DecodeTextOptions = {}): string {
    const kept = knownOnly(ids, this.#library).filter(
      (id) => options.skipSpecial !== true || !this.specialIds.has(id),
    );
    if (kept.length === 0) return "";
    // Never cleaned up, whatever the folder says: a text is what its tokens say, or nothing could be cut out of it.
    return this.#library.decode(kept, { clean_up_tokenization_spaces: false });
  }
}

/**
 * A tokenizer from the contents of tokenizer.json and tokenizer_config.json.
 *
 * The tokenizer throws E_TOKENIZER_TIME where a pattern of the tokenizer takes time without bound on a text.
 *
 * @throws MahaloError E_TOKENIZER: a field is missing or wrong, or a token's id is not its own or lies beyond the
 *   vocabulary; E_TOKENIZER_TIME.
 */
export const openTokenizer = (
  tokenizerJson: unknown,
  config: TokenizerConfig,
  options: TokenizerOptions,
): Tokenizer => {
  const { where, vocabSize } = options;
  const files = checkValue(tokenizerJson, tokenizerSchema, where, { code: "E_TOKENIZER" });
  const model = modelOf(files.model, where);
  checkNormalizer(files.normalizer, where);
  checkVocabulary(model, files.added_tokens, vocabSize, where);
  const build = (): LibraryTokenizer =>
    new LibraryTokenizer(
      {
        ...files,
        model,
        // The library wants every part named, also those that the tokenizer has not.
        normalizer: files.normalizer ?? null,
        pre_tokenizer: files.pre_tokenizer ? spellOutDigits(files.pre_tokenizer) : null,
        post_processor: files.post_processor ?? null,
        decoder: files.decoder ?? null,
      },
      // Nothing of the config shapes ids or text; names of tokens and templates are used elsewhere.
      {},
    );
  let library: LibraryTokenizer;
  try {
    // Building normalises the added tokens, for which the patterns are run.
    library = encodeLimiter(where, files)(
      Math.max(0, ...files.added_tokens.map(({ content }) => content.length)),
      build,
    );
  } catch (error) {
    if (error instanceof MahaloError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new MahaloError("E_TOKENIZER", `${where}: the tokenizer cannot be built: ${reason}`, {
      cause: error,
    });
  }
  const { bos_token, eos_token } = config;
  checkNamedTokens({ bos_token, eos_token }, (token) => library.token_to_id(token), where);
  const end = config.eos_token ? library.token_to_id(config.eos_token) : undefined;
  const tokenizer = new HuggingFaceTokenizer(library, {
    specialIds: new Set(files.added_tokens.filter(({ special }) => special).map(({ id }) => id)),
    eosIds: [...new Set([...options.eosIds, ...(end === undefined ? [] : [end])])],
    vocabSize,
  });
  return limitTime(tokenizer, where, files);
};
