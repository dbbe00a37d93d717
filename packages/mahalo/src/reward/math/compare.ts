/** Compares two answers by what they mean: exactly where both are rational, else at seeded random points. */
import { stream } from "../../core/random.ts";
import { evaluateExact, evaluateNumeric, type Point } from "./evaluate.ts";
import { maxAnswer } from "./extract.ts";
import { parse } from "./parse.ts";
import { newWork, type Rational, sameRational, spend, toDouble, type Work, whole } from "./rational.ts";
import { call, type Node, type RelationOp, sameTree, variables } from "./tree.ts";
import { readUnit, sameDimensions } from "./units.ts";

/** Options of {@link sameAnswer}. */
export type CompareOptions = {
  /** Largest difference of numbers of which one is written as a decimal; relative for numbers below 1. Default 1e-6. */
  tolerance?: number;
  /** Seed of the points at which algebra is compared. Default 0. */
  seed?: number;
};

type Context = { work: Work; tolerance: number; seed: number };

const zero: Point = new Map();
const hasDecimal = (node: Node): boolean =>
  node.kind === "number" ? node.digits !== undefined : node.kind === "call" && node.args.some(hasDecimal);

const points = (names: readonly string[], seed: number): Point[] => {
  if (names.length === 0) return [zero];
  return [0, 1, 2].map((at) => {
    const random = stream(seed, "math", String(at));
    return new Map(
      names.map((name): [string, Rational] => {
        const n = BigInt(2 + Math.floor(random.next() * 40)) * (random.next() < 0.4 ? -1n : 1n);
        return [name, { n: n * 17n + 1n, d: 119n }];
      }),
    );
  });
};

const near = (a: number, b: number, tolerance: number): boolean =>
  a === b || Math.abs(a - b) <= Math.max(tolerance * Math.min(1, Math.abs(b)), 1e-10 * Math.abs(b));

const sameValue = (a: Node, b: Node, { work, tolerance, seed }: Context): boolean => {
  const names = [...new Set([...variables(a), ...variables(b)])].sort();
  if (names.length > 20) return false;
  const loose = hasDecimal(a) || hasDecimal(b) ? tolerance : 0;
  let compared = 0;
  for (const point of points(names, seed)) {
    const [x, y] = [evaluateExact(a, point, work), evaluateExact(b, point, work)];
    if (x !== undefined && y !== undefined) {
      if (!sameRational(x, y) && !(loose > 0 && near(toDouble(x), toDouble(y), loose))) return false;
      compared++;
      continue;
    }
    const [p, q] = [evaluateNumeric(a, point, work), evaluateNumeric(b, point, work)];
    if (p === undefined || q === undefined || work.left < 0) return false;
    if ([...p, ...q].some(Number.isNaN)) continue;
    const size = Math.max(Math.hypot(...p), Math.hypot(...q), 1e-300);
    if (!Number.isFinite(size)) {
      if (p[0] !== q[0] || p[1] !== q[1]) return false;
    } else if (Math.hypot(p[0] - q[0], p[1] - q[1]) > Math.max(1e-10 * size, loose * Math.min(1, size)))
      return false;
    compared++;
  }
  return compared > 0;
};

/** Both values of a plus-minus, as a list. */
const spread = (node: Node): Node => {
  if (node.kind !== "call" || (node.name !== "±" && node.name !== "∓")) return node;
  const items = [call("+", ...node.args), call("-", ...node.args)];
  return { kind: "group", shape: "list", open: "", close: "", items };
};

/** What an equation of a lone variable says: its value; the last side of a longer chain. */
const stated = (node: Node): Node => {
  if (node.kind !== "relation") return node;
  const [left, right] = node.sides;
  const last = node.sides.at(-1);
  const lone =
    left?.kind === "variable" ||
    (left?.kind === "call" && left.args.every(({ kind }) => kind === "variable"));
  if (last === undefined || right === undefined || !lone) return node;
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

const ordered = (a: readonly Node[], b: readonly Node[], context: Context): boolean =>
  a.length === b.length && a.every((item, at) => same(item, b[at] ?? item, context));

const turned: Readonly<Record<RelationOp, RelationOp>> = {
  "=": "=",
  "≠": "≠",
  "<": ">",
  ">": "<",
  "≤": "≥",
  "≥": "≤",
  "∈": "∈",
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
  const first = points(names, context.seed)[0] ?? zero;
  const [p, q] = [evaluateExact(d, first, context.work), evaluateExact(e, first, context.work)];
  if (p === undefined || q === undefined || p.n === 0n || q.n === 0n) return false;
  const number = (value: Rational): Node => ({ kind: "number", value });
  const alike = p.n < 0n === q.n < 0n;
  const symmetric = op === "=" || op === "≠";
  if (op !== (alike || symmetric ? other : turned[other])) return false;
  return sameValue(call("*", d, number(q)), call("*", e, number(p)), context);
};

const sameQuantity = (
  a: Node & { kind: "quantity" },
  b: Node & { kind: "quantity" },
  context: Context,
): boolean => {
  if (a.unit === b.unit) return same(a.value, b.value, context);
  const [u, v] = [readUnit(a.unit, context.work), readUnit(b.unit, context.work)];
  // Words of unknown size, such as "apples", decide nothing.
  if (u === undefined || v === undefined) return same(a.value, b.value, context);
  if (!sameDimensions(u, v)) return false;
  const scaled = (node: Node, factor: Rational): Node => call("*", node, { kind: "number", value: factor });
  return same(scaled(a.value, u.factor), scaled(b.value, v.factor), context);
};

const same = (first: Node, second: Node, context: Context): boolean => {
  if (!spend(context.work, 2)) return false;
  let [a, b] = [spread(first), spread(second)];
  if (a.kind === "relation" && b.kind === "relation" && sameRelation(a, b, context)) return true;
  [a, b] = [spread(stated(a)), spread(stated(b))];
  if (a.kind === "quantity" && b.kind === "quantity") return sameQuantity(a, b, context);
  if (a.kind === "quantity" || b.kind === "quantity") {
    const [quantity, plain] = a.kind === "quantity" ? [a, b] : [b, a];
    if (quantity.kind !== "quantity") return false;
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
    return a.shape === "tuple" || b.shape === "tuple"
      ? ordered(a.items, b.items, context)
      : unordered(a.items, b.items, context);
  }
  if (a.kind === "group" || b.kind === "group") {
    const [group, other] = a.kind === "group" ? [a, b] : [b, a];
    const [only] = group.kind === "group" && group.items.length === 1 ? group.items : [];
    return only !== undefined && same(only, other, context);
  }
  if (a.kind === "matrix" && b.kind === "matrix") {
    const rows = b.rows;
    return a.rows.length === rows.length && a.rows.every((row, at) => ordered(row, rows[at] ?? [], context));
  }
  if (a.kind === "call" && b.kind === "call" && a.name === b.name && "∪∩∖".includes(a.name))
    return a.name === "∖" ? ordered(a.args, b.args, context) : unordered(a.args, b.args, context);
  if (sameTree(a, b)) return true;
  return sameValue(a, b, context);
};

const plainWhole = /^[-+]?\d{1,15}$/;

/** A text for comparison letter by letter. */
const letters = (text: string): string => text.toLowerCase().replaceAll(/\\text\w*|[\s{}$\\()."']/g, "");

/** Outer dollar signs and mathematics brackets off, boxes opened by the parser. */
const cleaned = (text: string): string => {
  const inner = text.trim();
  return /^\$[^$]+\$$/.test(inner) ? inner.slice(1, -1).trim() : inner;
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
  const [a, b] = [cleaned(first), cleaned(second)];
  if (a === b || (letters(a) !== "" && !/\d/.test(a) && letters(a) === letters(b))) return true;
  const context: Context = { work: newWork(), tolerance, seed };
  for (const commas of [true, false]) {
    const reading = { commas, bareUnits: true };
    const [left, right] = [parse(a, reading, context.work), parse(b, reading, context.work)];
    if (left !== undefined && right !== undefined && same(left.node, right.node, context)) return true;
    const ambiguous = left?.scan.commas === true || right?.scan.commas === true;
    if (context.work.left < 0 || !ambiguous) break;
  }
  const reading = { commas: true, bareUnits: false };
  const [left, right] = [parse(a, reading, context.work), parse(b, reading, context.work)];
  return left !== undefined && right !== undefined && same(left.node, right.node, context);
};
