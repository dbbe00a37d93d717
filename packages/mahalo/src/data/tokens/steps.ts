/** Steps of a response: where each one ends, in tokens, by one rule for training, scoring and decoding. */
import { element } from "../../core/need.ts";
import { RowProblem } from "../rows/problems.ts";
import { type BoundaryFinder, boundaryFinder, type StepBoundary, spansOf } from "./step-boundary.ts";
import { TokenText } from "./token-text.ts";
import type { Tokenizer } from "./tokenizer.ts";

export {
  parseStepBoundary,
  type StepBoundary,
  stepBoundaryNames,
  stepBoundarySchema,
} from "./step-boundary.ts";

/**
 * Finds the ends of steps while tokens arrive.
 *
 * A step ends with the token in which its separator becomes complete, so a separator that the tokenizer merges with its
 * neighbour (`.\n\n`, or `\n\n\n`) ends the step with the merged token. White space before a step's first letter
 * belongs to that step and ends nothing. An end token of the answer always ends a step. What follows is never looked
 * at: a step ends at the same token however the answer goes on.
 *
 * @example
 * const scanner = new StepScanner(tokenizer, { by: "blank-line" });
 * const ended = scanner.push(id); // true: the step's last token
 */
export class StepScanner {
  readonly #tokenizer: Tokenizer;
  readonly #boundary: StepBoundary;
  #text: TokenText;
  #finder: BoundaryFinder;
  #tokens = 0;

  constructor(tokenizer: Tokenizer, boundary: StepBoundary) {
    this.#tokenizer = tokenizer;
    this.#boundary = boundary;
    this.#text = new TokenText(tokenizer);
    this.#finder = boundaryFinder(boundary);
  }

  /** Whether the step so far has no text but white space. */
  get blank(): boolean {
    return this.#finder.blank;
  }

  /** Adds a token of the response; true when a step ends with it. */
  push(id: number): boolean {
    this.#tokens += 1;
    const over = this.#tokenizer.eosIds.includes(id);
    const ended = this.#finder.read(this.#text.push(id), this.#tokens) || over;
    if (over) this.#finder.reset();
    if (ended) this.#tokens = 0;
    return ended;
  }

  /** A copy that goes on by itself, for candidates that continue one answer. */
  fork(): StepScanner {
    const copy = new StepScanner(this.#tokenizer, this.#boundary);
    copy.#text = this.#text.fork();
    copy.#finder = this.#finder.fork();
    copy.#tokens = this.#tokens;
    return copy;
  }
}

/**
 * Ends of the steps of a whole response.
 *
 * These are the tokens at which {@link StepScanner} says that a step ends, and the end of the response; white space and
 * end tokens behind the last step are part of it, no step of their own.
 *
 * @param ids response tokens, the end token included where there is one
 * @returns for every step the index behind its last token; ascending, the last one is `ids.length`. None for no tokens.
 */
export const stepEnds = (tokenizer: Tokenizer, ids: readonly number[], boundary: StepBoundary): number[] => {
  const scanner = new StepScanner(tokenizer, boundary);
  const ends: number[] = [];
  // Steps at the end that are an end token and no text.
  let empty = 0;
  for (const [index, id] of ids.entries()) {
    const blank = scanner.blank;
    if (!scanner.push(id)) continue;
    ends.push(index + 1);
    empty = blank && tokenizer.eosIds.includes(id) ? empty + 1 : 0;
  }
  if (ids.length === 0) return [];
  const unfinished = ends.at(-1) !== ids.length && !scanner.blank;
  if (!unfinished) ends.splice(Math.max(0, ends.length - empty - 1));
  ends.push(ids.length);
  return ends;
};

/**
 * Ends of steps that are given as texts: the token with which each text, its white space included, is complete.
 *
 * @throws RowProblem where the texts are not those of the tokens, or two steps end in one token
 */
export const endsOfTexts = (
  tokenizer: Tokenizer,
  ids: readonly number[],
  steps: readonly string[],
): number[] => {
  const pieces = new TokenText(tokenizer);
  const texts = ids.map((id) => pieces.push(id));
  const whole = texts.join("") + pieces.end();
  const joined = steps.join("");
  // Templates trim what they write.
  const start = whole.startsWith(joined.trimEnd()) ? 0 : joined.length - joined.trimStart().length;
  if (!whole.startsWith(joined.slice(start).trimEnd())) {
    throw new RowProblem("invalid-row", "the chat template or the tokenizer writes the steps differently");
  }
  const ends: number[] = [];
  let [wanted, read, token] = [-start, 0, 0];
  for (const step of steps.slice(0, -1)) {
    wanted += step.length;
    while (token < ids.length && read < wanted) read += element(texts, token++).length;
    ends.push(token);
  }
  ends.push(ids.length);
  if (spansOf(ends).every(({ start, end }) => end > start)) return ends;
  throw new RowProblem("invalid-row", "two steps end in the same token, or a step has no token");
};

/**
 * Ends of a response's steps, which a boundary ends or which are given as texts: the one rule of training, scoring and
 * decoding.
 *
 * @throws RowProblem as {@link endsOfTexts}
 */
export const stepEndsOf = (
  tokenizer: Tokenizer,
  ids: readonly number[],
  steps: StepBoundary | readonly string[],
): number[] => (isTexts(steps) ? endsOfTexts(tokenizer, ids, steps) : stepEnds(tokenizer, ids, steps));

const isTexts = (steps: StepBoundary | readonly string[]): steps is readonly string[] => Array.isArray(steps);

/**
 * Texts of steps; joined they are the text of all tokens up to the last end, special tokens left out.
 *
 * @param ends as {@link stepEnds} gives them
 *
 * @example stepTexts(tokenizer, ids, stepEnds(tokenizer, ids, { by: "line" })) // ["2 + 2 = 4\n", "4 + 1 = 5"]
 */
export const stepTexts = (
  tokenizer: Tokenizer,
  ids: readonly number[],
  ends: readonly number[],
): string[] => {
  const text = new TokenText(tokenizer);
  return spansOf(ends).map(({ start, end }, step) => {
    const pieces = ids.slice(start, end).map((id) => text.push(id));
    return pieces.join("") + (step === ends.length - 1 ? text.end() : "");
  });
};
