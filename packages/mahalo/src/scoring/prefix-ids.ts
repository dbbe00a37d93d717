/** A row's tokens as training has them, to go on from: prompt, response, and the response cut into steps. */

import { RowProblem } from "../data/rows/problems.ts";
import type { Prompt } from "../data/rows/rows.ts";
import { type EncodeOptions, encodeExample, encodePrompt } from "../data/tokens/encode.ts";
import type { Tokenizer } from "../data/tokens/tokenizer.ts";
import type { ModelSource } from "../model/folder/model-source.ts";

/** Where steps end among the tokens of a response: exclusive ends, the last one being its length. */
export type StepEnds = (ids: readonly number[]) => readonly number[];

/** One step of a response. */
export type Step = {
  text: string;
  /** Its tokens, where the generator works on tokens; else none. */
  ids: readonly number[];
};

/** What of a model makes tokens: its tokenizer, its chat template, and the length of its context. */
export type PrefixTokenizer = Pick<ModelSource, "tokenizer" | "template" | "config">;

/** Options of {@link encodeRow}. */
export type EncodeRowOptions = {
  /** A plain prompt becomes a user message in the chat template. Default true. */
  chat?: boolean | undefined;
  /** Longer prompts lose their oldest turns, as in training. Default: they are cut nowhere. */
  maxPromptTokens?: number | undefined;
};

/** Ids of an answer without the end token that may close it. */
export const withoutEnd = (ids: readonly number[], eosIds: readonly number[]): readonly number[] => {
  const last = ids.at(-1);
  return last !== undefined && eosIds.includes(last) ? ids.slice(0, -1) : ids;
};

/**
 * Ids of prompt and response as training would have them, without the end token.
 *
 * @throws RowProblem `too-long` where they leave no room in the context, and what encoding throws
 */
export const encodeRow = (
  { tokenizer, template, config }: PrefixTokenizer,
  prompt: Prompt,
  response: string | undefined,
  { chat = true, maxPromptTokens }: EncodeRowOptions = {},
): { promptIds: readonly number[]; ids: readonly number[] } => {
  const limit = config.maxPositions;
  const options: EncodeOptions = {
    tokenizer,
    template,
    chat,
    maxPromptTokens: maxPromptTokens ?? Number.MAX_SAFE_INTEGER,
    maxTokens: Number.MAX_SAFE_INTEGER,
  };
  const room = (tokens: number): void => {
    if (tokens < limit) return;
    throw new RowProblem("too-long", `its ${tokens} tokens leave no room in the model's context of ${limit}`);
  };
  if (response === undefined) {
    const promptIds = encodePrompt(prompt, options);
    room(promptIds.length);
    return { promptIds, ids: [] };
  }
  const encoded = encodeExample(prompt, response, options);
  const ids = withoutEnd(encoded.response, tokenizer.eosIds);
  room(encoded.prompt.length + ids.length);
  return { promptIds: encoded.prompt, ids };
};

/** A response's tokens cut into steps; the texts joined are the text of all tokens. */
export const cutIds = (tokenizer: Tokenizer, ids: readonly number[], stepEnds: StepEnds): Step[] => {
  if (ids.length === 0) return [];
  let [start, text] = [0, ""];
  return stepEnds(ids).map((end) => {
    // Together, since some tokenizers write a text's first token differently.
    const whole = tokenizer.decode(ids.slice(0, end), { skipSpecial: true });
    const step = { text: whole.slice(text.length), ids: ids.slice(start, end) };
    [start, text] = [end, whole];
    return step;
  });
};
