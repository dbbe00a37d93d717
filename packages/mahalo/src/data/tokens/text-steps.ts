/** Ends of steps in a text that came without tokens, such as an endpoint's reply: the boundaries of `steps.ts`. */

import { boundaryFinder, type StepBoundary, spansOf } from "./step-boundary.ts";
import { TokenText } from "./token-text.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Line feeds together, a word with the white space before it, or white space before a line feed. */
const word = /\n+|[^\S\n]*\S+|[^\S\n]+/g;

/** The text of each token, as the tokenizer encodes the text; undefined where its tokens do not give the text back. */
const tokenPieces = (text: string, tokenizer: Tokenizer): string[] | undefined => {
  const tokens = new TokenText(tokenizer);
  const pieces = tokenizer.encode(text).map((id) => tokens.push(id));
  pieces.push(tokens.end());
  return pieces.join("") === text ? pieces : undefined;
};

/**
 * Ends of the steps of a whole text, as `stepEnds` finds them among tokens.
 *
 * @param tokenizer its tokens are what a sentence's minimum counts, and a separator that it merges with its neighbour ends
 *   the step with the merged token. Without one, words and runs of line feeds count as tokens.
 * @returns for every step the index behind its last UTF-16 unit; ascending, the last one is the text's length. None for
 *   the empty text.
 *
 * @example textStepEnds("2 + 2 = 4\n4 + 1 = 5", { by: "line" }) // [10, 19]
 */
export const textStepEnds = (text: string, boundary: StepBoundary, tokenizer?: Tokenizer): number[] => {
  if (text === "") return [];
  const pieces =
    (tokenizer === undefined ? undefined : tokenPieces(text, tokenizer)) ?? text.match(word) ?? [];
  const finder = boundaryFinder(boundary);
  const ends: number[] = [];
  let [offset, tokens] = [0, 0];
  for (const piece of pieces) {
    offset += piece.length;
    tokens += 1;
    if (!finder.read(piece, tokens)) continue;
    ends.push(offset);
    tokens = 0;
  }
  // White space behind the last step is part of it.
  if (finder.blank) ends.pop();
  ends.push(text.length);
  return ends;
};

/** A text cut at the ends that {@link textStepEnds} gives. */
export const cutText = (text: string, ends: readonly number[]): string[] =>
  spansOf(ends).map(({ start, end }) => text.slice(start, end));
