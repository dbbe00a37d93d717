/** Which "!" of a reply are factorials, and not the end of a sentence: they are marked, so that no sentence ends there. */
import { boxes } from "./boxed.ts";
import { isMathematics } from "./strip.ts";

/** What stands for the sign of a factorial until the answer is found; a character for private use. */
export const factorialMark = "\ue000";

/** Behind a digit, a letter or a closing bracket, but not behind words: `5!`, `n!`, `(n-1)!`, `5!!`; not `Yes!`. */
const inMathematics =
  /(?<=[\p{L}\d)\]}|]\s{0,3}!?)(?<!(?<![\\\p{L}])(?:\p{L}{3,}|[Nn]o)\s{0,3}!?)(?<!\\(?:text\w{0,9}|mbox)\s?\{[^{}]{0,80}\}\s{0,3})!(?:(?!=)|(?<=\d!))/gu;

/** As in mathematics, but where words follow the sentence ends: `5! Great`. */
const inValue = new RegExp(`${inMathematics.source}(?!\\s+\\p{L}{2})`, "gu");

/** In running text only where a sign follows with which no sentence goes on: `5! = 120`, `5! + 3`, `5!.`. */
const inProse =
  /(?<=[\d)}]|(?<!\p{L})\p{L})!(?=[ \t]*(?:[+/^×÷·≈]|\\(?:cdot|times|div|approx)(?![a-z])|[-−*][ \t]*[\d\\])|[ \t]+=|[.,;](?!\.))|(?<=\d)!(?==)/gu;

const displayed = [
  /\$\$[^$]+\$\$/g,
  /\\\[[^\\]*(?:\\[^[\]][^\\]*)*\\\]/g,
  /\\\([^\\]*(?:\\[^()][^\\]*)*\\\)/g,
];

const marked = (text: string, where: RegExp): string => text.replaceAll(where, factorialMark);

/** A text with each factorial marked that stands in a box, in mathematics, or before a sign of mathematics. */
export const withFactorials = (text: string): string => {
  if (!text.includes("!")) return text;
  let [digits, end] = ["", 0];
  for (const box of boxes(text)) {
    digits += text.slice(end, box.start) + marked(text.slice(box.start, box.end), inMathematics);
    end = box.end;
  }
  digits += text.slice(end);
  for (const mathematics of displayed)
    digits = digits.replaceAll(mathematics, (whole) => marked(whole, inMathematics));
  digits = digits.replaceAll(/(?<!\\)\$((?:[^$\\]|\\.)+)\$(?!\d)/g, (whole, inside: string) =>
    isMathematics(inside) ? marked(whole, inMathematics) : whole,
  );
  return marked(digits, inProse);
};

/** A value by itself, with no sentence around it, and its factorials marked. */
export const valueWithFactorials = (text: string): string => marked(text, inValue);

/** A text with factorials as they were written. */
export const asWritten = (text: string): string => text.replaceAll(factorialMark, "!");
