/** Finds text that a tokenizer cannot hold: characters that it leaves out or writes as its unknown token. */
import type { Tokenizer } from "./tokenizer.ts";

/** A character for private use, which a tokenizer without a way to spell all characters does not know. */
const stranger = "\u{10FFFD}";

/** Characters that carry meaning; white space and controls may be changed by a tokenizer's normaliser. */
const meaning = /[\p{L}\p{N}\p{P}\p{S}\p{M}]/u;

/** What became of a text: it comes back as it was, otherwise, or not, since a character has no token. */
export type Fate = { kind: "kept" } | { kind: "changed" } | { kind: "lost"; character: string };

/**
 * What becomes of a text on its way through a tokenizer.
 *
 * A character is lost where it does not come back and the tokenizer makes of it what it makes of a character that it
 * cannot know: nothing, or its unknown token. All else that differs is the tokenizer's normaliser's doing.
 *
 * @param ids the text's tokens
 */
export function fateOf(tokenizer: Tokenizer, text: string, ids: readonly number[]): Fate {
  const back = tokenizer.decode(ids);
  if (back === text) return { kind: "kept" };
  const returned = new Set(back);
  const unknown = String(tokenizer.encode(stranger));
  const character = [...new Set(text)].find(
    (letter) =>
      meaning.test(letter) &&
      !returned.has(letter) &&
      letter !== stranger &&
      String(tokenizer.encode(letter)) === unknown,
  );
  return character === undefined ? { kind: "changed" } : { kind: "lost", character };
}
