/** Step boundaries: their names, how a recipe writes them, and what in a text completes one. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { didYouMean } from "../../core/suggest.ts";

/**
 * What ends a step.
 *
 * - `blank-line`: two line feeds with nothing but white space between them.
 * - `line`: a line feed.
 * - `sentence`: the end of a sentence or of a line, once the step has `minTokens` tokens.
 * - `turn`: the end of the answer only.
 */
export type StepBoundary =
  | { by: "blank-line" }
  | { by: "line" }
  | { by: "sentence"; minTokens: number }
  | { by: "turn" };

/** Names of the boundaries. */
export const stepBoundaryNames = ["blank-line", "line", "sentence", "turn"] as const;

/** Steps as spans of what they are steps of: each begins where the one before it ends. */
export function spansOf(ends: readonly number[]): { start: number; end: number }[] {
  let start = 0;
  return ends.map((end) => {
    const span = { start, end };
    start = end;
    return span;
  });
}

const defaultMinTokens = 8;

const named = (by: StepBoundary["by"]): StepBoundary =>
  by === "sentence" ? { by, minTokens: defaultMinTokens } : { by };

const longForm = z.discriminatedUnion("by", [
  z.strictObject({ by: z.literal("blank-line") }),
  z.strictObject({ by: z.literal("line") }),
  z.strictObject({
    by: z.literal("sentence"),
    minTokens: z
      .int()
      .positive()
      .default(defaultMinTokens)
      .describe("Minimum tokens of a step; a sentence that ends earlier is joined with the next."),
  }),
  z.strictObject({ by: z.literal("turn") }),
]);

/** A boundary as a recipe writes it: its plain name, or `{ by: sentence, minTokens: 12 }`. */
export const stepBoundarySchema = z
  .union([z.enum(stepBoundaryNames).transform(named), longForm])
  .describe("What ends a step: blank-line, line, sentence (after at least 8 tokens) or turn.");

/**
 * Reads a boundary from a command line: its name, or `sentence:12` for another minimum of tokens.
 *
 * @throws MahaloError E_STEP_BOUNDARY
 */
export const parseStepBoundary = (text: string): StepBoundary => {
  const [, sentence, minimum] = /^(sentence):(\d+)$/.exec(text) ?? [];
  const given = sentence === undefined ? text : { by: sentence, minTokens: Number(minimum) };
  const result = stepBoundarySchema.safeParse(given);
  if (result.success) return result.data;
  throw new MahaloError(
    "E_STEP_BOUNDARY",
    `"${text}" is not a step boundary. ${didYouMean(text, stepBoundaryNames)}`,
    { hint: "sentence takes a minimum of tokens: sentence:12" },
  );
};

/** Reads the text of a response piece by piece, a piece for each token, and finds the pieces that complete a step. */
export interface BoundaryFinder {
  /**
   * Takes the next token's text.
   *
   * @param tokens tokens of the step, this one included
   * @returns whether a step is complete with it
   */
  read(piece: string, tokens: number): boolean;
  /** Whether only white space has come since the last step was complete. */
  readonly blank: boolean;
  /** Begins a new step, whatever is complete. */
  reset(): void;
  /** A copy that goes on by itself. */
  fork(): BoundaryFinder;
}

/** The finder of a boundary. */
export const boundaryFinder = (boundary: StepBoundary): BoundaryFinder => {
  switch (boundary.by) {
    case "blank-line":
      return new FeedFinder(2);
    case "line":
      return new FeedFinder(1);
    case "sentence":
      return new SentenceFinder(boundary.minTokens);
    case "turn":
      return new FeedFinder(Number.POSITIVE_INFINITY);
  }
};

const isSpace = (letter: string): boolean => /\s/.test(letter);

/** A step ends with the `feeds`-th line feed behind its last letter; line feeds before its first letter do not count. */
class FeedFinder implements BoundaryFinder {
  readonly #needed: number;
  #blank = true;
  #feeds = 0;

  constructor(needed: number) {
    this.#needed = needed;
  }

  get blank(): boolean {
    return this.#blank;
  }

  read(piece: string): boolean {
    let ended = false;
    for (const letter of piece) {
      if (letter === "\n" && !this.#blank) {
        this.#feeds += 1;
        if (this.#feeds < this.#needed) continue;
        ended = true;
        this.reset();
      } else if (!isSpace(letter)) {
        this.#blank = false;
        this.#feeds = 0;
      }
    }
    return ended;
  }

  reset(): void {
    this.#blank = true;
    this.#feeds = 0;
  }

  fork(): BoundaryFinder {
    const copy = new FeedFinder(this.#needed);
    copy.#blank = this.#blank;
    copy.#feeds = this.#feeds;
    return copy;
  }
}

/** The end of a sentence: its mark, and quotes, brackets and emphasis that close behind it. */
const sentenceEnd = /[.!?…。！？]["'”’»)\]*_]*$/u;
/** A full stop that as a rule ends no sentence: after a digit (3.14, 1.), a single letter (e.g., J.) or a title. */
const otherStop = /(?:\d|(?<![\p{L}\p{N}])\p{L}|(?<!\p{L})(?:Mr|Mrs|Ms|Dr|Prof|vs))\.$/u;
/** Longest end of a text that these two look at. */
const lookBack = 16;

/**
 * A step ends with a line feed, or with the token that ends a sentence, once it has enough tokens.
 *
 * What follows the token is not known yet, so a full stop after a digit, a single letter or a title does not count
 * unless white space follows in the same token.
 */
class SentenceFinder implements BoundaryFinder {
  readonly #minTokens: number;
  #blank = true;
  #tail = "";

  constructor(minTokens: number) {
    this.#minTokens = minTokens;
  }

  get blank(): boolean {
    return this.#blank;
  }

  read(piece: string, tokens: number): boolean {
    let ended = false;
    for (let index = 0; index < piece.length; index++) {
      const letter = piece.charAt(index);
      this.#tail = (this.#tail + letter).slice(-lookBack);
      if (!isSpace(letter)) this.#blank = false;
      if (this.#blank || tokens < this.#minTokens) continue;
      if (letter !== "\n" && !this.#endsSentence(piece.charAt(index + 1))) continue;
      ended = true;
      this.reset();
    }
    return ended;
  }

  /** @param next the letter that follows in the same token, or nothing */
  #endsSentence(next: string): boolean {
    if (!sentenceEnd.test(this.#tail)) return false;
    if (/[。！？]["'”’»)\]*_]*$/u.test(this.#tail)) return true;
    return next === "" ? !otherStop.test(this.#tail) : isSpace(next);
  }

  reset(): void {
    this.#blank = true;
    this.#tail = "";
  }

  fork(): BoundaryFinder {
    const copy = new SentenceFinder(this.#minTokens);
    copy.#blank = this.#blank;
    copy.#tail = this.#tail;
    return copy;
  }
}
