/** What a chat template writes behind an assistant's words, and which token of it ends the turn. */
import { MahaloError } from "@mahalo/torch";
import type { ChatTemplate } from "./chat-template.ts";
import type { TextCodec } from "./codec.ts";

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

function readTurnEnd(codec: TextCodec, template: ChatTemplate): TurnEnd | undefined {
  let rendered: string;
  try {
    rendered = template.render([
      { role: "user", content: "Hi" },
      { role: "assistant", content: probe },
    ]);
  } catch (error) {
    // A template that fails says so where rows go through it.
    if (error instanceof MahaloError && error.code !== "E_TEMPLATE_THREAD") return undefined;
    throw error;
  }
  const start = rendered.lastIndexOf(probe);
  if (start < 0) return undefined;
  const tail = rendered.slice(start + probe.length);
  const id = codec
    .encode(tail)
    .find(
      (token) => codec.specialIds.has(token) || codec.eosIds.includes(token) || isMark(codec.decode([token])),
    );
  if (id === undefined) return { tail, text: tail.trimEnd(), id };
  const mark = codec.decode([id]).trim();
  const place = tail.indexOf(mark);
  return { tail, text: place < 0 ? tail.trimEnd() : tail.slice(0, place + mark.length), id };
}

const ends = new WeakMap<ChatTemplate, WeakMap<TextCodec, { end: TurnEnd | undefined }>>();

/**
 * The end of an assistant's turn, as the template writes it; undefined where the template does not write a plain
 * conversation's answer at all. Read once for each template and tokenizer.
 *
 * @example turnEnd(codec, template) // { tail: "<|im_end|>\n", text: "<|im_end|>", id: 2 }
 */
export function turnEnd(codec: TextCodec, template: ChatTemplate): TurnEnd | undefined {
  const byCodec = ends.get(template) ?? new WeakMap<TextCodec, { end: TurnEnd | undefined }>();
  ends.set(template, byCodec);
  const entry = byCodec.get(codec) ?? { end: readTurnEnd(codec, template) };
  byCodec.set(codec, entry);
  return entry.end;
}

/**
 * The token that ends an assistant's turn: the template's, or the model's main end token where the template writes none;
 * undefined for a model that has neither.
 */
export function turnEndId(codec: TextCodec, template: ChatTemplate): number | undefined {
  return turnEnd(codec, template)?.id ?? codec.eosIds[0];
}
