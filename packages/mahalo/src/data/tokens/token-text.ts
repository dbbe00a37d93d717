/** Token ids into text one by one: each token gives the characters that are whole with it. */
import type { Tokenizer } from "./tokenizer.ts";

/** U+FFFD at the end: bytes of a character whose rest is still to come. */
const unfinished = (text: string): boolean => text.endsWith("\uFFFD");

/** Options of {@link TokenText}. */
export type TokenTextOptions = {
  /** Leave special tokens such as `<|im_end|>` out of the text. Default true. */
  skipSpecial?: boolean;
};

/**
 * The text of a growing list of tokens.
 *
 * All pieces together are the tokenizer's own text of all tokens. A character that several tokens spell comes with the last
 * of them. A token costs the decoding of itself and of the piece before it, however long the text is.
 */
export class TokenText {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecial: boolean;
  /** Tokens whose text is looked at; that of the first `#read` has been given out. */
  #ids: number[] = [];
  #read = 0;

  constructor(tokenizer: Tokenizer, { skipSpecial = true }: TokenTextOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecial = skipSpecial;
  }

  /** Adds a token; gives the text that is certain with it, often empty for a part of a character. */
  push(id: number): string {
    this.#ids.push(id);
    return this.#take(false);
  }

  /** No token follows: gives what was held back, U+FFFD for bytes that made no character. */
  end(): string {
    return this.#take(true);
  }

  /** A copy that goes on by itself. */
  fork(): TokenText {
    const copy = new TokenText(this.#tokenizer, { skipSpecial: this.#skipSpecial });
    copy.#ids = [...this.#ids];
    copy.#read = this.#read;
    return copy;
  }

  #take(last: boolean): string {
    // A token's text may depend on the one before it, so that one is decoded again with it.
    const options = { skipSpecial: this.#skipSpecial };
    const before = this.#tokenizer.decode(this.#ids.slice(0, this.#read), options);
    const now = this.#tokenizer.decode(this.#ids, options);
    if ((!last && unfinished(now)) || now.length <= before.length) return "";
    this.#ids = this.#ids.slice(this.#read);
    this.#read = this.#ids.length;
    return now.slice(before.length);
  }
}
