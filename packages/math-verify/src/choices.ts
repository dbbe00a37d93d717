/** Answers of multiple choice: `C`, `(C)`, `C: 12`, `\textbf{(C)}\ 12`, `option C`. */

/** The letter of a choice, and what stands behind it. */
type Choice = { letter: string; rest: string };

const marked =
  /^(?:(?:option|choice|answer)\s+)?(?:\(([A-Ja-j])\)|\[([A-J])\]|([A-J])\s*[).:](?!\w))\s*([\s\S]*)$/i;
const bare = /^(?:(?:option|choice|answer)\s+)?\(?([A-Ja-j])\)?[.)]?$/i;

/** A text as it is read, commands for faces and spaces off. */
const shown = (text: string): string =>
  text
    .replaceAll(/\\(?:text\w*|mathrm|mathbf|mbox)\s*\{([^{}]*)\}/g, " $1 ")
    .replaceAll(/\\(?:quad|qquad)\b|\\[ ,;:!]|[~$]/g, " ")
    .trim();

const readChoice = (text: string): Choice | undefined => {
  const plain = shown(text);
  const alone = bare.exec(plain)?.[1];
  if (alone !== undefined) return { letter: alone.toUpperCase(), rest: "" };
  const [all, round, square, plainLetter, rest = ""] = marked.exec(plain) ?? [];
  const letter = round ?? square ?? plainLetter;
  if (all === undefined || letter === undefined) return undefined;
  // A small letter with a colon or a point behind it is a variable or an abbreviation.
  if (plainLetter !== undefined && plainLetter !== plainLetter.toUpperCase()) return undefined;
  return { letter: letter.toUpperCase(), rest: rest.trim() };
};

/**
 * Whether two answers name the same choice: by the letter where one says no more, else by letter and value; a value
 * without letter is compared with the value behind the other's letter.
 *
 * @param same compares what stands behind the letters
 */
export const sameChoice = (
  first: string,
  second: string,
  same: (a: string, b: string) => boolean,
): boolean => {
  const [a, b] = [readChoice(first), readChoice(second)];
  if (a !== undefined && b !== undefined)
    return a.letter === b.letter && (a.rest === "" || b.rest === "" || same(a.rest, b.rest));
  if (a !== undefined) return a.rest !== "" && same(a.rest, second);
  return b !== undefined && b.rest !== "" && same(first, b.rest);
};
