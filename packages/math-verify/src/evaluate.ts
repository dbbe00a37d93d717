/** Values of expressions: exact fractions where that is possible, else complex numbers in double precision. */
import {
  add,
  factorial,
  floor,
  invert,
  multiply,
  negate,
  power,
  type Rational,
  root,
  spend,
  subtract,
  toDouble,
  type Work,
  whole,
} from "./rational.ts";
import type { Node } from "./tree.ts";

/** A value for each variable. */
export type Point = ReadonlyMap<string, Rational>;

/** A complex number, [re, im]. */
export type Complex = readonly [number, number];

/** The exact value at a point; undefined where there is none, it is not rational, or the work is spent. */
export const evaluateExact = (node: Node, point: Point, work: Work): Rational | undefined => {
  if (!spend(work)) return undefined;
  if (node.kind === "number") return node.value;
  if (node.kind === "variable") return point.get(node.name);
  if (node.kind !== "call") return undefined;
  const [a, b] = node.args.slice(0, 2).map((part) => evaluateExact(part, point, work));
  if (a === undefined) return undefined;
  switch (node.name) {
    case "neg":
      return negate(a);
    case "factorial":
      return a.d === 1n ? factorial(a.n, work) : undefined;
    case "sqrt":
      return root(a, 2n, work);
    case "abs":
      return a.n < 0n ? negate(a) : a;
    case "floor":
      return whole(floor(a));
    case "ceil":
      return whole(-floor(negate(a)));
  }
  if (b === undefined || node.args.length !== 2) return undefined;
  switch (node.name) {
    case "+":
      return add(a, b, work);
    case "-":
      return subtract(a, b, work);
    case "*":
      return multiply(a, b, work);
    case "/": {
      const below = invert(b);
      return below === undefined ? undefined : multiply(a, below, work);
    }
    case "root":
      return b.d === 1n ? root(a, b.n, work) : undefined;
    case "^": {
      // A negative number to a broken power is complex: that is left to doubles.
      const base = b.d === 1n ? a : a.n < 0n ? undefined : root(a, b.d, work);
      return base === undefined ? undefined : power(base, b.n, work);
    }
    case "binomial": {
      if (a.d !== 1n || b.d !== 1n || b.n < 0n || b.n > 500n || a.n < b.n || a.n > 10_000n) return undefined;
      let [top, bottom] = [1n, 1n];
      for (let k = 0n; k < b.n; k++) [top, bottom] = [top * (a.n - k), bottom * (k + 1n)];
      return spend(work, Number(b.n) * 20) ? whole(top / bottom) : undefined;
    }
    default:
      return undefined;
  }
};

const times = ([a, b]: Complex, [c, d]: Complex): Complex => [a * c - b * d, a * d + b * c];
const over = ([a, b]: Complex, [c, d]: Complex): Complex => {
  const size = c * c + d * d;
  return [(a * c + b * d) / size, (b * c - a * d) / size];
};
const plus = ([a, b]: Complex, [c, d]: Complex): Complex => [a + c, b + d];
const minus = ([a, b]: Complex, [c, d]: Complex): Complex => [a - c, b - d];
const log = ([a, b]: Complex): Complex => [Math.log(Math.hypot(a, b)), Math.atan2(b, a)];
const exp = ([a, b]: Complex): Complex => [
  Math.exp(a) * Math.cos(b),
  b === 0 ? 0 : Math.exp(a) * Math.sin(b),
];
const unit: Complex = [1, 0];

const raise = (base: Complex, exponent: Complex): Complex => {
  if (base[0] === 0 && base[1] === 0) return exponent[0] > 0 ? [0, 0] : [Number.NaN, 0];
  const [e, im] = exponent;
  if (base[1] === 0 && im === 0 && (base[0] > 0 || Number.isInteger(e))) return [base[0] ** e, 0];
  return exp(times(exponent, log(base)));
};

/** Functions of real numbers; complex arguments are beyond them. */
const real: Readonly<Record<string, (x: number) => number>> = {
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  cot: (x) => 1 / Math.tan(x),
  sec: (x) => 1 / Math.cos(x),
  csc: (x) => 1 / Math.sin(x),
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  acot: (x) => Math.PI / 2 - Math.atan(x),
  asec: (x) => Math.acos(1 / x),
  acsc: (x) => Math.asin(1 / x),
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  floor: Math.floor,
  ceil: Math.ceil,
};

const constants: Readonly<Record<string, Complex>> = {
  pi: [Math.PI, 0],
  e: [Math.E, 0],
  i: [0, 1],
  infinity: [Number.POSITIVE_INFINITY, 0],
};

const notReal: Complex = [Number.NaN, 0];

/**
 * The value at a point in double precision, principal branches; undefined where there is none.
 *
 * @param real gives NaN where a root, power or logarithm of real numbers is not real. Default false.
 */
export const evaluateNumeric = (node: Node, point: Point, work: Work, real = false): Complex | undefined => {
  const value = numericValue(node, point, work, real);
  return real && value !== undefined && value[1] !== 0 ? notReal : value;
};

const numericValue = (node: Node, point: Point, work: Work, realOnly: boolean): Complex | undefined => {
  if (!spend(work)) return undefined;
  if (node.kind === "number") return [toDouble(node.value), 0];
  if (node.kind === "constant") return constants[node.name];
  if (node.kind === "variable") {
    const value = point.get(node.name);
    return value === undefined ? undefined : [toDouble(value), 0];
  }
  if (node.kind === "quantity" && node.unit === "°") {
    const value = evaluateNumeric(node.value, point, work, realOnly);
    return value === undefined ? undefined : times(value, [Math.PI / 180, 0]);
  }
  if (node.kind !== "call") return undefined;
  const [a, b] = node.args.slice(0, 2).map((part) => evaluateNumeric(part, point, work, realOnly));
  if (a === undefined || (node.args.length > 1 && b === undefined) || node.args.length > 2) return undefined;
  switch (node.name) {
    case "neg":
      return minus([0, 0], a);
    case "sqrt":
      return raise(a, [0.5, 0]);
    case "abs":
      return [Math.hypot(...a), 0];
    case "exp":
      return exp(a);
    case "ln":
      return log(a);
    case "log":
      return over(log(a), b === undefined ? [Math.LN10, 0] : log(b));
    case "factorial": {
      const exact = evaluateExact(node, point, work);
      return exact === undefined ? undefined : [toDouble(exact), 0];
    }
  }
  if (b === undefined) {
    const value = a[1] === 0 ? real[node.name]?.(a[0]) : undefined;
    return value === undefined ? undefined : [value, 0];
  }
  switch (node.name) {
    case "+":
      return plus(a, b);
    case "-":
      return minus(a, b);
    case "*":
      return times(a, b);
    case "/":
      return over(a, b);
    case "^":
      return raise(a, b);
    case "root":
      return b[1] === 0 && b[0] % 2 !== 0 && a[1] === 0 && a[0] < 0
        ? [-((-a[0]) ** (1 / b[0])), 0]
        : raise(a, over(unit, b));
    default:
      return undefined;
  }
};
