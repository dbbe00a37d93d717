/** Answers of /v1/chat/completions in OpenAI's form: whole, and chunk by chunk. */
import type { ChosenToken } from "../engine/protocol.ts";
import {
  type AnswerHead,
  type ChoiceAnswer,
  finishReason,
  type Provenance,
  type Usage,
} from "./generation.ts";
import { tokenForm } from "./token-form.ts";

const contentLogprobs = (tokens: readonly ChosenToken[]) => ({
  content: tokens.map(({ top, ...token }) => ({ ...tokenForm(token), top_logprobs: top.map(tokenForm) })),
  refusal: null,
});

/** A whole answer. */
export const chatCompletion = (
  head: AnswerHead,
  choices: readonly ChoiceAnswer[],
  { logprobs, usage, mahalo }: { logprobs: boolean; usage: Usage; mahalo: Provenance },
) => ({
  ...head,
  object: "chat.completion" as const,
  choices: choices.map(({ text, finish, logprobs: tokens }, index) => ({
    index,
    message: { role: "assistant" as const, content: text, refusal: null },
    logprobs: logprobs ? contentLogprobs(tokens) : null,
    finish_reason: finishReason(finish),
  })),
  usage,
  mahalo,
});

/** What a chunk brings of one choice. */
export type ChoiceDelta = {
  index: number;
  delta: { role?: "assistant"; content?: string };
  logprobs?: readonly ChosenToken[] | undefined;
  finish?: "stop" | "length" | undefined;
};

/** A chunk; `usage` is null in all but the last where it was asked for, and left out else. */
export const chatChunk = (
  head: AnswerHead,
  choices: readonly ChoiceDelta[],
  more: { usage?: Usage | null; mahalo?: Provenance } = {},
) => ({
  ...head,
  object: "chat.completion.chunk" as const,
  choices: choices.map(({ index, delta, logprobs, finish }) => ({
    index,
    delta,
    logprobs: logprobs === undefined ? null : contentLogprobs(logprobs),
    finish_reason: finish ?? null,
  })),
  ...more,
});
