/** Messages as chat templates are shown them, and what of their tools a template has left out. */
import type { Message } from "../rows/messages.ts";

type Shown = Record<string, unknown>;
type Call = Record<string, unknown>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The function of a call or a tool, which may stand in a field of its own. */
const functionOf = (call: Call): Call => (isObject(call.function) ? call.function : call);

/** Arguments that OpenAI's form has as JSON text, as the object that templates write; others as they are. */
function parsedArguments(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    const parsed: unknown = JSON.parse(value);
    return isObject(parsed) ? parsed : value;
  } catch {
    return value;
  }
}

function withParsedArguments(call: Call): Call {
  const inner = functionOf(call);
  if (!("arguments" in inner)) return call;
  const parsed = { ...inner, arguments: parsedArguments(inner.arguments) };
  return inner === call ? parsed : { ...call, function: parsed };
}

/**
 * The forms in which a template may want messages, the likeliest first; further ones are for templates that fail on it.
 *
 * Arguments of calls are objects first and the file's text then; a content that the file calls null is null first and the
 * empty text then. `developer` is `system` where the template does not know that role.
 */
export function formsForTemplate(messages: readonly Message[], template: string): Shown[][] {
  const shown = (objects: boolean, nulls: boolean): Shown[] =>
    messages.map(({ noContent, tools: _, role, content, tool_calls, ...rest }) => ({
      role: role === "developer" && !template.includes("developer") ? "system" : role,
      content: noContent && nulls ? null : content,
      ...rest,
      ...(tool_calls === undefined
        ? {}
        : { tool_calls: objects ? tool_calls.map(withParsedArguments) : tool_calls }),
    }));
  const first = shown(true, true);
  if (messages.every(({ tool_calls, noContent }) => tool_calls === undefined && !noContent)) return [first];
  return [first, shown(false, true), shown(true, false), shown(false, false)];
}

/** Whether a text is written somewhere, as it is or as JSON writes it. */
const isWritten = (text: string, written: string): boolean =>
  written.includes(text) || written.includes(JSON.stringify(text).slice(1, -1));

const nameOf = (call: Call): string | undefined => {
  const { name } = functionOf(call);
  return typeof name === "string" ? name : undefined;
};

/**
 * What of a conversation's tools, calls and tools' answers a template has not written, in words; undefined where nothing
 * is missing. Templates that do not know tools leave them out in silence.
 */
export function unwritten(messages: readonly Message[], written: string): string | undefined {
  for (const [index, { role, content, tools = [], tool_calls = [] }] of messages.entries()) {
    for (const [what, calls] of [
      ["the tool", tools],
      [`message ${index + 1}'s call of`, tool_calls],
    ] as const) {
      const missing = calls.map(nameOf).find((name) => name !== undefined && !isWritten(name, written));
      if (missing !== undefined) return `${what} "${missing}"`;
    }
    if (role === "tool" && !isWritten(content.trim(), written))
      return `message ${index + 1}, a tool's answer`;
  }
  return undefined;
}
