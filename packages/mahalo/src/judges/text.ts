/** Text as judges read it: sentences, and whether one is a question. */

/**
 * The sentences of a text, trimmed, with their end marks. A line end also ends a sentence; a point inside a number
 * does not.
 *
 * @example sentences("That is 2.5 kg. Why?") // ["That is 2.5 kg.", "Why?"]
 */
export const sentences = (text: string): string[] =>
  text
    .split(/(?<=[.!?]["')\]]*)\s+|\n+/u)
    .map((sentence) => sentence.trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));

/** Whether a sentence ends with a question mark, closing quotes and brackets aside. */
export const isQuestion = (sentence: string): boolean => /\?["')\]]*$/.test(sentence);

/** A text for comparison: lower case, letters and digits only, single spaces. */
export const plain = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
    .trim();
