/** What tokenizer.json may say of its tokens: a known kind of model, and for each token an id of its own. */
import { MahaloError } from "@mahalo/torch";
import { didYouMean } from "../../core/suggest.ts";

/** Kinds of models that the tokenizers library builds. */
const modelTypes = ["BPE", "Unigram", "WordPiece"];

/** The part `model` of tokenizer.json. */
export type TokenizerModel = Record<string, unknown> & { type?: string | undefined };

/** An entry of `added_tokens`, as far as it is used here. */
type AddedToken = { id: number; content: string };

const refuse = (where: string, field: string, what: string, hint?: string): MahaloError =>
  new MahaloError("E_TOKENIZER", `${where}: ${field}: ${what}`, {
    hint: hint ?? "the file is damaged, or belongs to another model; fetch the model again",
  });

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
};

/** Characters of a tokenizer.json: of any one, and for each row of the vocabulary; large ones take 100 a row. */
const sizeOfAny = 2 ** 23;
const sizeOfRow = 1_000;

/** Refuses a tokenizer.json of far more tokens than the model has, before its text is taken apart. */
export const checkTokenizerSize = (text: string, vocabSize: number, where: string): void => {
  const most = sizeOfAny + sizeOfRow * vocabSize;
  if (text.length <= most) return;
  const what = `has ${text.length} characters, far more than a vocabulary of ${vocabSize} rows needs`;
  throw new MahaloError("E_TOKENIZER", `${where}: ${what}`, {
    hint: `it may have ${most}; the tokenizer belongs to another model`,
  });
};

/** How many times longer a normaliser may make a text; those in use make it no longer at all. */
const mostGrowth = 1_024;

const textOf = (part: object, key: string): string => {
  const value: unknown = Reflect.get(part, key);
  return typeof value === "string" ? value : "";
};

/** An upper bound of how many times longer a part of a normaliser makes a text. */
const growthOf = (part: unknown): number => {
  if (typeof part !== "object" || part === null) return 1;
  const inner: unknown = Reflect.get(part, "normalizers");
  if (Array.isArray(inner)) return inner.reduce<number>((product, next) => product * growthOf(next), 1);
  if (textOf(part, "type") !== "Replace") return 1;
  const pattern: unknown = Reflect.get(part, "pattern");
  const length = typeof pattern === "object" && pattern !== null ? textOf(pattern, "String").length : 0;
  const content = textOf(part, "content").length;
  // A regular expression may match at every place, also between two characters.
  return length > 0 ? Math.max(1, content / length) : content < 2 ? 1 : content + 1;
};

/** Refuses a normaliser that would fill the memory out of a short text. @throws MahaloError E_TOKENIZER */
export const checkNormalizer = (normalizer: unknown, where: string): void => {
  const growth = growthOf(normalizer);
  if (growth <= mostGrowth) return;
  const what = `its replacements may make a text ${Math.round(growth)} times as long; ${mostGrowth} is the most`;
  throw refuse(where, "normalizer", what, "use another model: no tokenizer needs that");
};

/** The kind that a file without `model.type` (of the library's first versions) must be of. */
const impliedType = (model: TokenizerModel): string => {
  if (Array.isArray(model.vocab)) return "Unigram";
  return model.merges === undefined ? "WordPiece" : "BPE";
};

/**
 * The part `model` with its kind named.
 *
 * @throws MahaloError E_TOKENIZER: unknown kind
 */
export const modelOf = (model: TokenizerModel, where: string): TokenizerModel & { type: string } => {
  const type = model.type ?? impliedType(model);
  if (!modelTypes.includes(type)) {
    const hint = `use a model whose tokenizer is one of ${modelTypes.join(", ")}`;
    throw refuse(where, "model.type", `unknown kind "${type}". ${didYouMean(type, modelTypes)}`, hint);
  }
  return { ...model, type };
};

/** Every token of the vocabulary with what stands for its id. */
const entriesOf = (model: TokenizerModel, where: string): Iterable<[string, unknown]> => {
  const { vocab, type } = model;
  if (type === "Unigram") {
    if (!Array.isArray(vocab)) throw refuse(where, "model.vocab", "must be a list of tokens and scores");
    return vocab.map((entry: unknown, id): [string, number] => {
      if (Array.isArray(entry) && typeof entry[0] === "string" && Number.isFinite(entry[1]))
        return [entry[0], id];
      throw refuse(where, `model.vocab[${id}]`, `must be a token and its score, not ${shown(entry)}`);
    });
  }
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab))
    throw refuse(where, "model.vocab", "must be a map of tokens to ids");
  return Object.entries(vocab);
};

/** A merge's two halves, written as a list of two or as one text with a space between. */
const halvesOf = (merge: unknown): readonly [string, string] | undefined => {
  if (typeof merge === "string") {
    const space = merge.indexOf(" ", 1);
    return space > 0 && space < merge.length - 1
      ? [merge.slice(0, space), merge.slice(space + 1)]
      : undefined;
  }
  if (!Array.isArray(merge) || merge.length !== 2) return undefined;
  const [left, right]: unknown[] = merge;
  return typeof left === "string" && typeof right === "string" ? [left, right] : undefined;
};

/** Merges are pairs of tokens of the vocabulary which make a token of the vocabulary. */
const checkMerges = (model: TokenizerModel, where: string): void => {
  const { merges } = model;
  if (!Array.isArray(merges)) throw refuse(where, "model.merges", "must be a list of pairs of tokens");
  const vocabulary = new Set(Object.keys(model.vocab ?? {}));
  const prefix = textOf(model, "continuing_subword_prefix");
  for (const [index, merge] of merges.entries()) {
    const field = `model.merges[${index}]`;
    const halves = halvesOf(merge);
    if (halves === undefined) throw refuse(where, field, `must be a pair of tokens, not ${shown(merge)}`);
    const [left, right] = halves;
    const merged = left + (right.startsWith(prefix) ? right.slice(prefix.length) : right);
    const absent = [left, right, merged].find((token) => !vocabulary.has(token));
    if (absent !== undefined)
      throw refuse(where, field, `token ${shown(absent)} of it is not in the vocabulary`);
  }
};

/**
 * Checks that every token of vocabulary and added tokens has an id of its own below `vocabSize`.
 *
 * @param vocabSize rows of the model's vocabulary.
 * @throws MahaloError E_TOKENIZER naming field and token
 */
export const checkVocabulary = (
  model: TokenizerModel,
  added: readonly AddedToken[],
  vocabSize: number,
  where: string,
): void => {
  const tokens = new Map<number, string>();
  const ids = new Map<string, number>();
  const add = (field: string, token: string, id: unknown): void => {
    const another = "the tokenizer belongs to another model";
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0)
      throw refuse(where, field, `an id must be a whole number from 0 on, not ${shown(id)}`);
    if (id >= vocabSize) {
      const what = `token ${shown(token)} has id ${id}, but the model's vocabulary has ${vocabSize} rows`;
      throw refuse(where, field, what, another);
    }
    const other = tokens.get(id);
    if (other !== undefined && other !== token)
      throw refuse(where, field, `tokens ${shown(other)} and ${shown(token)} have the same id, ${id}`);
    const before = ids.get(token);
    if (before !== undefined && before !== id)
      throw refuse(where, field, `token ${shown(token)} has two ids, ${before} and ${id}`);
    tokens.set(id, token);
    ids.set(token, id);
  };
  for (const [token, id] of entriesOf(model, where)) add(`model.vocab[${shown(token)}]`, token, id);
  if (tokens.size === 0) throw refuse(where, "model.vocab", "is empty");
  for (const [index, { content, id }] of added.entries()) add(`added_tokens[${index}].id`, content, id);
  if (model.type === "BPE") checkMerges(model, where);
};

/**
 * Checks that the tokens which tokenizer_config.json names are tokens. A name without one would be read as plain text,
 * and an answer would never end.
 *
 * @param idOf id of a token's text.
 * @throws MahaloError E_TOKENIZER
 */
export const checkNamedTokens = (
  named: { bos_token?: string | null | undefined; eos_token?: string | null | undefined },
  idOf: (token: string) => number | undefined,
  where: string,
): void => {
  for (const [name, token] of Object.entries(named)) {
    if (typeof token !== "string" || token === "" || idOf(token) !== undefined) continue;
    const what = `${shown(token)}, which tokenizer_config.json names, is not among the tokens`;
    throw refuse(where, name, what);
  }
};
