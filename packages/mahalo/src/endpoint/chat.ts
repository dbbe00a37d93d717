/** One chat completion of an endpoint: messages in, text out. */
import { z } from "zod";
import { endpointMessages, type Message } from "../data/rows/messages.ts";
import { samplingShape } from "../decode/sampling.ts";
import type { CallOptions, Endpoint } from "./endpoint.ts";

/** Options of a completion that decide its text, one by one, for schemas that add their own. */
export const completionShape = {
  temperature: samplingShape().temperature,
  maxNewTokens: z.int().positive().default(512).describe("Maximum length of a reply, in tokens."),
  request: z
    .record(z.string(), z.json())
    .default({})
    .describe(
      "Further fields of the request, for example { seed: 1 }; null removes a field that is otherwise sent, for endpoints that refuse it.",
    ),
};

/** {@link completionShape} as a schema. */
export const completionSchema = z.strictObject(completionShape);

/** {@link completionSchema} with defaults filled in. */
export type CompletionOptions = z.output<typeof completionSchema>;

/** What an endpoint answered. */
export type ChatReply = {
  text: string;
  /** The endpoint's own word for why it ended: `stop`, `length`, ...; "" where it gives none. */
  finish: string;
};

/** The turn that an endpoint answers with. */
export const replyMessageSchema = z.looseObject({ content: z.string().nullish() });

const replySchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        message: replyMessageSchema,
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
});

/**
 * Asks an endpoint for a chat completion.
 *
 * @throws MahaloError as {@link Endpoint.post}
 */
export const chat = async (
  endpoint: Endpoint,
  messages: readonly Message[],
  { temperature, maxNewTokens, request }: CompletionOptions,
  options: CallOptions = {},
): Promise<ChatReply> => {
  const fields = {
    model: endpoint.options.model,
    ...endpointMessages(messages),
    temperature,
    max_tokens: maxNewTokens,
    stream: false,
    ...request,
  };
  const body = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  const { choices } = await endpoint.post("chat/completions", body, replySchema, options);
  const [first] = choices;
  return { text: first?.message.content ?? "", finish: first?.finish_reason ?? "" };
};
