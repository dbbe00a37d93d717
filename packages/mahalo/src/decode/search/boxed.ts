/** Whether a text holds a whole boxed answer, which ends the response of a search. */

/** From a \boxed's opening brace to the closing one that belongs to it, of the part a text has. */
const closes = (text: string, start: number): boolean => {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const sign = text[at];
    // An escaped brace is a sign of the answer.
    if (sign === "\\") at += 1;
    else if (sign === "{") depth += 1;
    else if (sign === "}") {
      depth -= 1;
      if (depth === 0) return true;
    }
  }
  return false;
};

/** Whether a text holds `\boxed{...}` with all braces closed, however deep they are. */
export const hasBoxed = (text: string): boolean =>
  [...text.matchAll(/\\boxed\s*\{/g)].some((found) => closes(text, found.index + found[0].length - 1));
