/** Messages of a conversation: the roles, their check, and the few operations that rows need. */
import { z } from "zod";
import { didYouMean } from "../core/suggest.ts";
import { RowProblem } from "./problems.ts";

/** Roles that a message may have. */
export const roles = ["system", "user", "assistant"] as const;

/** Who says a message. */
export type Role = (typeof roles)[number];

/** One turn of a conversation. */
export type Message = { role: Role; content: string };

/** Messages as a file holds them; fields beside role and content are let through unread, as in other tools. */
export const rawMessagesSchema = z.array(z.looseObject({ role: z.string(), content: z.string() }));

const isRole = (name: string): name is Role => roles.some((role) => role === name);

/**
 * Messages with checked roles.
 *
 * @throws RowProblem `unknown-role` for a role that is none of {@link roles}
 */
export const checkMessages = (raw: z.infer<typeof rawMessagesSchema>, field: string): Message[] =>
  raw.map(({ role, content }, index) => {
    if (isRole(role)) return { role, content };
    throw new RowProblem(
      "unknown-role",
      `${field}[${index}].role: unknown role "${role}". ${didYouMean(role, roles)}`,
    );
  });

/** The conversation before its last turn, and that turn, which must be the assistant's. */
export const splitLastTurn = (
  conversation: readonly Message[],
  field: string,
): { prompt: Message[]; response: string } => {
  const last = conversation.at(-1);
  if (last === undefined) throw new RowProblem("invalid-row", `${field}: the conversation has no message`);
  if (last.role !== "assistant") {
    throw new RowProblem(
      "invalid-row",
      `${field}: the last message must be the assistant's, not the ${last.role}'s`,
    );
  }
  return { prompt: conversation.slice(0, -1), response: last.content };
};

/** Whether two conversations are the same, role by role and letter by letter. */
export const sameMessages = (a: readonly Message[], b: readonly Message[]): boolean =>
  a.length === b.length &&
  a.every(({ role, content }, index) => role === b[index]?.role && content === b[index]?.content);
