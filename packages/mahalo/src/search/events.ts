/** What happens while a request is answered, whether it is searched for or not: one union of events. */
import type { DoneEvent, StartEvent, StepEvent, TokenEvent } from "../decode/events.ts";
import type { SearchNode, SearchTree } from "./tree.ts";

/** A step of the answer is complete. */
export type SearchStepEvent = StepEvent & {
  /** Text that is carried on with it, in a guided search that keeps one branch. */
  text?: string;
  /** All candidates of the step, in a guided search; those that are carried on are marked as kept. */
  candidates?: readonly SearchNode[];
};

/** What happens while one request is answered. */
export type DecodeEvent =
  | StartEvent
  | TokenEvent
  | SearchStepEvent
  | (DoneEvent & {
      /** What a guided search tried. */
      tree?: SearchTree;
    });
