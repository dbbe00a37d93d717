/** What happens while a request is answered token by token. */
import type { Attribution } from "./attribution.ts";
import type { Completion } from "./request.ts";
import type { TokenLogprob } from "./token-logprobs.ts";

/** The request has joined the rows that decode together, and its prompt has been read; comes first, and once. */
export type StartEvent = {
  type: "start";
  promptTokens: number;
  /** Prompt tokens that were not read, since other rows or cached prefixes held them. */
  cachedTokens: number;
};

/** A token of the answer has been chosen. */
export type TokenEvent = {
  type: "token";
  id: number;
  /** Text that has become certain with it; what may still be half a character or a stop string is held back. */
  text: string;
  /** Log-probability of the token under its mix, where the request asks for `logprobs`. */
  logprob?: number;
  /** The likeliest tokens in its place, likeliest first, where the request asks for `topLogprobs`. */
  topLogprobs?: readonly TokenLogprob[];
  /** Why it was chosen, where the request asks for `attribution`. */
  attribution?: Attribution;
};

/** A step of the answer is complete, where the request declares a step boundary. */
export type StepEvent = {
  type: "step";
  /** Steps of the answer so far, this one included. */
  steps: number;
  /** Tokens of the answer so far. */
  tokens: number;
};

/** The answer has ended; nothing comes after it. */
export type DoneEvent = {
  type: "done";
  completion: Completion;
};

/** What happens while one request is answered. */
export type AnswerEvent = StartEvent | TokenEvent | StepEvent | DoneEvent;
