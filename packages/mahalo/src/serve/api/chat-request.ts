/** What /v1/chat/completions takes: OpenAI's fields that a text model can honour, and ours. */
import { z } from "zod";
import type { Message } from "../../data/rows/messages.ts";
import { badField } from "../http/api-error.ts";
import type { Bounds } from "../options.ts";
import { ignoredFields, mixFields, samplingFields } from "./fields.ts";
import { guidanceSchema } from "./guidance.ts";

/** Most messages of one request. */
const mostMessages = 2048;

const textPart = z.strictObject({
  type: z.literal("text", "must be text: this model reads nothing else"),
  text: z.string(),
});

const contentSchema = z.union([z.string(), z.array(textPart).min(1)]);

const toolCall = z.strictObject({
  id: z.string().max(256),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string().max(256), arguments: z.string() }),
});

const messageSchema = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: contentSchema.nullish(),
  name: z.string().max(256).nullish(),
  tool_calls: z.array(toolCall).min(1).max(128).nullish(),
  tool_call_id: z.string().max(256).nullish(),
  refusal: z.null("is not read here").optional(),
});

const toolSchema = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -"),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.literal(false, "cannot be promised here: leave it out").nullish(),
  }),
});

/** Schema of a body. */
export const chatRequestSchema = (bounds: Bounds) =>
  z.strictObject({
    model: z.string().min(1).max(1024),
    messages: z.array(messageSchema).min(1).max(mostMessages),
    ...samplingFields(bounds),
    max_completion_tokens: z.int().min(1).max(bounds.maxTokens).nullish(),
    logprobs: z.boolean().nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    response_format: z
      .strictObject({ type: z.literal("text", "must be text: other formats cannot be promised here") })
      .nullish(),
    tools: z.array(toolSchema).max(128).nullish(),
    tool_choice: z.enum(["auto", "none"], 'must be "auto" or "none": a call cannot be forced here').nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    guidance: guidanceSchema(bounds).nullish(),
    ...mixFields,
    ...ignoredFields,
  });

/** A checked body. */
export type ChatRequest = z.output<ReturnType<typeof chatRequestSchema>>;

const textOf = (content: string | { text: string }[]): string =>
  typeof content === "string" ? content : content.map(({ text }) => text).join("");

/** A message as all rooms of ours hold it. */
const messageOf = (
  { role, content, name, tool_calls, tool_call_id }: ChatRequest["messages"][number],
  index: number,
): Message => {
  const calls = tool_calls ?? undefined;
  if (content === null || content === undefined) {
    if (calls === undefined)
      throw badField(`messages[${index}].content`, "is missing", "missing_required_parameter");
  }
  if (calls !== undefined && role !== "assistant")
    throw badField(`messages[${index}].tool_calls`, "only an assistant's message has calls");
  if (role === "tool" && !tool_call_id)
    throw badField(`messages[${index}].tool_call_id`, "is missing", "missing_required_parameter");
  return {
    role,
    content: textOf(content ?? ""),
    ...(content === null || content === undefined ? { noContent: true as const } : {}),
    ...(name ? { name } : {}),
    ...(calls === undefined ? {} : { tool_calls: calls }),
    ...(tool_call_id ? { tool_call_id } : {}),
  };
};

/** The conversation of a request, with the functions that may be called. @throws ApiError 400 */
export const conversationOf = ({
  messages,
  tools,
  tool_choice,
}: Pick<ChatRequest, "messages"> & Partial<Pick<ChatRequest, "tools" | "tool_choice">>): Message[] => {
  const [first, ...rest] = messages.map(messageOf);
  if (first === undefined) return [];
  const shown = tool_choice === "none" || !tools || tools.length === 0 ? {} : { tools };
  return [{ ...first, ...shown }, ...rest];
};
