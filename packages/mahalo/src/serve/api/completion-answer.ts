/** Answers of /v1/completions in OpenAI's form: whole, and chunk by chunk. */
import type { ChosenToken } from "../engine/protocol.ts";
import type { AnswerHead, Provenance, Usage } from "./generation.ts";
import { finiteLogprob } from "./token-form.ts";

/** A token of a choice's text; the first of an echoed prompt has no log-probability, since nothing comes before it. */
export type TextToken = Omit<ChosenToken, "logprob"> & { logprob: number | null };

/** Log-probabilities in the older form: lists side by side. @param offset length of the choice's text before the tokens */
export const textLogprobs = (tokens: readonly TextToken[], top: number, offset: number) => {
  let length = offset;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => (logprob === null ? null : finiteLogprob(logprob))),
    top_logprobs:
      top === 0
        ? null
        : tokens.map(({ top: likeliest, logprob }) =>
            logprob === null
              ? null
              : Object.fromEntries(likeliest.map((other) => [other.text, finiteLogprob(other.logprob)])),
          ),
    text_offset: tokens.map(({ text }) => {
      const begin = length;
      length += text.length;
      return begin;
    }),
  };
};

/** A choice, or a piece of one. */
export type TextChoice = {
  index: number;
  text: string;
  finish: "stop" | "length" | null;
  logprobs: ReturnType<typeof textLogprobs> | null;
};

/** An answer or a chunk of one, which have the same form. */
export const textCompletion = (
  head: AnswerHead,
  choices: readonly TextChoice[],
  more: { usage?: Usage | null; mahalo?: Provenance },
) => ({
  ...head,
  object: "text_completion" as const,
  choices: choices.map(({ index, text, finish, logprobs }) => ({
    index,
    text,
    logprobs,
    finish_reason: finish,
  })),
  ...more,
});
