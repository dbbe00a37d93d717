/** Tokens into text as it grows: only whole characters come out, and nothing from a stop string on. */

import { TokenText } from "../data/tokens/token-text.ts";
import type { Tokenizer } from "../data/tokens/tokenizer.ts";

/** Text that certainly belongs to the answer, and whether a stop string has ended it. */
export type TextPiece = { text: string; stopped: boolean };

/**
 * What stands for a special token in text to be searched: two leading halves of surrogate pairs, which no decoded text has
 * next to each other.
 */
const marker = (index: number): string => `\uDBFF${String.fromCharCode(0xd800 + index)}`;

/** Stop strings as they are searched for, with a marker in place of each special token that they name. */
function markedStops(
  tokenizer: Tokenizer,
  stops: readonly string[],
): { stops: string[]; markers: Map<number, string> } {
  const ids = stops.flatMap((stop) => tokenizer.encode(stop).filter((id) => tokenizer.specialIds.has(id)));
  const markers = new Map([...new Set(ids)].map((id, index): [number, string] => [id, marker(index)]));
  const marked = stops.map((stop) =>
    [...markers].reduce((text, [id, mark]) => text.replaceAll(tokenizer.decode([id]), mark), stop),
  );
  return { stops: marked, markers };
}

/**
 * The text of an answer, token by token.
 *
 * Text that may still turn out to be the beginning of a stop string, or half a character, is held back until it is
 * certain. All pieces together are the tokenizer's own text of all tokens (special ones left out), cut before the stop
 * string that appears first. A stop string that names a special token, such as `<|im_end|>`, is met by that token.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  #text: TokenText;
  #stops: readonly string[];
  /** What stands in the held text for the special tokens that stop strings name. */
  #markers: ReadonlyMap<number, string>;
  /** Text that is not given out yet. */
  #held = "";
  #stopped = false;

  /** @param stops strings that end the answer; they are no part of it */
  constructor(tokenizer: Tokenizer, stops: readonly string[] = []) {
    this.#tokenizer = tokenizer;
    this.#text = new TokenText(tokenizer);
    const marked = markedStops(
      tokenizer,
      stops.filter((stop) => stop !== ""),
    );
    this.#stops = marked.stops;
    this.#markers = marked.markers;
  }

  /** Adds a token. */
  push(id: number): TextPiece {
    return this.#take(this.#text.push(id) + (this.#markers.get(id) ?? ""), false);
  }

  /** No token follows: gives what was held back. */
  end(): TextPiece {
    return this.#take(this.#text.end(), true);
  }

  /** A copy that goes on by itself. */
  fork(): TextStream {
    const copy = new TextStream(this.#tokenizer);
    copy.#stops = this.#stops;
    copy.#markers = this.#markers;
    copy.#text = this.#text.fork();
    copy.#held = this.#held;
    copy.#stopped = this.#stopped;
    return copy;
  }

  #take(fresh: string, last: boolean): TextPiece {
    if (this.#stopped) return { text: "", stopped: true };
    this.#held += fresh;
    const certain = last ? this.#held.length : this.#held.length - this.#possibleStop();
    const stop = this.#firstStop();
    // Behind `certain`, a stop string that began earlier may still become whole.
    if (stop >= 0 && stop <= certain) {
      this.#stopped = true;
      return { text: this.#unmarked(this.#held.slice(0, stop)), stopped: true };
    }
    const text = this.#held.slice(0, certain);
    this.#held = this.#held.slice(certain);
    return { text: this.#unmarked(text), stopped: false };
  }

  #unmarked(text: string): string {
    return [...this.#markers.values()].reduce((rest, mark) => rest.replaceAll(mark, ""), text);
  }

  #firstStop(): number {
    const places = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((place) => place >= 0);
    return places.length === 0 ? -1 : Math.min(...places);
  }

  /** Length of the longest end of the held text that begins a stop string. */
  #possibleStop(): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, this.#held.length); length > longest; length--) {
        if (stop.startsWith(this.#held.slice(-length))) longest = length;
      }
    }
    return longest;
  }
}
