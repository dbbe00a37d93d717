/** The row forms of mahalo (TRL's names plus `objective`): what a row may look like in a file, and what it becomes. */
import { z } from "zod";
import { checkRow } from "./check-row.ts";
import { checkMessages, type Message, rawMessagesSchema, sameMessages, splitLastTurn } from "./messages.ts";
import { type Origin, RowProblem } from "./problems.ts";

export type { Message, Role } from "./messages.ts";
export type { Origin } from "./problems.ts";

/** What the model is asked: plain text, or the conversation so far. */
export type Prompt = string | Message[];

/** One preference: of two responses to a prompt the chosen one is better on the objective. */
export type PreferenceRow = {
  objective: string;
  prompt: Prompt;
  chosen: string;
  rejected: string;
  origin: Origin;
};

/** One example for supervised fine-tuning: the response is learnt, the prompt is not. */
export type ExampleRow = { objective: string; prompt: Prompt; response: string; origin: Origin };

/** One prompt to generate from; `answer` is what a judge compares with, where the file has one. */
export type PromptRow = { prompt: Prompt; answer?: string; origin: Origin };

const textOrMessages = z.union([z.string(), rawMessagesSchema]);

/**
 * A preference row as a file holds it (TRL's preference form, plain or conversational).
 *
 * Without `prompt`, chosen and rejected are whole conversations that share all but their last turn.
 */
export const preferenceSchema = z.looseObject({
  objective: z.string().min(1).optional(),
  prompt: textOrMessages.optional(),
  chosen: textOrMessages,
  rejected: textOrMessages,
});

/** A row for fine-tuning: TRL's prompt-completion form (`response` is another name for `completion`) or `messages`. */
export const exampleSchema = z.looseObject({
  objective: z.string().min(1).optional(),
  messages: rawMessagesSchema.optional(),
  prompt: textOrMessages.optional(),
  completion: textOrMessages.optional(),
  response: textOrMessages.optional(),
});

/** A row to generate from: `prompt`, or `messages` that end with the user's. */
export const promptSchema = z.looseObject({
  messages: rawMessagesSchema.optional(),
  prompt: textOrMessages.optional(),
  answer: z.union([z.string(), z.number()]).optional(),
});

/**
 * A checked preference row out of a value of a file.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`, `empty-response`, `identical-pair`,
 *   `prompts-differ`
 */
export const parsePreference = (value: unknown, origin: Origin, objective: string): PreferenceRow => {
  const raw = checkRow(value, preferenceSchema);
  const chosen = completion(raw.prompt, raw.chosen, "chosen");
  const rejected = completion(raw.prompt, raw.rejected, "rejected");
  if (promptKey(chosen.prompt) !== promptKey(rejected.prompt)) {
    throw new RowProblem("prompts-differ", "chosen and rejected do not share all turns before their last");
  }
  if (chosen.response === rejected.response) {
    throw new RowProblem("identical-pair", "chosen and rejected are the same text");
  }
  return {
    objective: raw.objective ?? objective,
    prompt: chosen.prompt,
    chosen: chosen.response,
    rejected: rejected.response,
    origin,
  };
};

/**
 * A checked fine-tuning example out of a value of a file.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`, `empty-response`
 */
export const parseExample = (value: unknown, origin: Origin, objective: string): ExampleRow => {
  const raw = checkRow(value, exampleSchema);
  const tag = { objective: raw.objective ?? objective, origin };
  if (raw.messages !== undefined) return { ...tag, ...completion(undefined, raw.messages, "messages") };
  const field = raw.completion === undefined ? "response" : "completion";
  const given = raw[field];
  if (given === undefined) {
    throw new RowProblem("invalid-row", "completion: is missing; so are response and messages");
  }
  return { ...tag, ...completion(raw.prompt, given, field) };
};

/**
 * A checked prompt out of a value of a file.
 *
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`
 */
export const parsePrompt = (value: unknown, origin: Origin): PromptRow => {
  const raw = checkRow(value, promptSchema);
  const given = raw.prompt ?? raw.messages;
  if (given === undefined) throw new RowProblem("invalid-row", "prompt: is missing; so is messages");
  const prompt = typeof given === "string" ? given : checkMessages(given, raw.prompt ? "prompt" : "messages");
  requirePrompt(prompt);
  if (typeof prompt !== "string" && prompt.at(-1)?.role === "assistant") {
    throw new RowProblem(
      "invalid-row",
      "the prompt ends with the assistant's turn, so nothing is left to answer",
    );
  }
  return { prompt, ...(raw.answer === undefined ? {} : { answer: String(raw.answer) }), origin };
};

/** The chosen side of a preference row as a fine-tuning example. */
export const chosenExample = ({ objective, prompt, chosen, origin }: PreferenceRow): ExampleRow => ({
  objective,
  prompt,
  response: chosen,
  origin,
});

/** A prompt as messages: plain text becomes one user message. */
export const promptMessages = (prompt: Prompt): Message[] =>
  typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;

/** One text for each distinct prompt; plain text and the single user message with that text are the same prompt. */
export const promptKey = (prompt: Prompt): string =>
  JSON.stringify(promptMessages(prompt).map(({ role, content }) => [role, content]));

type Raw = z.infer<typeof textOrMessages>;

/** Prompt and response text out of the forms a completion may have in a file. */
const completion = (
  rawPrompt: Raw | undefined,
  rawCompletion: Raw,
  field: string,
): { prompt: Prompt; response: string } => {
  const given = Array.isArray(rawPrompt) ? checkMessages(rawPrompt, "prompt") : rawPrompt;
  const { prompt, response } = Array.isArray(rawCompletion)
    ? conversation(given, checkMessages(rawCompletion, field), field)
    : { prompt: given, response: rawCompletion };
  if (prompt === undefined) {
    throw new RowProblem(
      "invalid-row",
      `prompt: is missing, and ${field} is no list of messages; for transcripts name a format such as transcript-pair`,
    );
  }
  requirePrompt(prompt);
  if (response.trim() === "") throw new RowProblem("empty-response", `${field}: is empty`);
  return { prompt, response };
};

/** A completion given as messages: one assistant turn, or a whole conversation that repeats the prompt. */
const conversation = (
  prompt: Prompt | undefined,
  messages: Message[],
  field: string,
): { prompt: Prompt; response: string } => {
  const { prompt: before, response } = splitLastTurn(messages, field);
  if (prompt === undefined) return { prompt: before, response };
  if (before.length === 0) return { prompt: promptMessages(prompt), response };
  const repeats =
    typeof prompt === "string"
      ? before.some(({ role, content }) => role === "user" && content === prompt)
      : sameMessages(before, prompt);
  if (!repeats) {
    throw new RowProblem(
      "prompts-differ",
      `${field}: has turns before its last that are not the row's prompt`,
    );
  }
  return { prompt: before, response };
};

const requirePrompt = (prompt: Prompt): void => {
  const empty = typeof prompt === "string" ? prompt.trim() === "" : prompt.length === 0;
  if (empty) throw new RowProblem("empty-prompt", "prompt: is empty");
};
