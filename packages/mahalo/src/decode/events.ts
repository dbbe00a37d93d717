/** What happens while a model answers: one union of events for every way of decoding. */
import type { Completion } from "./request.ts";
import type { SearchNode, SearchTree } from "./search/tree.ts";

/** A token of the answer has been chosen. */
export type TokenEvent = {
  type: "token";
  id: number;
  /** Text that has become certain with it; what may still be half a character or a stop string is held back. */
  text: string;
  /** Log-probability of the token under its mix, where the request asks for `logprobs`. */
  logprob?: number;
};

/** A step of the answer is complete, where the request declares a step boundary. */
export type StepEvent = {
  type: "step";
  /** Steps of the answer so far, this one included. */
  steps: number;
  /** Tokens of the answer so far. */
  tokens: number;
  /** Text that is carried on with it, in a guided search that keeps one branch. */
  text?: string;
  /** All candidates of the step, in a guided search; those that are carried on are marked as kept. */
  candidates?: readonly SearchNode[];
};

/** The answer has ended; nothing comes after it. */
export type DoneEvent = {
  type: "done";
  completion: Completion;
  /** What a guided search tried. */
  tree?: SearchTree;
};

/** What happens while one request is answered. */
export type DecodeEvent = TokenEvent | StepEvent | DoneEvent;
