/** A prompt's own text, token by token, for those who ask for it beside the answer. */
import { element } from "../../core/need.ts";
import type { MixPlan } from "../../decode/mix-schedule.ts";
import { promptLogprobs } from "../../decode/prompt-logprobs.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { EchoedToken, TokenLogprob } from "./protocol.ts";

/** The text and, where they are asked for, the tokens of a prompt. */
export const echoOf = (
  model: LanguageModel,
  ids: readonly number[],
  mix: MixPlan | undefined,
  { logprobs, top }: { logprobs: boolean; top: number },
): { text: string; tokens: EchoedToken[] } => {
  const { tokenizer } = model;
  const text = tokenizer.decode(ids);
  if (!logprobs) return { text, tokens: [] };
  const textOf = (id: number): string => tokenizer.decode([id]);
  const told = promptLogprobs(model, ids, mix, top);
  const likeliest = (tokens: readonly { id: number; logprob: number }[]): TokenLogprob[] =>
    tokens.map(({ id, logprob }) => ({ id, text: textOf(id), logprob }));
  return {
    text,
    tokens: ids.map((id, index): EchoedToken => {
      if (index === 0) return { id, text: textOf(id), logprob: null, top: [] };
      const { logprob, top: others } = element(told, index - 1, "token of the prompt");
      return { id, text: textOf(id), logprob, top: likeliest(others) };
    }),
  };
};
