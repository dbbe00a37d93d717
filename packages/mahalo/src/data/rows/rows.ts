/** The row forms of mahalo (TRL's names plus `objective`): what a row may look like in a file, and what it becomes. */
import { z } from "zod";
import { type Answer, answerOf, rawAnswerSchema } from "./answers.ts";
import { checkRow } from "./check-row.ts";
import { implicitPrompt } from "./implicit-prompt.ts";
import {
  checkMessages,
  isRich,
  type Message,
  messageKey,
  rawMessagesSchema,
  sameMessages,
  splitLastTurn,
  toolsSchema,
  withTools,
} from "./messages.ts";
import { type Origin, RowProblem } from "./problems.ts";
import { formBesideExamples, formBesidePairs } from "./row-forms.ts";

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
  /** The two responses as whole turns, where one is more than a text: it calls tools, or says what it thought. */
  turns?: { chosen: Message; rejected: Message };
  origin: Origin;
};

/** One example for supervised fine-tuning: the response is learnt, the prompt is not. */
export type ExampleRow = {
  objective: string;
  prompt: Prompt;
  response: string;
  /** The response as a whole turn, where it is more than a text. */
  turn?: Message;
  origin: Origin;
};

/** One prompt to generate from; `answer` is what a judge compares with, where the file has one. */
export type PromptRow = { prompt: Prompt; answer?: Answer; origin: Origin };

const textOrMessages = z.union([z.string(), rawMessagesSchema]);

/** What every form of row may have beside its own fields. */
const common = {
  objective: z.string().min(1).optional(),
  /** Functions that may be called, for the chat template. */
  tools: toolsSchema.optional(),
  /** ShareGPT's name of the conversation. */
  conversations: rawMessagesSchema.optional(),
};

/**
 * A preference row as a file holds it (TRL's preference form, plain or conversational).
 *
 * Without `prompt`, chosen and rejected are whole conversations that share all but their last turn, as messages or
 * written out.
 */
export const preferenceSchema = z.looseObject({
  ...common,
  prompt: textOrMessages.optional(),
  chosen: textOrMessages,
  rejected: textOrMessages,
});

/** A row for fine-tuning: TRL's prompt-completion form (`response` is another name for `completion`) or `messages`. */
export const exampleSchema = z.looseObject({
  ...common,
  messages: rawMessagesSchema.optional(),
  prompt: textOrMessages.optional(),
  completion: textOrMessages.optional(),
  response: textOrMessages.optional(),
});

/** A row to generate from: `prompt`, or `messages` that end with the user's. */
export const promptSchema = z.looseObject({
  ...common,
  messages: rawMessagesSchema.optional(),
  prompt: textOrMessages.optional(),
  answer: rawAnswerSchema.optional(),
});

/**
 * A checked preference row out of a value of a file.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`, `empty-response`, `identical-pair`,
 *   `prompts-differ`
 */
export const parsePreference = (value: unknown, origin: Origin, objective: string): PreferenceRow => {
  const other = formBesidePairs(value);
  if (other !== undefined) throw new RowProblem("invalid-row", `chosen: is missing; the row is ${other}`);
  const raw = checkRow(value, preferenceSchema);
  const given = raw.prompt ?? raw.conversations;
  const sides =
    given === undefined && typeof raw.chosen === "string" && typeof raw.rejected === "string"
      ? implicitPrompt(raw.chosen, raw.rejected)
      : raw;
  const chosen = completion(given, sides.chosen, "chosen", raw.tools);
  const rejected = completion(given, sides.rejected, "rejected", raw.tools);
  if (promptKey(chosen.prompt) !== promptKey(rejected.prompt)) {
    throw new RowProblem("prompts-differ", "chosen and rejected do not share all turns before their last");
  }
  const turns = { chosen: turnOf(chosen), rejected: turnOf(rejected) };
  if (sameMessages([turns.chosen], [turns.rejected])) {
    throw new RowProblem("identical-pair", "chosen and rejected are the same text");
  }
  return {
    objective: raw.objective ?? objective,
    prompt: chosen.prompt,
    chosen: chosen.response,
    rejected: rejected.response,
    ...(chosen.turn === undefined && rejected.turn === undefined ? {} : { turns }),
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
  const whole = raw.messages ?? (raw.prompt === undefined ? raw.conversations : undefined);
  if (whole !== undefined) return { ...tag, ...completion(undefined, whole, "messages", raw.tools) };
  const field = raw.completion === undefined ? "response" : "completion";
  const given = raw[field];
  if (given === undefined) {
    const other = formBesideExamples(value);
    const missing = "completion: is missing; so are response and messages";
    throw new RowProblem("invalid-row", other === undefined ? missing : `${missing}; the row is ${other}`);
  }
  return { ...tag, ...completion(raw.prompt, given, field, raw.tools) };
};

/**
 * A checked prompt out of a value of a file.
 *
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`
 */
export const parsePrompt = (value: unknown, origin: Origin): PromptRow => {
  const raw = checkRow(value, promptSchema);
  const given = raw.prompt ?? raw.messages ?? raw.conversations;
  if (given === undefined) throw new RowProblem("invalid-row", "prompt: is missing; so is messages");
  const prompt = toPrompt(given, raw.prompt ? "prompt" : "messages", raw.tools);
  requirePrompt(prompt);
  if (typeof prompt !== "string" && prompt.at(-1)?.role === "assistant") {
    throw new RowProblem(
      "invalid-row",
      "the prompt ends with the assistant's turn, so nothing is left to answer",
    );
  }
  return { prompt, ...answerOf(raw.answer), origin };
};

/** The chosen side of a preference row as a fine-tuning example. */
export const chosenExample = ({ objective, prompt, chosen, turns, origin }: PreferenceRow): ExampleRow => ({
  objective,
  prompt,
  response: chosen,
  ...(turns === undefined ? {} : { turn: turns.chosen }),
  origin,
});

/** A response as the assistant's turn. */
export const turnOf = ({ response, turn }: Pick<ExampleRow, "response" | "turn">): Message =>
  turn ?? { role: "assistant", content: response };

/** A prompt as messages: plain text becomes one user message. */
export const promptMessages = (prompt: Prompt): Message[] =>
  typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;

/** One text for each distinct prompt; plain text and the single user message with that text are the same prompt. */
export const promptKey = (prompt: Prompt): string => JSON.stringify(promptMessages(prompt).map(messageKey));

type Raw = z.infer<typeof textOrMessages>;

/** A prompt in our form. Tools are told to templates only, so a plain text that has some becomes a message. */
const toPrompt = (given: Raw, field: string, tools: Message["tools"]): Prompt => {
  if (typeof given !== "string") return withTools(checkMessages(given, field), tools);
  return tools === undefined || tools.length === 0 ? given : withTools(promptMessages(given), tools);
};

/** Prompt and response out of the forms a completion may have in a file. */
const completion = (
  rawPrompt: Raw | undefined,
  rawCompletion: Raw,
  field: string,
  tools: Message["tools"],
): { prompt: Prompt; response: string; turn?: Message } => {
  const given = rawPrompt === undefined ? undefined : toPrompt(rawPrompt, "prompt", undefined);
  const { prompt, turn } = Array.isArray(rawCompletion)
    ? conversation(given, checkMessages(rawCompletion, field), field)
    : { prompt: given, turn: { role: "assistant" as const, content: rawCompletion } };
  if (prompt === undefined) {
    throw new RowProblem(
      "invalid-row",
      `prompt: is missing, and ${field} is not a list of messages; for transcripts name a format such as transcript-pair`,
    );
  }
  requirePrompt(prompt);
  const response = turn.content;
  if (response.trim() === "" && turn.tool_calls === undefined) {
    throw new RowProblem("empty-response", `${field}: is empty`);
  }
  return {
    prompt: typeof prompt === "string" ? toPrompt(prompt, "prompt", tools) : withTools(prompt, tools),
    response,
    ...(isRich(turn) ? { turn } : {}),
  };
};

/** A completion given as messages: one assistant turn, or a whole conversation that repeats the prompt. */
const conversation = (
  prompt: Prompt | undefined,
  messages: Message[],
  field: string,
): { prompt: Prompt; turn: Message } => {
  const { prompt: before, turn } = splitLastTurn(messages, field);
  if (prompt === undefined) return { prompt: before, turn };
  if (before.length === 0) return { prompt: promptMessages(prompt), turn };
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
  return { prompt: before, turn };
};

const requirePrompt = (prompt: Prompt): void => {
  const empty = typeof prompt === "string" ? prompt.trim() === "" : prompt.length === 0;
  if (empty) throw new RowProblem("empty-prompt", "prompt: is empty");
};
