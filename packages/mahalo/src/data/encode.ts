/** Rows into token ids: the chat template's own text, split so that only response tokens are ever trained on. */
import { MahaloError } from "@mahalo/torch";
import type { ChatTemplate } from "./chat-template.ts";
import type { TextCodec } from "./codec.ts";
import type { Message } from "./messages.ts";
import { type Origin, Problems, type Reason, RowProblem } from "./problems.ts";
import { type ExampleRow, type PreferenceRow, type Prompt, promptMessages } from "./rows.ts";
import type { StepRow } from "./step-rows.ts";
import { stepEndsOf } from "./steps.ts";

/** A preference pair as token ids; the model is asked `prompt` and learns from the two responses. */
export type EncodedPair = {
  objective: string;
  prompt: number[];
  chosen: number[];
  rejected: number[];
  origin: Origin;
};

/** A fine-tuning example as token ids; only the response is learnt. */
export type EncodedExample = { objective: string; prompt: number[]; response: number[]; origin: Origin };

/** A response with labelled steps as token ids. */
export type EncodedSteps = {
  objective: string;
  prompt: number[];
  response: number[];
  /** For every step the index in `response` behind its last token, ascending; the last one is the response's length. */
  ends: number[];
  /** One for each step; null for a step that has none. */
  labels: (number | null)[];
  origin: Origin;
};

/** What turns text into ids, and the limits. */
export type EncodeOptions = {
  codec: TextCodec;
  template: ChatTemplate;
  /**
   * A plain prompt becomes one user message in the chat template. Default true. When false, plain rows are learnt as
   * they are: prompt, response, end token. Conversations always go through the template.
   */
  chat?: boolean;
  /** Longer prompts lose their beginning. Default 512 tokens. */
  maxPromptTokens?: number;
  /** Most tokens of prompt and response together; longer responses lose their end. Default 1024. */
  maxTokens?: number;
};

/** Encoded rows, and how many of them were cut. */
export type Encoded<Row> = { rows: Row[]; cutPrompts: number; cutResponses: number };

/**
 * Encodes preference rows; rows that cannot be used are kept in `problems` with their reason.
 *
 * Prompt and response ids are by construction the template's text: the prompt is the conversation rendered with the
 * opening of the assistant's turn, the response is what the whole conversation has after it, up to and with the end of
 * the turn. Generation gives the model exactly the same prompt ids.
 *
 * @param problems Default: a new collector with its default share. Checked at the end.
 * @throws MahaloError E_DATA_TOO_MANY_BAD, E_DATA_LIMITS, and what a broken template throws
 */
export const encodePairs = (
  rows: readonly PreferenceRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): Encoded<EncodedPair> =>
  encodeRows(rows, options, problems, (row, encoder) => {
    const prompt = encoder.prompt(row.prompt);
    const chosen = encoder.response(prompt, row.chosen, "chosen");
    const rejected = encoder.response(prompt, row.rejected, "rejected");
    if (sameIds(chosen, rejected)) {
      throw new RowProblem(
        "identical-pair",
        `chosen and rejected are the same ${chosen.length} tokens after cutting`,
      );
    }
    return { objective: row.objective, prompt: prompt.ids, chosen, rejected, origin: row.origin };
  });

/** Encodes fine-tuning examples, as {@link encodePairs} does pairs. */
export const encodeExamples = (
  rows: readonly ExampleRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): Encoded<EncodedExample> =>
  encodeRows(rows, options, problems, (row, encoder) => {
    const prompt = encoder.prompt(row.prompt);
    const response = encoder.response(prompt, row.response, "response");
    return { objective: row.objective, prompt: prompt.ids, response, origin: row.origin };
  });

/**
 * Encodes one prompt and response that stand in no file, as {@link encodeExamples} does rows.
 *
 * @throws RowProblem for one that cannot be encoded
 */
export const encodeExample = (
  prompt: Prompt,
  response: string,
  options: EncodeOptions,
): Pick<EncodedExample, "prompt" | "response"> => {
  const problems = new Problems({ maxBadShare: 1 });
  const row = { objective: "", prompt, response, origin: { file: "", line: 0 } };
  const [encoded] = encodeExamples([row], options, problems).rows;
  if (encoded !== undefined) return encoded;
  const [bad] = problems.step("encoding").bad;
  throw new RowProblem(bad?.reason ?? "invalid-row", bad?.detail ?? "cannot be encoded");
};

/**
 * Encodes rows of labelled steps, as {@link encodePairs} does pairs. A step ends with the token that holds its last
 * letter; the end of the turn belongs to the last step.
 *
 * Nothing of a response is ever cut, since labels would be lost: a row longer than `maxTokens` is left out and counted.
 */
export const encodeSteps = (
  rows: readonly StepRow[],
  options: EncodeOptions,
  problems: Problems = new Problems(),
): EncodedSteps[] => {
  const { maxTokens = defaultMaxTokens, codec } = options;
  const uncut = { ...options, maxTokens: Number.MAX_SAFE_INTEGER };
  const encoded = encodeRows(rows, uncut, problems, ({ objective, labels, origin, ...row }, encoder) => {
    const prompt = encoder.prompt(row.prompt);
    const response = encoder.response(prompt, row.steps.join(""), "completions");
    const ends = stepEndsOf(codec, response, row.steps);
    return { objective, prompt: prompt.ids, response, ends, labels, origin };
  });
  const fitting = encoded.rows.filter(({ prompt, response }) => prompt.length + response.length <= maxTokens);
  const long = encoded.rows.length - fitting.length;
  if (long > 0) problems.step("encoding").skip("their labelled steps are longer than data.maxTokens", long);
  return fitting;
};

/**
 * Ids of a prompt as the model gets it before it answers: the very ids that training used.
 *
 * @throws RowProblem `empty-prompt`, `unknown-role`, `template-error`
 */
export const encodePrompt = (prompt: Prompt, options: EncodeOptions): number[] =>
  new Encoder(options).prompt(prompt).ids;

const defaultMaxTokens = 1024;

type EncodedPrompt = { ids: number[]; text: string; messages: Message[] | undefined };

class Encoder {
  readonly #codec: TextCodec;
  readonly #template: ChatTemplate;
  readonly #chat: boolean;
  readonly #maxPromptTokens: number;
  readonly #maxTokens: number;
  #cutPrompt = false;
  #cutResponse = false;
  #last: { key: string; encoded: EncodedPrompt } | undefined;

  constructor({
    codec,
    template,
    chat = true,
    maxPromptTokens = 512,
    maxTokens = defaultMaxTokens,
  }: EncodeOptions) {
    for (const [name, limit] of Object.entries({ maxPromptTokens, maxTokens })) {
      if (!Number.isSafeInteger(limit) || limit < 1) {
        throw new MahaloError("E_DATA_LIMITS", `data.${name}: ${limit} is not a positive integer`);
      }
    }
    this.#codec = codec;
    this.#template = template;
    this.#chat = chat;
    this.#maxPromptTokens = maxPromptTokens;
    this.#maxTokens = maxTokens;
  }

  /** What was cut since the last call. */
  takeCuts(): { prompt: boolean; response: boolean } {
    const cuts = { prompt: this.#cutPrompt, response: this.#cutResponse };
    this.#cutPrompt = false;
    this.#cutResponse = false;
    return cuts;
  }

  prompt(prompt: Prompt): EncodedPrompt {
    // Rows of one prompt often come one after another, several pairs out of one row above all.
    const key = JSON.stringify(prompt);
    if (this.#last?.key !== key) this.#last = { key, encoded: this.#encodePrompt(prompt) };
    const { ids } = this.#last.encoded;
    this.#cutPrompt ||= ids.length > this.#maxPromptTokens;
    return { ...this.#last.encoded, ids: ids.slice(-this.#maxPromptTokens) };
  }

  #encodePrompt(prompt: Prompt): EncodedPrompt {
    const messages = typeof prompt === "string" && !this.#chat ? undefined : promptMessages(prompt);
    const text = messages === undefined ? String(prompt) : this.#render(messages, true);
    const ids = this.#codec.encode(text, { special: messages === undefined });
    if (ids.length === 0) throw new RowProblem("empty-prompt", "prompt: has no token");
    return { ids, text, messages };
  }

  response(prompt: EncodedPrompt, response: string, field: string): number[] {
    const ids = this.#responseIds(prompt, response, field);
    if (ids.length === 0) throw new RowProblem("empty-response", `${field}: has no token`);
    const room = this.#maxTokens - prompt.ids.length;
    if (room <= 0) {
      throw new RowProblem(
        "response-cut-away",
        `${field}: the prompt's ${prompt.ids.length} tokens leave none of ${this.#maxTokens}; raise data.maxTokens`,
      );
    }
    this.#cutResponse ||= ids.length > room;
    return ids.slice(0, room);
  }

  #responseIds({ messages, text }: EncodedPrompt, response: string, field: string): number[] {
    const end = this.#codec.eosIds.slice(0, 1);
    if (messages === undefined) return [...this.#codec.encode(response), ...end];
    const whole = this.#render([...messages, { role: "assistant", content: response }], false);
    if (!whole.startsWith(text)) {
      throw new RowProblem(
        "prompt-not-prefix",
        `${field}: the template writes the conversation differently once it is answered`,
      );
    }
    return this.#upToEnd(this.#codec.encode(whole.slice(text.length)));
  }

  /** Templates write white space between turns; after the end token it is no part of the response. */
  #upToEnd(ids: number[]): number[] {
    const end = ids.findLastIndex((id) => this.#codec.eosIds.includes(id)) + 1;
    return end > 0 && this.#codec.decode(ids.slice(end)).trim() === "" ? ids.slice(0, end) : ids;
  }

  #render(messages: Message[], addGenerationPrompt: boolean): string {
    try {
      return this.#template.render(messages, { addGenerationPrompt });
    } catch (error) {
      const reason = error instanceof MahaloError ? rowFaults.get(error.code) : undefined;
      if (reason === undefined) throw error;
      throw new RowProblem(reason, error instanceof Error ? error.message : String(error));
    }
  }
}

/** Template errors that are one row's fault; others, a loop or a syntax error, are the template's and stop the run. */
const rowFaults = new Map<string, Reason>([
  ["E_TEMPLATE_ROLE", "unknown-role"],
  ["E_TEMPLATE_REFUSED", "template-error"],
  ["E_TEMPLATE_FAILED", "template-error"],
]);

const encodeRows = <In extends { origin: Origin }, Out>(
  rows: readonly In[],
  options: EncodeOptions,
  problems: Problems,
  encode: (row: In, encoder: Encoder) => Out,
): Encoded<Out> => {
  const encoder = new Encoder(options);
  const encoded: Encoded<Out> = { rows: [], cutPrompts: 0, cutResponses: 0 };
  const step = problems.step("encoding");
  for (const row of rows) {
    step.see(row);
    const result = step.guard(row.origin, () => encode(row, encoder));
    const cuts = encoder.takeCuts();
    if (result === undefined) continue;
    encoded.rows.push(result);
    encoded.cutPrompts += Number(cuts.prompt);
    encoded.cutResponses += Number(cuts.response);
  }
  step.check();
  return encoded;
};

const sameIds = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((id, index) => id === b[index]);
