/** Numbers with what stands around them: units, words that multiply, bases, and numbers in words. */
import { isOrdinalEnd, readNumberWords, scaleOf } from "./number-words.ts";
import { multiply, type Rational, type Work, whole } from "./rational.ts";
import type { Token } from "./scan.ts";
import { currencySigns } from "./symbols.ts";
import { call, type Node, type NumberNode } from "./tree.ts";
import { readUnit, sameDimensions } from "./units.ts";

/** Whether a node is a whole number, written without a point. */
export const isWhole = (node: Node | undefined): node is NumberNode =>
  node?.kind === "number" && node.value.d === 1n && node.digits === undefined;

/** An operation with a unit on one of its parts, which belongs to the whole: `1/2 cm`, `120\pi cm^3`, `-5 m`. */
export const measured = (name: "*" | "/" | "neg", ...args: readonly Node[]): Node => {
  const [quantity, another] = args.filter((part) => part.kind === "quantity");
  if (quantity === undefined || another !== undefined || quantity.unit === "%") return call(name, ...args);
  return {
    ...quantity,
    value: call(name, ...args.map((part) => (part === quantity ? quantity.value : part))),
  };
};

const scaled = (node: Node, scale: bigint, work: Work): Node | undefined => {
  if (node.kind === "quantity") {
    const value = scaled(node.value, scale, work);
    return value === undefined ? undefined : { ...node, value };
  }
  if (node.kind !== "number") return call("*", node, { kind: "number", value: whole(scale) });
  const value = multiply(node.value, whole(scale), work);
  return value === undefined ? undefined : { ...node, value };
};

const coins = /^(?:dollar|buck|usd|euro|pound|rupee|yen)/i;

/** The first of words; empty where there is none. */
const firstOf = ([first = ""]: readonly string[]): string => first;

/**
 * A value with the words behind it: those that multiply it (`2 million`, `3 dozen`) do, the others are its unit.
 *
 * @returns undefined for a number that gets too long
 */
export const withUnit = (value: Node, words: readonly string[], work: Work): Node | undefined => {
  let amount = value;
  let unit = isOrdinalEnd(firstOf(words)) ? words.slice(1) : words;
  for (let scale = scaleOf(firstOf(unit)); scale !== undefined; scale = scaleOf(firstOf(unit))) {
    const larger = scaled(amount, scale, work);
    if (larger === undefined) return undefined;
    amount = larger;
    unit = unit.slice(1);
  }
  if (amount.kind !== "quantity")
    return unit.length === 0 ? amount : { kind: "quantity", value: amount, unit: unit.join(" ") };
  // "50% of the students", "$5 dollars": the sign has said what is measured.
  if (amount.unit === "%") return amount;
  if (currencySigns.has(amount.unit) && coins.test(firstOf(unit))) unit = unit.slice(1);
  return unit.length === 0 ? amount : { ...amount, unit: [amount.unit, ...unit].join(" ") };
};

const isBelow = (a: Rational, b: Rational): boolean => a.n * b.d < b.n * a.d;

/**
 * An amount in one unit and the rest of it in a smaller one, in the smaller: `1 hour 30 minutes` are 90 minutes.
 *
 * @returns undefined where the second is not less than one unit of the first
 */
export const compound = (first: Node, second: Node, work: Work): Node | undefined => {
  if (first.kind !== "quantity" || second.kind !== "quantity" || second.value.kind !== "number")
    return undefined;
  if (!isWhole(first.value) && !(first.value.kind === "call" && first.value.name === "+")) return undefined;
  const [large, small] = [readUnit(first.unit, work), readUnit(second.unit, work)];
  if (large === undefined || small === undefined || !sameDimensions(large, small)) return undefined;
  const rest = multiply(second.value.value, small.factor, work);
  if (rest === undefined || !isBelow(rest, large.factor)) return undefined;
  const ratio: Rational = { n: large.factor.n * small.factor.d, d: large.factor.d * small.factor.n };
  const all = call("*", first.value, { kind: "number", value: ratio });
  return { ...second, value: call("+", all, second.value) };
};

/** Digits in a base from 2 to 36; undefined where the base is none. */
export const inBase = (node: NumberNode, digits: string, base: Node): Node | undefined => {
  if (!isWhole(base) || base.value.n < 2n || base.value.n > 36n || digits.length > 200) return undefined;
  const size = base.value.n;
  let value = 0n;
  for (const digit of digits) value = value * size + BigInt(Number.parseInt(digit, 36) || 0);
  return { ...node, value: whole(value), base: { base: Number(size), plain: node.value } };
};

/** The number in words that begins at a token, and the place behind it; undefined where there is none. */
export const wordNumber = (
  tokens: readonly Token[],
  first: number,
  work: Work,
): { node: NumberNode; end: number } | undefined => {
  let text = "";
  const ends: number[] = [];
  for (const [index, token] of tokens.slice(first, first + 20).entries()) {
    if (token.type !== "word" && index > 0 && token.text !== "and") break;
    text += `${text === "" ? "" : " "}${token.text}`;
    ends.push(text.length);
  }
  const number = readNumberWords(text, 0, work);
  const last = number === undefined ? -1 : ends.indexOf(number.end);
  return number === undefined || last < 0
    ? undefined
    : { node: { kind: "number", value: number.value }, end: first + last + 1 };
};
