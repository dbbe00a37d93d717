/** Answers of /v1/responses in OpenAI's form: the response as it stands at any time, and the events of a stream. */
import type { Finish } from "../../decode/request.ts";
import type { Sampling } from "../../decode/sampling.ts";
import type { ChosenToken, TokenLogprob } from "../engine/protocol.ts";
import type { ApiError } from "../http/api-error.ts";
import { finishReason, type Provenance, type Usage } from "./generation.ts";
import type { ResponsesRequest } from "./responses-request.ts";
import { tokenForm } from "./token-form.ts";

/** What a response is made under. */
export type ResponseFrameOptions = {
  id: string;
  created: number;
  body: ResponsesRequest;
  /** How its tokens are chosen, the model's own settings included. */
  sampling: Sampling;
  mahalo: Provenance;
};

/** What stays the same of a response from its first event to its last: its id, and the settings it is made under. */
export const responseFrame = ({ id, created, body, sampling, mahalo }: ResponseFrameOptions) => ({
  id,
  object: "response" as const,
  created_at: created,
  model: body.model,
  instructions: body.instructions ?? null,
  max_output_tokens: body.max_output_tokens ?? null,
  temperature: sampling.temperature,
  top_p: sampling.topP,
  presence_penalty: sampling.presencePenalty,
  frequency_penalty: sampling.frequencyPenalty,
  top_logprobs: body.top_logprobs ?? 0,
  text: { format: { type: "text" as const } },
  tools: (body.tools ?? []).map(({ type, name, description, parameters }) => ({
    type,
    name,
    description: description ?? null,
    parameters: parameters ?? null,
    strict: false,
  })),
  tool_choice: body.tool_choice ?? "auto",
  parallel_tool_calls: body.parallel_tool_calls ?? true,
  max_tool_calls: null,
  reasoning: { effort: null, summary: null },
  truncation: "disabled" as const,
  metadata: body.metadata ?? {},
  ...(body.user ? { user: body.user } : {}),
  safety_identifier: body.safety_identifier ?? null,
  prompt_cache_key: body.prompt_cache_key ?? null,
  service_tier: "default" as const,
  store: false,
  background: false,
  previous_response_id: null,
  conversation: null,
  mahalo,
});

/** What stays the same of a response. */
export type ResponseFrame = ReturnType<typeof responseFrame>;

/** How far a response has come. */
type Progress =
  | { status: "in_progress" }
  | { status: "completed" | "incomplete"; item: MessageItem; usage: Usage }
  | { status: "failed"; item: MessageItem; message: string };

/** Tokens in the words of this route; nothing is written to a cache that a later request could be charged for. */
const usageOf = ({ prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details }: Usage) => ({
  input_tokens: prompt_tokens,
  input_tokens_details: { cached_tokens: prompt_tokens_details.cached_tokens, cache_write_tokens: 0 },
  output_tokens: completion_tokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens,
});

const secondsNow = (): number => Math.floor(Date.now() / 1000);

/** A response as it stands. */
export const responseAt = (frame: ResponseFrame, progress: Progress) => ({
  ...frame,
  status: progress.status,
  completed_at: progress.status === "completed" ? secondsNow() : null,
  incomplete_details: progress.status === "incomplete" ? { reason: "max_output_tokens" as const } : null,
  error: progress.status === "failed" ? { code: "server_error" as const, message: progress.message } : null,
  output: progress.status === "in_progress" ? [] : [progress.item],
  usage: "usage" in progress ? usageOf(progress.usage) : null,
});

/** What becomes of a response by the reason for which its answer ended. */
export const statusOf = (finish: Finish): "completed" | "incomplete" =>
  finishReason(finish) === "stop" ? "completed" : "incomplete";

/** A token in the form of this route, which has no null for the bytes of a part of a character. */
const logprobOf = (token: TokenLogprob) => {
  const { bytes, ...told } = tokenForm(token);
  return { ...told, bytes: bytes ?? [] };
};

/** Tokens with the likeliest ones in their places. */
const logprobsOf = (tokens: readonly ChosenToken[]) =>
  tokens.map((token) => ({ ...logprobOf(token), top_logprobs: token.top.map(logprobOf) }));

/** The text of an answer, as a part of its message. */
const textPart = (text: string, tokens: readonly ChosenToken[]) => ({
  type: "output_text" as const,
  text,
  annotations: [],
  logprobs: logprobsOf(tokens),
});

/** The message of an answer. */
export const messageItem = (
  id: string,
  status: "in_progress" | "completed" | "incomplete",
  parts: readonly { text: string; logprobs: readonly ChosenToken[] }[],
) => ({
  id,
  type: "message" as const,
  status,
  role: "assistant" as const,
  content: parts.map(({ text, logprobs }) => textPart(text, logprobs)),
});

/** The message of an answer. */
export type MessageItem = ReturnType<typeof messageItem>;

/** Writes the events of one response, which are numbered from 0. */
export class ResponseEvents {
  readonly #frame: ResponseFrame;
  readonly #item: string;
  #sequence = 0;
  #text = "";
  readonly #tokens: ChosenToken[] = [];

  /** @param item id of the answer's message */
  constructor(frame: ResponseFrame, item: string) {
    this.#frame = frame;
    this.#item = item;
  }

  #write(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence, ...fields });
    this.#sequence += 1;
    return `event: ${type}\ndata: ${data}\n\n`;
  }

  get #place() {
    return { item_id: this.#item, output_index: 0, content_index: 0 };
  }

  /** The message with the text that there is so far. */
  #message(status: "completed" | "incomplete"): MessageItem {
    return messageItem(this.#item, status, [{ text: this.#text, logprobs: this.#tokens }]);
  }

  /** What comes before the first piece of text. */
  begin(): string {
    const response = responseAt(this.#frame, { status: "in_progress" });
    return [
      this.#write("response.created", { response }),
      this.#write("response.in_progress", { response }),
      this.#write("response.output_item.added", {
        output_index: 0,
        item: messageItem(this.#item, "in_progress", []),
      }),
      this.#write("response.content_part.added", { ...this.#place, part: textPart("", []) }),
    ].join("");
  }

  /** A piece of text with its tokens, where these were asked for. */
  delta(text: string, tokens: readonly ChosenToken[]): string {
    this.#text += text;
    this.#tokens.push(...tokens);
    return this.#write("response.output_text.delta", {
      ...this.#place,
      delta: text,
      logprobs: logprobsOf(tokens),
    });
  }

  /** What comes behind the last piece of text. */
  end(finish: Finish, usage: Usage): string {
    const status = statusOf(finish);
    const item = this.#message(status);
    const part = textPart(this.#text, this.#tokens);
    return [
      this.#write("response.output_text.done", { ...this.#place, text: part.text, logprobs: part.logprobs }),
      this.#write("response.content_part.done", { ...this.#place, part }),
      this.#write("response.output_item.done", { output_index: 0, item }),
      this.#write(`response.${status}`, { response: responseAt(this.#frame, { status, item, usage }) }),
    ].join("");
  }

  /** What comes when something goes wrong behind the first event: the error itself, and the response as it is left. */
  failure({ body: { error: told } }: ApiError): string {
    const { code, message, param } = told;
    const item = this.#message("incomplete");
    return [
      this.#write("error", { code, message, param, error: told }),
      this.#write("response.failed", {
        response: responseAt(this.#frame, { status: "failed", item, message }),
      }),
    ].join("");
  }
}
