/** Who joins, and who makes room: how requests that wait and rows that decode share the memory of keys and values. */
import { element } from "../core/need.ts";
import type { Decoder } from "./decoder.ts";
import type { AnswerEvent } from "./events.ts";
import { PAGE_POSITIONS } from "./kv/kv-pages.ts";
import type { Sequence } from "./request.ts";
import type { RequestHandle } from "./request-handle.ts";

/**
 * What is kept free for a row: all that its longest answer would take, so that no row is ever stopped half way; or what it
 * has used, and a little to begin with, so that more rows decode together and the youngest makes room when memory runs short.
 */
export const reserves = ["longest", "used"] as const;

/** What is kept free for a row. */
export type Reserve = (typeof reserves)[number];

/** A request under way, as the engine sees it. */
export type Task = {
  /** Its place in the order of submission. */
  readonly order: number;
  readonly answer: Sequence;
  readonly handle: RequestHandle;
  emit(event: AnswerEvent): void;
};

/** What bounds the rows that decode together. */
export type AdmissionRules = {
  batchSize: number;
  /** Prompt tokens read between two steps; a longer prompt is read alone. */
  maxPromptTokens: number;
  reserve: Reserve;
  /** Whether rows begin with what others hold of their prompts. */
  share: boolean;
};

/** Tokens that a joining row is to have room for beyond its text: a page, as far as its answer may get. */
const roomToBegin = PAGE_POSITIONS;

/** Tokens that each row has yet to read of its text: one, or more while it replays. */
const lacking = (decoder: Decoder, tasks: readonly Task[]): number[] =>
  tasks.map(({ answer }, row) => answer.length - decoder.ids(row).length);

/** Whether requests fit beside the rows. */
const fitsBeside = (
  decoder: Decoder,
  tasks: readonly Task[],
  joining: readonly Task[],
  { reserve, share }: AdmissionRules,
): boolean => {
  if (reserve === "longest")
    return decoder.fits([...tasks, ...joining].map(({ answer: { mostTokens } }) => mostTokens));
  const added = joining.map(({ answer }) => ({
    length: Math.min(answer.length + roomToBegin, answer.mostTokens),
    ids: share ? answer.promptIds : [],
    mix: answer.adapterMixAt(0),
  }));
  return decoder.hasRoom(lacking(decoder, tasks), added);
};

/**
 * How many of the first that wait may join: as many as the batch, one reading of prompts and the memory have room for.
 *
 * @param tasks row r of the decoder answers tasks[r]
 */
export const countJoining = (
  decoder: Decoder,
  tasks: readonly Task[],
  waiting: readonly Task[],
  rules: AdmissionRules,
): number => {
  let tokens = 0;
  for (const [index, { answer }] of waiting.entries()) {
    if (tasks.length + index >= rules.batchSize) return index;
    tokens += answer.promptIds.length;
    if (index > 0 && tokens > rules.maxPromptTokens) return index;
    if (!fitsBeside(decoder, tasks, waiting.slice(0, index + 1), rules)) return index;
  }
  return waiting.length;
};

/**
 * The row that makes room for the next token of the others, where there is none for all: the youngest, and never the
 * oldest, which alone always fits, so that every request comes to its end.
 */
export const rowToPreempt = (
  decoder: Decoder,
  tasks: readonly Task[],
  reserve: Reserve,
): number | undefined => {
  if (reserve === "longest" || tasks.length < 2 || decoder.hasRoom(tasks.map(() => 1))) return undefined;
  const orderOf = (row: number): number => element(tasks, row, "task of row").order;
  return [...tasks.keys()].reduce((youngest, row) => (orderOf(row) > orderOf(youngest) ? row : youngest));
};
