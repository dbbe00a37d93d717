/** Rows to roll out: a prompt to answer or a response to go on from, and whole dialogues. */
import { z } from "zod";
import { type Answer, answerOf, rawAnswerSchema } from "./answers.ts";
import { checkRow } from "./check-row.ts";
import { checkMessages, type Message, rawMessagesSchema } from "./messages.ts";
import type { Origin } from "./problems.ts";
import { type Prompt, parseExample, parsePrompt } from "./rows.ts";
import { stepLabel } from "./step-rows.ts";

/** A prompt, with its recorded response where there is one, and what a judge compares with. */
export type OpenRow = {
  objective: string;
  prompt: Prompt;
  response?: string | undefined;
  answer?: Answer | undefined;
  /** Quality of each step of the response. */
  labels?: number[] | undefined;
  origin: Origin;
};

/** A conversation whose assistant is to be judged by what the user says next. */
export type DialogueRow = {
  objective: string;
  messages: Message[];
  answer?: Answer | undefined;
  origin: Origin;
};

const answer = rawAnswerSchema.optional();

/** What an open row has beside its prompt: completion (or response, or messages that end with the assistant's). */
export const openSchema = z.looseObject({
  objective: z.string().min(1).optional(),
  messages: rawMessagesSchema.optional(),
  completion: z.unknown().optional(),
  response: z.unknown().optional(),
  answer,
  labels: z.array(stepLabel).optional(),
});

/** A dialogue as a file holds it: `messages` and, where there is one, `answer`. */
export const dialogueSchema = z.looseObject({
  objective: z.string().min(1).optional(),
  messages: rawMessagesSchema.refine((turns) => turns.length > 0, { error: "has no message" }),
  answer,
});

/**
 * A checked open row out of a value of a file.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem as {@link parsePrompt} and {@link parseExample}
 */
export const parseOpenRow = (value: unknown, origin: Origin, objective: string): OpenRow => {
  const raw = checkRow(value, openSchema);
  const common = {
    objective: raw.objective ?? objective,
    ...answerOf(raw.answer),
    origin,
  };
  const responded =
    raw.completion !== undefined || raw.response !== undefined || raw.messages?.at(-1)?.role === "assistant";
  if (!responded) return { ...common, prompt: parsePrompt(value, origin).prompt };
  const { prompt, response } = parseExample(value, origin, objective);
  return {
    ...common,
    prompt,
    response,
    ...(raw.labels === undefined ? {} : { labels: raw.labels.map(Number) }),
  };
};

/**
 * A checked dialogue out of a value of a file.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem `invalid-row`, `unknown-role`
 */
export const parseDialogue = (value: unknown, origin: Origin, objective: string): DialogueRow => {
  const raw = checkRow(value, dialogueSchema);
  return {
    objective: raw.objective ?? objective,
    messages: checkMessages(raw.messages, "messages"),
    ...answerOf(raw.answer),
    origin,
  };
};
