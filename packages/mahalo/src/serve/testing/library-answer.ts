/** What the library itself answers, for tests of the server to compare with. */
import { element } from "../../core/need.ts";
import type { Message } from "../../data/rows/messages.ts";
import { encodePrompt } from "../../data/tokens/encode.ts";
import { generateAll } from "../../decode/generate.ts";
import type { Completion } from "../../decode/request.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { Mix } from "../../model/heads/heads.ts";

/** Options of {@link libraryAnswer}. */
export type LibraryAnswerOptions = {
  /** Default: a user's "Hi there". */
  messages?: Message[];
  mix?: Mix | undefined;
  seed?: number;
  temperature?: number;
  maxNewTokens?: number;
  /** Whether log-probabilities are told, with the two likeliest tokens in each place. */
  logprobs?: boolean;
};

/** The library's answer to a conversation, greedy unless a temperature is given. */
export const libraryAnswer = async (
  model: LanguageModel,
  {
    messages = [{ role: "user", content: "Hi there" }],
    mix,
    seed = 0,
    temperature = 0,
    maxNewTokens = 12,
    logprobs = false,
  }: LibraryAnswerOptions = {},
): Promise<Completion> => {
  const ids = encodePrompt(messages, model);
  const top = logprobs ? { logprobs, topLogprobs: 2 } : {};
  const answers = await generateAll(model, [
    { ids, mix, seed, sampling: { temperature }, maxNewTokens, ...top },
  ]);
  return element(answers, 0, "answer");
};
