/** What a chat template writes behind an assistant's words, and which token of it ends the turn. */
import { MahaloError } from "@mahalo/torch";
import type { Message } from "../rows/messages.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The end of an assistant's turn, read off a chat template. */
export type TurnEnd = {
  /** All that the template writes behind the content: the end token, and often a line feed. */
  tail: string;
  /** The beginning of `tail` that belongs to the answer: up to the end token, or up to the white space at its end. */
  text: string;
  /** The token that ends the turn; undefined where the template writes none. */
  id: number | undefined;
};

/** An answer that no template has a text of its own for. */
const probe = "Mahalo0nui";

/** A token that is written as a mark, such as `<|im_end|>`, whether the tokenizer calls it special or not. */
const isMark = (text: string): boolean => /^<[^<>\s]+>$/.test(text);

const asked: Message = { role: "user", content: "Hi" };
const answered: Message = { role: "assistant", content: probe };

/** What a template writes before and behind the probe; undefined where it fails or leaves the probe out. */
function around(
  template: ChatTemplate,
  messages: readonly Message[],
): { before: string; behind: string } | undefined {
  let rendered: string;
  try {
    rendered = template.render(messages);
  } catch (error) {
    // A template that fails says so where rows go through it.
    if (error instanceof MahaloError && error.code !== "E_TEMPLATE_THREAD") return undefined;
    throw error;
  }
  const start = rendered.lastIndexOf(probe);
  return start < 0
    ? undefined
    : { before: rendered.slice(0, start), behind: rendered.slice(start + probe.length) };
}

function readTurnEnd(tokenizer: Tokenizer, template: ChatTemplate): TurnEnd | undefined {
  const last = around(template, [asked, answered]);
  if (last === undefined) return undefined;
  const tail = last.behind;
  const markIn = (text: string): number | undefined =>
    tokenizer
      .encode(text)
      .find(
        (id) =>
          tokenizer.specialIds.has(id) || tokenizer.eosIds.includes(id) || isMark(tokenizer.decode([id])),
      );
  const id = markIn(tail);
  if (id !== undefined) {
    const mark = tokenizer.decode([id]);
    const place = tail.indexOf(mark);
    return { tail, text: place < 0 ? tail.trimEnd() : tail.slice(0, place + mark.length), id };
  }
  // Some templates end an answer only where another turn follows. What opens turns is no end, though it stands there too.
  const inner = around(template, [asked, answered, asked]);
  const between = inner === undefined ? undefined : markIn(inner.behind);
  const opens = between !== undefined && tokenizer.encode(last.before).includes(between);
  if (between === undefined || opens) return { tail, text: tail.trimEnd(), id: undefined };
  return { tail, text: tail.trimEnd() + tokenizer.decode([between]), id: between };
}

const ends = new WeakMap<ChatTemplate, WeakMap<Tokenizer, { end: TurnEnd | undefined }>>();

/**
 * The end of an assistant's turn, as the template writes it; undefined where the template does not write a plain
 * conversation's answer at all. Read once for each template and tokenizer.
 *
 * @example turnEnd(tokenizer, template) // { tail: "<|im_end|>\n", text: "<|im_end|>", id: 2 }
 */
export function turnEnd(tokenizer: Tokenizer, template: ChatTemplate): TurnEnd | undefined {
  const byTokenizer = ends.get(template) ?? new WeakMap<Tokenizer, { end: TurnEnd | undefined }>();
  ends.set(template, byTokenizer);
  const entry = byTokenizer.get(tokenizer) ?? { end: readTurnEnd(tokenizer, template) };
  byTokenizer.set(tokenizer, entry);
  return entry.end;
}

/**
 * The token that ends an assistant's turn: the template's, or the model's main end token where the template writes none;
 * undefined for a model that has neither.
 */
export function turnEndId(tokenizer: Tokenizer, template: ChatTemplate): number | undefined {
  return turnEnd(tokenizer, template)?.id ?? tokenizer.eosIds[0];
}
