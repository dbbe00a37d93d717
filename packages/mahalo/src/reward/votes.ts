/** Votes of answers: those that mean the same vote alike. */
import { sameAnswer } from "./math/compare.ts";
import { extractAnswer } from "./math/extract.ts";

/**
 * Numbers the final answers of replies so that those that mean the same have the same number; undefined for a reply that
 * states none.
 *
 * @example votesOf(["The answer is 1/2.", "0.5", "I do not know."]) // [0, 0, undefined]
 */
export const votesOf = (texts: readonly string[]): (number | undefined)[] => {
  const classes: string[] = [];
  return texts.map((text) => {
    const answer = extractAnswer(text)?.text;
    if (answer === undefined) return undefined;
    const known = classes.findIndex((other) => sameAnswer(other, answer));
    return known >= 0 ? known : classes.push(answer) - 1;
  });
};
