/** Numbers in words: `twelve`, `two hundred and five`, `three quarters`, `a dozen`; and the words that multiply a number. */
import { multiply, type Rational, rational, type Work, whole } from "./rational.ts";

const small = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
  "eighteen nineteen"
).split(" ");
const tens = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");

const cardinals: ReadonlyMap<string, bigint> = new Map([
  ...small.map((word, value): [string, bigint] => [word, BigInt(value)]),
  ...tens.map((word, index): [string, bigint] => [word, BigInt(20 + 10 * index)]),
]);

/** Words behind a number that multiply it: `2 million`, `3 dozen`. */
const scales: ReadonlyMap<string, bigint> = new Map([
  ["hundred", 100n],
  ["thousand", 1000n],
  ["million", 10n ** 6n],
  ["billion", 10n ** 9n],
  ["trillion", 10n ** 12n],
  ["quadrillion", 10n ** 15n],
  ["dozen", 12n],
]);

const ordinals: ReadonlyMap<string, bigint> = new Map(
  (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth " +
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
  )
    .split(" ")
    .map((word, index): [string, bigint] => [word, BigInt(index + 1)]),
);

/** Words for parts of a whole, in the singular; `second` is a unit of time. */
const parts: ReadonlyMap<string, bigint> = new Map([
  ...[...ordinals].filter(([, value]) => value > 2n),
  ["half", 2n],
  ["halve", 2n],
  ["quarter", 4n],
  ["hundredth", 100n],
  ["thousandth", 1000n],
]);

/** The factor that a word behind a number multiplies it by: 1,000,000 for `million`; undefined for any other word. */
export const scaleOf = (word: string): bigint | undefined => {
  const lower = word.toLowerCase();
  return scales.get(lower) ?? (lower.endsWith("s") ? scales.get(lower.slice(0, -1)) : undefined);
};

const partOf = (word: string): bigint | undefined =>
  parts.get(word) ?? (word.endsWith("s") ? parts.get(word.slice(0, -1)) : undefined);

/** Whether a word ends an ordinal written in digits: `3rd`. */
export const isOrdinalEnd = (word: string): boolean => /^(?:st|nd|rd|th)$/i.test(word);

const word = /[ -]*([A-Za-z]+)/y;

/** A word at a place, and where it ends. */
const wordAt = (text: string, start: number): { lower: string; end: number } | undefined => {
  word.lastIndex = start;
  const letters = word.exec(text)?.[1];
  return letters === undefined ? undefined : { lower: letters.toLowerCase(), end: word.lastIndex };
};

/** A number in words, and where the text goes on. */
export type WordNumber = { value: Rational; end: number };

/** `three quarters`, `two-thirds`: the part that a number of parts is; undefined where no part follows. */
const asParts = (text: string, { value, end }: WordNumber, work: Work): WordNumber | undefined => {
  const next = wordAt(text, end);
  const size = next === undefined ? undefined : partOf(next.lower);
  if (next === undefined || size === undefined) return undefined;
  const part = rational(1n, size, work);
  const product = part === undefined ? undefined : multiply(value, part, work);
  return product === undefined ? undefined : { value: product, end: next.end };
};

/**
 * The number that the words at a place say.
 *
 * An ordinal alone (`third`) is its number; behind a number it is a part (`two thirds`).
 *
 * @example readNumberWords("two hundred and five apples", 0, work) // { value: 205, end: 20 }
 */
export const readNumberWords = (text: string, start: number, work: Work): WordNumber | undefined => {
  const first = wordAt(text, start);
  if (first === undefined) return undefined;
  const ordinal = ordinals.get(first.lower);
  if (ordinal !== undefined) return { value: whole(ordinal), end: first.end };
  if (first.lower === "half") return { value: { n: 1n, d: 2n }, end: first.end };
  let [total, group] = [0n, 0n];
  let end = start;
  if (first.lower === "a" || first.lower === "an") {
    const next = wordAt(text, first.end);
    const counts =
      next !== undefined && (scaleOf(next.lower) !== undefined || partOf(next.lower) !== undefined);
    if (!counts) return undefined;
    group = 1n;
    end = first.end;
  } else if (!cardinals.has(first.lower)) return undefined;
  for (let next = wordAt(text, end); next !== undefined; next = wordAt(text, end)) {
    const joined = next.lower === "and" && total + group >= 100n ? wordAt(text, next.end) : next;
    if (joined === undefined) break;
    const cardinal = cardinals.get(joined.lower);
    const scale = joined === next ? scaleOf(joined.lower) : undefined;
    const room = group % 100n === 0n || (group % 10n === 0n && cardinal !== undefined && cardinal < 10n);
    if (cardinal !== undefined && (room || end === start)) group += cardinal;
    else if (scale !== undefined && scale < 1000n && group > 0n) group *= scale;
    else if (scale !== undefined && group > 0n) [total, group] = [total + group * scale, 0n];
    else break;
    end = joined.end;
  }
  const value = { value: whole(total + group), end };
  return asParts(text, value, work) ?? value;
};
