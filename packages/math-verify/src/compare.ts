/** Compares two answers by what they mean: sets, tuples, relations and quantities by their parts, the rest by value. */

import { sameChoice } from "./choices.ts";
import { evaluateExact } from "./evaluate.ts";
import { maxAnswer } from "./limits.ts";
import { element, zip } from "./need.ts";
import { parse } from "./parse.ts";
import { compound } from "./quantities.ts";
import { newWork, type Rational, sameRational, spend, whole } from "./rational.ts";
import { type Context, points, sameValue } from "./same-value.ts";
import { sameTime } from "./times.ts";
import { type CallNode, call, contains, type Node, type RelationOp, sameTree, variables } from "./tree.ts";
import { agree, readUnit, sameDimensions } from "./units.ts";

/** Options of {@link sameAnswer}. */
export type CompareOptions = {
  /** Largest difference between equal numbers if one is written as a decimal; relative for numbers below 1. Default 1e-6. */
  tolerance?: number;
  /** Seed of the points at which algebra is compared. Default 0. */
  seed?: number;
};

/** A chain without what is only about equal: `x = \\sqrt{2}` of `x = \\sqrt{2} ≈ 1.41`. */
const exactPart = (node: Node): Node => {
  if (node.kind !== "relation" || node.exactSides === undefined) return node;
  const sides = node.sides.slice(0, node.exactSides);
  const [only] = sides;
  if (sides.length === 1 && only !== undefined) return isLone(only) ? node : only;
  return { kind: "relation", ops: node.ops.slice(0, sides.length - 1), sides };
};

/** Both values of a plus-minus; any other node by itself. */
const bothSigns = (node: Node): Node[] =>
  node.kind === "call" && (node.name === "±" || node.name === "∓")
    ? [call("+", ...node.args), call("-", ...node.args)]
    : [node];

/** A plus-minus as a list of its values, alone or in a set or list. */
const spread = (node: Node): Node => {
  if (node.kind === "group" && node.shape !== "tuple")
    return { ...node, items: node.items.flatMap(bothSigns) };
  const items = bothSigns(node);
  return items.length === 1 ? node : { kind: "group", shape: "list", open: "", close: "", items };
};

/** Whether a side is a letter that an equation gives a value, or a function of letters: `x`, `f(x, y)`. */
const isLone = (node: Node): boolean => {
  if (node.kind === "variable") return true;
  if (node.kind !== "call" || node.name !== "*") return false;
  const [name, argument] = node.args;
  const letters = argument?.kind === "group" ? argument.items : [argument];
  return (
    name?.kind === "variable" &&
    /^[fghpqFGHPQ]/.test(name.name) &&
    letters.every((letter) => letter?.kind === "variable")
  );
};

/** Whether a side names a length or a part of a figure: `AB`, `ABC`. */
const isFigure = (node: Node): boolean =>
  node.kind === "variable" ? /^[A-Z]$/.test(node.name) : isProduct(node) && node.args.every(isFigure);

const isProduct = (node: Node): node is CallNode => node.kind === "call" && node.name === "*";

/**
 * What an equation of a lone letter, or of numbers alone, says: its value, the last side of a longer chain. `x = 5` says
 * 5, and so does `2 + 3 = 5`.
 */
const stated = (node: Node): Node => {
  if (node.kind !== "relation") return node;
  const [left, right] = node.sides;
  const last = node.sides.at(-1);
  if (left === undefined || last === undefined || right === undefined) return node;
  if (!isLone(left) && !isFigure(left) && variables(node).size > 0) return node;
  return node.ops.every((op) => op === "=") || (node.ops.length === 1 && node.ops[0] === "∈") ? last : node;
};

const unordered = (a: readonly Node[], b: readonly Node[], context: Context): boolean => {
  if (a.length !== b.length || a.length > 200) return false;
  const free = new Set(b);
  return a.every((item) => {
    for (const other of free) {
      if (!same(item, other, context)) continue;
      free.delete(other);
      return true;
    }
    return false;
  });
};

/** Whether two sets have the same members, however often each is named. */
const sameMembers = (a: readonly Node[], b: readonly Node[], context: Context): boolean => {
  if (a.length > 200 || b.length > 200) return false;
  const within = (some: readonly Node[], all: readonly Node[]): boolean =>
    some.every((item) => all.some((other) => same(item, other, context)));
  return within(a, b) && within(b, a);
};

const ordered = (a: readonly Node[], b: readonly Node[], context: Context): boolean =>
  a.length === b.length && zip(a, b).every(([item, other]) => same(item, other, context));

const turned: Readonly<Record<RelationOp, RelationOp>> = {
  "=": "=",
  "≠": "≠",
  "<": ">",
  ">": "<",
  "≤": "≥",
  "≥": "≤",
  "∈": "∈",
};

/** The numbers that an inequality allows its letter: `0 ≤ x < 1` is `[0, 1)`, `x > 3` is `(3, ∞)`. */
const interval = ({ ops, sides }: Node & { kind: "relation" }): Node | undefined => {
  const [first, second, third] = sides;
  const [op, next] = ops;
  if (first === undefined || second === undefined || op === undefined || ops.length > 2) return undefined;
  if (!ops.every((op) => "<≤".includes(op))) {
    const turnedOps = ops.map((op) => turned[op]).toReversed();
    if (!ops.every((op) => ">≥".includes(op))) return undefined;
    return interval({ kind: "relation", ops: turnedOps, sides: sides.toReversed() });
  }
  const infinity: Node = { kind: "constant", name: "infinity" };
  const letter = third !== undefined || first.kind !== "variable" ? second : first;
  const low = letter === first ? call("neg", infinity) : first;
  const high = third ?? (letter === first ? second : infinity);
  if (letter.kind !== "variable" || variables(low).size + variables(high).size > 0) return undefined;
  const open = low === first && op === "≤" ? "[" : "(";
  const close = high !== infinity && (next ?? op) === "≤" ? "]" : ")";
  return { kind: "group", shape: "tuple", open, close, items: [low, high] };
};

const sameRelation = (
  a: Node & { kind: "relation" },
  b: Node & { kind: "relation" },
  context: Context,
): boolean => {
  if (a.ops.length !== b.ops.length) return false;
  const flipped = { ops: b.ops.map((op) => turned[op]).toReversed(), sides: b.sides.toReversed() };
  if ([b, flipped].some(({ ops, sides }) => ops.join() === a.ops.join() && ordered(a.sides, sides, context)))
    return true;
  const [[l, r], [m, n]] = [a.sides, b.sides];
  const [op, other] = [a.ops[0], b.ops[0]];
  if (a.ops.length !== 1 || op === undefined || other === undefined || op === "∈" || !l || !r || !m || !n)
    return false;
  // Two relations are one where the differences of their sides have a constant ratio.
  const names = [...new Set([...variables(a), ...variables(b)])].sort();
  if (names.length === 0) return false;
  const [d, e] = [call("-", l, r), call("-", m, n)];
  const first = element(points(names, context.seed), 0);
  const [p, q] = [evaluateExact(d, first, context.work), evaluateExact(e, first, context.work)];
  if (p === undefined || q === undefined || p.n === 0n || q.n === 0n) return false;
  const number = (value: Rational): Node => ({ kind: "number", value });
  const alike = p.n < 0n === q.n < 0n;
  const symmetric = op === "=" || op === "≠";
  if (op !== (alike || symmetric ? other : turned[other])) return false;
  return sameValue(call("*", d, number(q)), call("*", e, number(p)), context);
};

/** Whether one is a number in a base and the other its digits with the base left out: `1010_2` and `1010`. */
const sameDigits = (a: Node, b: Node): boolean => {
  if (a.kind !== "number" || b.kind !== "number" || (a.base === undefined) === (b.base === undefined))
    return false;
  const [based, plain] = a.base === undefined ? [b, a] : [a, b];
  return based.base !== undefined && sameRational(based.base.plain, plain.value);
};

const isNumber = (node: Node): boolean =>
  node.kind === "number" || (node.kind === "constant" && node.name === "pi");

/** Whether words behind a value, such as "apples", are its unit and decide nothing; behind mere letters they are text. */
const isAmount = ({ value }: Node & { kind: "quantity" }): boolean => contains(value, isNumber);

const sameQuantity = (
  a: Node & { kind: "quantity" },
  b: Node & { kind: "quantity" },
  context: Context,
): boolean => {
  if (a.unit === b.unit) return same(a.value, b.value, context);
  const [u, v] = [readUnit(a.unit, context.work), readUnit(b.unit, context.work)];
  if (u === undefined || v === undefined)
    return isAmount(a) && isAmount(b) && agree(a.unit, b.unit) && same(a.value, b.value, context);
  if (!sameDimensions(u, v)) return false;
  const scaled = (node: Node, factor: Rational): Node => call("*", node, { kind: "number", value: factor });
  return same(scaled(a.value, u.factor), scaled(b.value, v.factor), context);
};

/** What a list such as `1 hour and 30 minutes` comes to beside one amount; any other node as it is. */
const total = (node: Node, { work }: Context): Node => {
  if (node.kind !== "group" || node.shape !== "list" || node.items.length > 5) return node;
  const [first, ...rest] = node.items;
  let sum = first;
  for (const item of rest) sum = sum === undefined ? undefined : compound(sum, item, work);
  return sum ?? node;
};

const same = (first: Node, second: Node, context: Context): boolean => {
  if (!spend(context.work, 2)) return false;
  const [x, y] = [exactPart(first), exactPart(second)];
  if ((x !== first || y !== second) && same(x, y, context)) return true;
  let [a, b] = [spread(first), spread(second)];
  if (a.kind === "relation" && b.kind === "relation") {
    if (sameRelation(a, b, context)) return true;
    const [left, right] = [a.sides[0], b.sides[0]];
    // Values of two different letters are two different facts.
    if (
      left?.kind === "variable" &&
      right?.kind === "variable" &&
      left.name.toLowerCase() !== right.name.toLowerCase()
    )
      return false;
  }
  [a, b] = [spread(stated(a)), spread(stated(b))];
  if (b.kind === "group" && a.kind === "relation") a = interval(a) ?? a;
  else if (a.kind === "group" && b.kind === "relation") b = interval(b) ?? b;
  [a, b] = [b.kind === "quantity" ? total(a, context) : a, a.kind === "quantity" ? total(b, context) : b];
  if (a.kind === "quantity" && b.kind === "quantity") return sameQuantity(a, b, context);
  if (a.kind === "quantity" || b.kind === "quantity") {
    const [quantity, plain] = a.kind === "quantity" ? [a, b] : [b, a];
    if (quantity.kind !== "quantity") return false;
    if (!isAmount(quantity) && readUnit(quantity.unit, context.work) === undefined) return false;
    const per: Node = call("/", quantity.value, { kind: "number", value: whole(100) });
    return (
      same(quantity.value, plain, context) ||
      (quantity.unit === "%" && same(per, plain, context)) ||
      (quantity.unit === "°" && sameValue(quantity, plain, context))
    );
  }
  if (a.kind === "group" && b.kind === "group") {
    if (a.shape === "tuple" && b.shape === "tuple")
      return a.open === b.open && a.close === b.close && ordered(a.items, b.items, context);
    if (a.shape === "tuple" || b.shape === "tuple") return ordered(a.items, b.items, context);
    const alike = a.shape === "set" || b.shape === "set" ? sameMembers : unordered;
    return alike(a.items, b.items, context);
  }
  if (a.kind === "group" || b.kind === "group") {
    const [group, other] = a.kind === "group" ? [a, b] : [b, a];
    const [only] = group.kind === "group" && group.items.length === 1 ? group.items : [];
    return only !== undefined && same(only, other, context);
  }
  if (a.kind === "matrix" && b.kind === "matrix") {
    if (a.rows.length !== b.rows.length) return false;
    return zip(a.rows, b.rows).every(([row, other]) => ordered(row, other, context));
  }
  if (a.kind === "call" && b.kind === "call" && a.name === b.name && "∪∩∖".includes(a.name))
    return a.name === "∖" ? ordered(a.args, b.args, context) : unordered(a.args, b.args, context);
  if (sameTree(a, b) || sameDigits(a, b)) return true;
  return sameValue(a, b, context);
};

const plainWhole = /^[-+]?\d{1,15}$/;

/** Words that mean the same as others, and that there is nothing. */
const synonyms: Readonly<Record<string, string>> = {
  true: "yes",
  false: "no",
  dne: "doesnotexist",
};
const nothing =
  /^(?:thereisno|thereareno|no|hasno)?(?:real|integer|positive|such)?(?:solutions?|roots?|solutionsexist|solutionexists)$/;

/** A text of letters alone for comparison letter by letter; undefined for one with signs or commands. */
const letters = (text: string): string | undefined => {
  const plain = text.replaceAll(/\\text[a-z]*\s*\{([^{}]*)\}/g, "$1");
  if (!/^[\p{L}\s$().,"'’]+$/u.test(plain)) return undefined;
  const bare = plain.toLowerCase().replaceAll(/[\s$().,"'’]/g, "");
  return synonyms[bare] ?? bare;
};

/** Whether a text says that there is no solution. */
const saysNothing = (text: string): boolean => {
  const word = letters(text);
  return (
    word !== undefined &&
    (word === "emptyset" ||
      word === "none" ||
      word === "theemptyset" ||
      (word.includes("no") && nothing.test(word)))
  );
};

/** A text that is no mathematics, without what does not show: case, spaces beside signs, dollars and braces. */
const spelled = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/\\text\w*|[{}$]/g, "")
    .replaceAll(/\s+/g, " ")
    .replaceAll(/ ?([^\w ]) ?/g, "$1")
    .trim();

/** Outer dollar signs, mathematics brackets and marks of bold type off; boxes are opened by the parser. */
const cleaned = (text: string): string => {
  const inner = (
    text.includes("color") ? text.replaceAll(/\\(?:text)?color\s*\{[^{}]*\}|\\color\s+?\w+/g, "") : text
  )
    .trim()
    .replace(/^(\*{1,3}|`+)([^*`]+)\1$/, "$2")
    .trim();
  const bare = /^\$[^$]+\$$/.test(inner) ? inner.slice(1, -1).trim() : inner;
  // "2.5 x 10^4": the letter is a sign there.
  return bare.replace(/(\d)\s*[xX]\s*10(?=\s*\^|[⁻⁰¹²³⁴⁵⁶⁷⁸⁹])/, "$1*10");
};

/** A number with a comma before its decimals, where the other has a point: `3,14` beside `3.14`. */
const withPoint = (text: string, other: string): string => {
  if (!other.includes(".") || other.includes(",")) return text;
  if (/^[-+−]?\d{1,3}(?:\.\d{3})+,\d+(?!\d*[,.]\d)/.test(text))
    return text.replace(/^[^,]*/, (whole) => whole.replaceAll(".", "")).replace(",", ".");
  return /^[-+−]?(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+)(?![\d,.])/.test(text) ? text.replace(",", ".") : text;
};

/** Whether one is a number with a thousands mark alone and the other a pair in brackets: `1,234` is not `(1,234)`. */
const numberAndPair = (a: string, b: string): boolean => {
  const [text, other] = a.length < b.length ? [a, b] : [b, a];
  return /^[-+]?\d{1,3}(?:,\d{3})+$/.test(text) && /^(?:\\left)?[([]/.test(other);
};

/**
 * Whether two answers mean the same. Never runs code; each comparison has a fixed amount of work, and what would need
 * more counts as unequal unless written alike.
 *
 * @example sameAnswer("\\frac{1}{2}", "0.5") // true
 */
export const sameAnswer = (first: string, second: string, options: CompareOptions = {}): boolean => {
  const { tolerance = 1e-6, seed = 0 } = options;
  if (first === second) return true;
  if (first.length > maxAnswer || second.length > maxAnswer) return false;
  if (plainWhole.test(first) && plainWhole.test(second)) return Number(first) === Number(second);
  const plain = [cleaned(first), cleaned(second)] as const;
  const [a, b] = [withPoint(plain[0], plain[1]), withPoint(plain[1], plain[0])];
  if (a === b) return true;
  const time = sameTime(a, b);
  if (time !== undefined) return time;
  const context: Context = { work: newWork(), tolerance, seed };
  return sameReading(a, b, context) || sameChoice(a, b, (x, y) => sameReading(x, y, context));
};

/** Whether two texts say the same under any of the ways to read them. */
const sameReading = (first: string, second: string, context: Context): boolean => {
  const word = letters(first);
  if (word !== undefined && word !== "" && word === letters(second)) return true;
  const [a, b] = [first, second].map((text) => (saysNothing(text) ? "\\emptyset" : text)) as [string, string];
  for (const commas of numberAndPair(a, b) ? [true] : [true, false]) {
    const reading = { commas, bareUnits: true };
    const [left, right] = [parse(a, reading, context.work), parse(b, reading, context.work)];
    if (left === undefined && right === undefined && spelled(a) !== "" && spelled(a) === spelled(b))
      return true;
    if (left !== undefined && right !== undefined && same(left.node, right.node, context)) return true;
    const ambiguous = [left, right].some((parsed) => parsed === undefined || parsed.scan.commas);
    if (context.work.left < 0 || !ambiguous) break;
  }
  const reading = { commas: true, bareUnits: false };
  const [left, right] = [parse(a, reading, context.work), parse(b, reading, context.work)];
  return left !== undefined && right !== undefined && same(left.node, right.node, context);
};
