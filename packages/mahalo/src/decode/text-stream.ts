/** Tokens into text as it grows: only whole characters come out, and nothing from a stop string on. */
import type { TextCodec } from "../data/codec.ts";

/** U+FFFD at the end: bytes of a character whose rest is still to come. */
const unfinished = (text: string): boolean => text.endsWith("\uFFFD");

/** Text that certainly belongs to the answer, and whether a stop string has ended it. */
export type TextPiece = { text: string; stopped: boolean };

/**
 * The text of an answer, token by token.
 *
 * Text that may still turn out to be the beginning of a stop string, or half a character, is held back until it is
 * certain. All pieces together are the codec's own text of all tokens (special ones left out), cut before the stop
 * string that appears first.
 */
export class TextStream {
  readonly #codec: TextCodec;
  readonly #stops: readonly string[];
  readonly #ids: number[] = [];
  /** Tokens before this one are settled; decoding starts there, and what came out before `#read` is known. */
  #settled = 0;
  #read = 0;
  /** Text that is not given out yet. */
  #held = "";
  #stopped = false;

  /** @param stops strings that end the answer; they are no part of it */
  constructor(codec: TextCodec, stops: readonly string[] = []) {
    this.#codec = codec;
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Adds a token. */
  push(id: number): TextPiece {
    this.#ids.push(id);
    return this.#take(false);
  }

  /** No token follows: gives what was held back. */
  end(): TextPiece {
    return this.#take(true);
  }

  #take(last: boolean): TextPiece {
    if (this.#stopped) return { text: "", stopped: true };
    this.#held += this.#fresh(last);
    const at = this.#firstStop();
    if (at >= 0) {
      this.#stopped = true;
      return { text: this.#held.slice(0, at), stopped: true };
    }
    const certain = last ? this.#held.length : this.#held.length - this.#possibleStop();
    const text = this.#held.slice(0, certain);
    this.#held = this.#held.slice(certain);
    return { text, stopped: false };
  }

  /** The text that the newest tokens add; a token's text may depend on the one before it, so that one is decoded too. */
  #fresh(last: boolean): string {
    const decode = (from: number, to: number): string =>
      this.#codec.decode(this.#ids.slice(from, to), { skipSpecial: true });
    const before = decode(this.#settled, this.#read);
    const now = decode(this.#settled, this.#ids.length);
    if (!last && (unfinished(now) || now.length <= before.length)) return "";
    this.#settled = this.#read;
    this.#read = this.#ids.length;
    return now.slice(before.length);
  }

  #firstStop(): number {
    const found = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0);
    return found.length === 0 ? -1 : Math.min(...found);
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
