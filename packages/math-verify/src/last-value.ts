/** The last value of running text: a number with all that belongs to it, or the mathematics that it stands in. */

import { factorialMark } from "./factorials.ts";
import { maxAnswer } from "./limits.ts";
import { need } from "./need.ts";
import { bareMathematics } from "./strip.ts";

const digits = String.raw`(?:\d[\d,]*(?:\.\d+)?|\.\d+)`;
const braces = String.raw`\{(?:[^{}]|\{[^{}]*\})*\}`;
const vulgar = "[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]";
const value = [
  // \frac{3}{4}, 7\frac12, 2\sqrt{3}, \sqrt[3]{5}
  String.raw`(?:\d+\s?)?\\[dtc]?frac\s*(?:${braces}\s*${braces}|\d\d)`,
  String.raw`\d*\s?\\sqrt(?:\[\d+\])?\s*(?:${braces}|\d)`,
  // 1.5 \times 10^3, 1.5×10³
  String.raw`${digits}\s*(?:\\times|\\cdot|[×xX*·])\s*10\s*(?:\^\s*(?:\{\s*[-−+]?\d+\s*\}|[-−+]?\d+)|[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)`,
  // 7 1/2, 7½, 3:30 pm
  String.raw`\d+\s\d+\s?\/\s?\d+`,
  String.raw`\d*\s?${vulgar}`,
  String.raw`\d{1,2}:\d\d(?::\d\d)?(?:\s?[ap]\.?m\b\.?)?`,
  String.raw`${digits}(?:[eE][-+]?\d{1,4}(?![\w.]))?${factorialMark}?(?:\s?\/\s?\d+${factorialMark}?(?!\w)|\s?\\?%|_\{?\d+\}?)?(?:\s?(?:\\pi\b|π))?(?:\s(?:hundred|thousand|million|billion|trillion|dozen)\b)*(?:\s?[ap]\.?m\b\.?)?`,
];
const number = new RegExp(
  String.raw`(?:(?<![\w)\]%}])[-−]\s?)?(?:\\?[$€£¥₹]\s?)?(?:${value.join("|")})`,
  "gu",
);

const denied =
  /(?:n['’]t think (?:that )?(?:it|this|that) (?:is|was)|\bnot|n['’]t|\bnever|\binstead of|\brather than)\s+(?:be\s+|equal to\s+|really\s+)?\\?\$?$/i;

const mathematics =
  /\$\$([^$]+)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|(?<!\\)\$((?:[^$\\]|\\.)+)\$(?!\d)/g;

/** The mathematics whose brackets a place lies between, without them; undefined for running text. */
const mathematicsAt = (text: string, place: number): string | undefined => {
  for (const match of text.matchAll(mathematics)) {
    if (match.index > place) return undefined;
    if (match.index + match[0].length <= place) continue;
    const inside = need(match[1] ?? match[2] ?? match[3] ?? match[4], "mathematics");
    return match[4] === undefined || bareMathematics(match[0]) === inside ? inside.trim() : undefined;
  }
  return undefined;
};

/** What a piece of mathematics comes to: what follows its last sign of equality. */
const result = (text: string): string =>
  text
    .split(/(?<![<>!:\\])=|\\approx|≈/)
    .at(-1)
    ?.replace(/[.,;:!\s]+$/, "")
    .trim() ?? text;

/**
 * The last value of a text that is not denied ("not 12", "instead of 12").
 *
 * @example lastValue("He has 3 boxes of 4.5 kg.") // "4.5"
 */
export const lastValue = (text: string): string | undefined => {
  const end = text.length > maxAnswer ? text.slice(-maxAnswer) : text;
  const last = [...end.matchAll(number)]
    .reverse()
    .find(({ index }) => !denied.test(end.slice(Math.max(0, index - 40), index)));
  if (last === undefined) return undefined;
  const plain = last[0].replace(/,$/, "").trim();
  if (!/[$\\]/.test(end)) return plain;
  const within = result(mathematicsAt(end, last.index + last[0].length - 1) ?? plain);
  return within === "" ? plain : within;
};
