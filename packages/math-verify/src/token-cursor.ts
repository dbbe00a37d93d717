/** The place in an answer's tokens where the parser stands, and what it may ask of those ahead. */
import { isOrdinalEnd } from "./number-words.ts";
import { spend, type Work } from "./rational.ts";
import type { Scan, Token } from "./scan.ts";
import { currencySigns } from "./symbols.ts";

/** Deepest nesting of an answer; what is deeper cannot be read. */
const maxDepth = 60;

/** Thrown where a text is no mathematics; the parser turns it into undefined. */
export class Unreadable extends Error {}

/** What can be read; else {@link Unreadable} is thrown. */
export const readable = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Unreadable();
  return value;
};

/** Tokens, and how deep the parser is in them. */
export class TokenCursor {
  tokens: readonly Token[];
  work: Work;
  at = 0;
  depth = 0;

  constructor({ tokens }: Scan, work: Work) {
    this.tokens = tokens;
    this.work = work;
  }

  peek(ahead = 0): Token | undefined {
    return this.tokens[this.at + ahead];
  }

  is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.type === "sign" && token.text === text;
  }

  take(text: string): boolean {
    const matches = this.is(text);
    if (matches) this.at++;
    return matches;
  }

  nested<T>(body: () => T): T {
    if (++this.depth > maxDepth || !spend(this.work)) throw new Unreadable();
    const result = body();
    this.depth--;
    return result;
  }

  next(): Token {
    return readable(this.tokens[this.at++]);
  }

  /** A raised ending of an ordinal, which changes nothing: `3^{\\text{rd}}`. */
  takeOrdinalEnd(): boolean {
    if (!this.is("^")) return false;
    const inBraces = this.is("{", 1) ? 1 : 0;
    const end = this.peek(1 + inBraces);
    // "5^{th}": two letters.
    if (inBraces === 1 && end?.type === "letter" && this.is("}", 4)) {
      if (!isOrdinalEnd(end.text + (this.peek(3)?.text ?? ""))) return false;
      this.at += 5;
      return true;
    }
    if (end?.type !== "word" || !isOrdinalEnd(end.text) || (inBraces === 1 && !this.is("}", 3))) return false;
    this.at += inBraces === 1 ? 4 : 2;
    return true;
  }

  isTemperature(): boolean {
    const token = this.peek();
    return token?.type === "letter" && /^[CFK]$/.test(token.text);
  }

  isCurrency(): boolean {
    const token = this.peek();
    return token?.type === "sign" && token.text !== "$" && currencySigns.has(token.text);
  }
}
