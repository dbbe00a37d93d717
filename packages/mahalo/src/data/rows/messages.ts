/** Messages of a conversation: the forms that files have them in, their check, and the few operations that rows need. */
import { z } from "zod";
import { didYouMean } from "../../core/suggest.ts";
import { RowProblem } from "./problems.ts";

/** Roles that a message may have; `developer` is OpenAI's newer name for `system`. */
export const roles = ["system", "developer", "user", "assistant", "tool"] as const;

/** Who says a message. */
export type Role = (typeof roles)[number];

const anyObject = z.record(z.string(), z.unknown());

/** One turn of a conversation, as all rooms and files of ours hold it. */
export const messageSchema = z.strictObject({
  role: z.enum(roles),
  /** Text; "" where a turn calls tools and says nothing. */
  content: z.string(),
  /** The file says null for the content, which some templates tell apart from the empty text. */
  noContent: z.literal(true).optional(),
  name: z.string().optional(),
  /** What an assistant's turn thought before it spoke, under the two names that templates have for it. */
  reasoning_content: z.string().optional(),
  thinking: z.string().optional(),
  /** Functions that an assistant's turn calls. */
  tool_calls: z.array(anyObject).optional(),
  /** The call that a tool's turn answers. */
  tool_call_id: z.string().optional(),
  /** Functions that may be called in the whole conversation; stands in its first message. */
  tools: z.array(anyObject).optional(),
});

/** One turn of a conversation. */
export type Message = z.infer<typeof messageSchema>;

/** A prompt as our files hold it: plain text, or the conversation so far. */
export const textOrMessagesSchema = z.union([z.string(), z.array(messageSchema)]);

const part = z.looseObject({ type: z.string(), text: z.string().nullish() });

/** A message as a file holds it: TRL's and OpenAI's form, or ShareGPT's `from` and `value`. */
const rawMessage = z.looseObject({
  role: z.string().nullish(),
  from: z.string().nullish(),
  content: z.union([z.string(), z.array(part)]).nullish(),
  value: z.string().nullish(),
  name: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  thinking: z.string().nullish(),
  tool_calls: z.array(anyObject).nullish(),
  tool_call_id: z.string().nullish(),
  // Those of our own form, for messages that were read before.
  noContent: z.literal(true).nullish(),
  tools: z.array(anyObject).nullish(),
});

/** Messages as a file holds them, a single one without its list too; other fields are let through unread. */
export const rawMessagesSchema = z.preprocess(
  (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? [value] : value),
  z.array(rawMessage),
);

type RawMessage = z.infer<typeof rawMessage>;

/** ShareGPT's names of roles. */
const shareGptRoles = new Map<string, Role>([
  ["human", "user"],
  ["gpt", "assistant"],
  ["observation", "tool"],
]);

/** Whether a name is a role's. */
export const isRole = (name: string): name is Role => roles.some((role) => role === name);

function roleOf({ role, from }: RawMessage, where: string): Role {
  const name = role ?? (from ? (shareGptRoles.get(from) ?? from) : undefined);
  if (name === undefined) throw new RowProblem("invalid-row", `${where}.role: is missing`);
  if (isRole(name)) return name;
  throw new RowProblem("unknown-role", `${where}.role: unknown role "${name}". ${didYouMean(name, roles)}`);
}

/** The text of a message; several parts are joined. Null where the file has none and the turn calls tools instead. */
function contentOf({ role, content, value, tool_calls }: RawMessage, where: string): string | null {
  const given = content ?? (role ? undefined : value) ?? undefined;
  if (typeof given === "string") return given;
  if (given === undefined) {
    if ((tool_calls ?? []).length > 0) return null;
    throw new RowProblem(
      "invalid-row",
      `${where}.content: ${content === null ? "must be text, not null" : "is missing"}`,
    );
  }
  const texts = given.map(({ type, text }, index) => {
    if (type === "text" && typeof text === "string") return text;
    throw new RowProblem(
      "invalid-row",
      `${where}.content[${index}]: is a part of type "${type}"; only text can be read, as {"type": "text", "text": ...}`,
    );
  });
  return texts.join("");
}

/**
 * Messages out of a file, in our one form, with checked roles.
 *
 * @throws RowProblem `unknown-role` for a role that is none of {@link roles}, `invalid-row` for a message without text or
 *   with parts that are no text
 */
export const checkMessages = (raw: z.infer<typeof rawMessagesSchema>, field: string): Message[] =>
  raw.map((message, index): Message => {
    const where = `${field}[${index}]`;
    const role = roleOf(message, where);
    const content = contentOf(message, where);
    const { name, reasoning_content, thinking, tool_calls, tool_call_id, noContent, tools } = message;
    return {
      role,
      content: content ?? "",
      ...(content === null || noContent ? { noContent: true } : {}),
      ...(name ? { name } : {}),
      ...(reasoning_content ? { reasoning_content } : {}),
      ...(thinking ? { thinking } : {}),
      ...(tool_calls && tool_calls.length > 0 ? { tool_calls } : {}),
      ...(tool_call_id ? { tool_call_id } : {}),
      ...(tools && tools.length > 0 ? { tools } : {}),
    };
  });

/** A row's `tools`: a list of functions, which some files hold as JSON text. */
export const toolsSchema = z.preprocess((value) => {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}, z.array(anyObject));

/** A conversation whose first message names the functions that may be called; itself where there are none. */
export function withTools(messages: readonly Message[], tools: Message["tools"]): Message[] {
  const [first, ...rest] = messages;
  return first === undefined || tools === undefined || tools.length === 0
    ? [...messages]
    : [{ ...first, tools }, ...rest];
}

/** The functions that may be called in a conversation. */
export const toolsOf = (messages: readonly Message[]): Message["tools"] =>
  messages.find(({ tools }) => tools !== undefined)?.tools;

/** Whether a message is more than a role and a text, so that a template has to be shown all of it. */
export const isRich = (message: Message): boolean =>
  Object.keys(message).some((key) => key !== "role" && key !== "content");

/** What tells messages apart: role and text, and all else where there is more. */
export const messageKey = (message: Message): unknown[] => {
  const { role, content, ...rest } = message;
  return isRich(message) ? [role, content, rest] : [role, content];
};

/** A conversation as OpenAI's endpoints take it. */
export function endpointMessages(messages: readonly Message[]): { messages: unknown[]; tools?: unknown[] } {
  const tools = toolsOf(messages);
  return {
    messages: messages.map(({ noContent, tools: _, content, ...rest }) => ({
      ...rest,
      content: noContent ? null : content,
    })),
    ...(tools === undefined ? {} : { tools }),
  };
}

/** The conversation before its last turn, and that turn, which must be the assistant's. */
export const splitLastTurn = (
  conversation: readonly Message[],
  field: string,
): { prompt: Message[]; turn: Message } => {
  const last = conversation.at(-1);
  if (last === undefined) throw new RowProblem("invalid-row", `${field}: the conversation has no message`);
  if (last.role !== "assistant") {
    throw new RowProblem(
      "invalid-row",
      `${field}: the last message must be the assistant's, not the ${last.role}'s`,
    );
  }
  return { prompt: conversation.slice(0, -1), turn: last };
};

/** Whether two conversations are the same, role by role and letter by letter. */
export const sameMessages = (a: readonly Message[], b: readonly Message[]): boolean =>
  JSON.stringify(a.map(messageKey)) === JSON.stringify(b.map(messageKey));
