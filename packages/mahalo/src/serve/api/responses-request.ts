/** What /v1/responses takes: OpenAI's fields that a text model without a memory can honour, and ours. */
import { z } from "zod";
import type { Message } from "../../data/rows/messages.ts";
import { badField } from "../http/api-error.ts";
import type { Bounds } from "../options.ts";
import { type ChatRequest, conversationOf } from "./chat-request.ts";
import { ignoredFields, mixFields, samplingFields } from "./fields.ts";

/** Most items of one request. */
const mostItems = 2048;

/** What brings the tokens' log-probabilities into the answer. */
const logprobsIncluded = "message.output_text.logprobs";

/** A field that may only be null, with what to say of anything else. */
const absent = (why: string) =>
  z
    .unknown()
    .refine((value) => value === null || value === undefined, why)
    .optional();

const identifier = z.string().max(256);

/** How far an item had come when it was told; nothing here goes by it. */
const itemStatus = z.enum(["in_progress", "completed", "incomplete"]).nullish();

const partSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("input_text"), text: z.string() }),
  // An earlier answer as it was given; what stands beside its text is about that text, and no part of it.
  z.strictObject({
    type: z.literal("output_text"),
    text: z.string(),
    annotations: z.array(z.unknown()).nullish(),
    logprobs: z.array(z.unknown()).nullish(),
  }),
]);

/** Text, alone or in parts. */
const contentSchema = z.preprocess(
  (value) => (typeof value === "string" ? [{ type: "input_text", text: value }] : value),
  z.array(partSchema).min(1),
);

const messageItem = z.strictObject({
  type: z.literal("message"),
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: contentSchema,
  id: identifier.nullish(),
  status: itemStatus,
  // Whether other models meant a text for the way or as their answer; templates here do not tell these apart.
  phase: z.enum(["commentary", "final_answer"]).nullish(),
});

const callItem = z.strictObject({
  type: z.literal("function_call"),
  call_id: identifier,
  name: identifier,
  arguments: z.string(),
  id: identifier.nullish(),
  status: itemStatus,
});

const resultItem = z.strictObject({
  type: z.literal("function_call_output"),
  call_id: identifier,
  output: contentSchema,
  id: identifier.nullish(),
  status: itemStatus,
});

/** A message in the easy form has no type. */
const withType = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !Object.hasOwn(value, "type")
    ? { type: "message", ...value }
    : value;

const itemSchema = z.preprocess(withType, z.discriminatedUnion("type", [messageItem, callItem, resultItem]));

/** A text alone is what the user says. */
const inputSchema = z.preprocess(
  (value) => (typeof value === "string" ? [{ role: "user", content: value }] : value),
  z.array(itemSchema).min(1).max(mostItems),
);

const toolSchema = z.strictObject({
  type: z.literal("function"),
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -"),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.literal(false).nullish(),
});

/** Schema of a body. */
export const responsesRequestSchema = (bounds: Bounds) => {
  const { n: _n, max_tokens: _length, ...sampling } = samplingFields(bounds);
  return z.strictObject({
    model: z.string().min(1).max(1024),
    input: inputSchema,
    instructions: z.string().nullish(),
    ...sampling,
    max_output_tokens: z.int().min(1).max(bounds.maxTokens).nullish(),
    stream_options: z.strictObject({ include_obfuscation: z.boolean().nullish() }).nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    include: z.array(z.literal(logprobsIncluded)).max(16).nullish(),
    text: z
      .strictObject({
        format: z.strictObject({ type: z.literal("text") }).nullish(),
        verbosity: absent("cannot be chosen here: leave it out"),
      })
      .nullish(),
    tools: z.array(toolSchema).max(128).nullish(),
    tool_choice: z.enum(["auto", "none"]).nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    reasoning: z
      .strictObject({
        effort: z.literal("none").nullish(),
        summary: absent("is not supported: this model does not think before it answers"),
      })
      .nullish(),
    truncation: z.literal("disabled").nullish(),
    background: z.literal(false).nullish(),
    previous_response_id: absent(
      "is not known: no answer is kept here; send the whole conversation as input",
    ),
    conversation: absent("is not known: no conversation is kept here; send all of it as input"),
    prompt: absent("is not known: no prompts are kept here; send its text as instructions or input"),
    max_tool_calls: absent("is not supported: no tool runs here"),
    ...mixFields,
    ...ignoredFields,
  });
};

/** A checked body. */
export type ResponsesRequest = z.output<ReturnType<typeof responsesRequestSchema>>;

type Turn = ChatRequest["messages"][number];

const textOf = (parts: readonly { text: string }[]): string => parts.map(({ text }) => text).join("");

/**
 * Items as turns: the calls of a function belong to the assistant's turn that they follow.
 *
 * @throws ApiError 400 for the result of a call that nobody made
 */
const turnsOf = (input: ResponsesRequest["input"]): Turn[] => {
  const turns: Turn[] = [];
  const calls = new Set<string>();
  for (const [index, item] of input.entries()) {
    if (item.type === "message") turns.push({ role: item.role, content: textOf(item.content) });
    else if (item.type === "function_call") {
      calls.add(item.call_id);
      const call = {
        id: item.call_id,
        type: "function" as const,
        function: { name: item.name, arguments: item.arguments },
      };
      const last = turns.at(-1);
      if (last?.role === "assistant") last.tool_calls = [...(last.tool_calls ?? []), call];
      else turns.push({ role: "assistant", content: null, tool_calls: [call] });
    } else {
      if (!calls.has(item.call_id))
        throw badField(`input[${index}].call_id`, "is of no function_call before it");
      turns.push({ role: "tool", tool_call_id: item.call_id, content: textOf(item.output) });
    }
  }
  return turns;
};

/** A function as templates are shown it; that it is not strict is said by saying nothing. */
const functionOf = ({
  type,
  name,
  description,
  parameters,
}: NonNullable<ResponsesRequest["tools"]>[number]) => ({
  type,
  function: { name, ...(description ? { description } : {}), ...(parameters ? { parameters } : {}) },
});

/** The conversation of a request: its instructions in front, and the functions that may be called. @throws ApiError 400 */
export const conversationOfResponses = ({
  input,
  instructions,
  tools,
  tool_choice,
}: ResponsesRequest): Message[] => {
  const system: Turn[] = instructions ? [{ role: "system", content: instructions }] : [];
  return conversationOf({
    messages: [...system, ...turnsOf(input)],
    tools: tools?.map(functionOf),
    tool_choice,
  });
};

/** Whether the tokens' log-probabilities are asked for. @throws ApiError 400 where the likeliest are, but not those */
export const asksLogprobs = ({ include, top_logprobs }: ResponsesRequest): boolean => {
  const asked = (include ?? []).length > 0;
  if (top_logprobs && !asked) throw badField("top_logprobs", `needs include: ["${logprobsIncluded}"]`);
  return asked;
};
