/** Whether two expressions have the same value: exactly where both are rational, else at seeded random points. */
import { evaluateExact, evaluateNumeric, type Point } from "./evaluate.ts";
import { need } from "./need.ts";
import { uniform } from "./random.ts";
import { newWork, type Rational, rational, sameRational, toDouble, type Work } from "./rational.ts";
import { contains, type Node, variables } from "./tree.ts";

/** What one comparison works with. */
export type Context = {
  work: Work;
  /** Largest difference between equal numbers if one is written as a decimal; relative for numbers below 1. */
  tolerance: number;
  seed: number;
};

const none: Point = new Map();
const isDecimal = (node: Node): boolean => node.kind === "number" && node.digits !== undefined;
const isImaginary = (node: Node): boolean => node.kind === "constant" && node.name === "i";

/**
 * Points at which algebra of these variables is compared: fractions between 0.2 and 6, at the first two points all
 * above 0, at the others some below; without variables one empty point.
 */
export const points = (names: readonly string[], seed: number): Point[] => {
  if (names.length === 0) return [none];
  return [0, 1, 2, 3].map((draw) => {
    const random = uniform(seed, draw);
    return new Map(
      names.map((name): [string, Rational] => {
        const size = BigInt(2 + Math.floor(random() * 40));
        const n = random() < 0.5 && draw > 1 ? -size : size;
        // In lowest terms, as all arithmetic here takes a rational number to be.
        return [name, need(rational(n * 17n + 1n, 119n, newWork()), "a point")];
      }),
    );
  });
};

/** Whether two numbers of which one is written as a decimal are as good as equal. */
const near = (a: number, b: number, tolerance: number): boolean => {
  const size = Math.max(Math.abs(a), Math.abs(b));
  // A little more than the tolerance, so that 0.333333 and 1/3 do not hang on a double's last bit.
  return a === b || Math.abs(a - b) <= Math.max(1.000001 * tolerance * Math.min(1, size), 1e-10 * size);
};

/** Whether two values are the same at one point; undefined where the point decides nothing. */
const sameAt = (
  [a, b]: readonly [Node, Node],
  point: Point,
  { work }: Context,
  { loose, real }: { loose: number; real: boolean },
): boolean | undefined => {
  const [x, y] = [evaluateExact(a, point, work), evaluateExact(b, point, work)];
  if (x !== undefined && y !== undefined)
    return sameRational(x, y) || (loose > 0 && near(toDouble(x), toDouble(y), loose));
  const [p, q] = [evaluateNumeric(a, point, work, real), evaluateNumeric(b, point, work, real)];
  if (p === undefined || q === undefined || work.left < 0) return false;
  if ([...p, ...q].some(Number.isNaN)) return undefined;
  const size = Math.max(Math.hypot(...p), Math.hypot(...q), 1e-300);
  if (!Number.isFinite(size)) return p[0] === q[0] && p[1] === q[1];
  return Math.hypot(p[0] - q[0], p[1] - q[1]) <= Math.max(1e-10 * size, loose * Math.min(1, size));
};

/**
 * Whether two expressions have the same value at every point that decides something, and there is one.
 *
 * Letters stand for real numbers unless `i` occurs: `ln(ab)` and `ln a + ln b` are the same although they differ where
 * both are below 0. Points at which a part leaves the real numbers decide only where all points do so.
 */
export const sameValue = (a: Node, b: Node, context: Context): boolean => {
  const names = [...new Set([...variables(a), ...variables(b)])].sort();
  if (names.length > 20) return false;
  const loose = contains(a, isDecimal) || contains(b, isDecimal) ? context.tolerance : 0;
  const complex = names.length === 0 || contains(a, isImaginary) || contains(b, isImaginary);
  for (const real of complex ? [false] : [true, false]) {
    let decided = false;
    for (const point of points(names, context.seed)) {
      const same = sameAt([a, b], point, context, { loose, real });
      if (same === false) return false;
      decided ||= same === true;
    }
    if (decided) return true;
  }
  return false;
};
