/** Tests of exact fractions: arithmetic against machine numbers, roots and powers, and the limits on what they may take. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  add,
  decimal,
  factorial,
  floor,
  invert,
  multiply,
  negate,
  newWork,
  power,
  type Rational,
  rational,
  root,
  sameRational,
  subtract,
  toDouble,
  whole,
} from "./rational.ts";

const work = newWork(1e9);
const of = (n: number, d = 1): Rational | undefined => rational(BigInt(n), BigInt(d), work);
const read = (text: string, more: { repeating?: string; exponent?: number } = {}) =>
  decimal(text, work, more);

const fraction = fc
  .tuple(fc.bigInt({ min: -999n, max: 999n }), fc.bigInt({ min: 1n, max: 999n }))
  .map(([n, d]) => rational(n, d, work) ?? whole(0));

test("fractions are in lowest terms, the sign above", () => {
  expect(of(6, -8)).toEqual({ n: -3n, d: 4n });
  expect(of(0, -5)).toEqual({ n: 0n, d: 1n });
  expect(of(1, 0)).toBeUndefined();
});

test("sums, differences, products and inverses are those of numbers", () => {
  fc.assert(
    fc.property(fraction, fraction, (a, b) => {
      const [x, y] = [toDouble(a), toDouble(b)];
      for (const [value, wanted] of [
        [add(a, b, work), x + y],
        [subtract(a, b, work), x - y],
        [multiply(a, b, work), x * y],
      ] as const)
        expect(value === undefined ? Number.NaN : toDouble(value)).toBeCloseTo(wanted, 9);
      const back = add(subtract(a, b, work) ?? a, b, work);
      expect(back !== undefined && sameRational(back, a)).toBe(true);
      expect(negate(negate(a))).toEqual(a);
      if (a.n !== 0n) expect(invert(invert(a) ?? a)).toEqual(a);
      expect(Number(floor(a))).toBe(Math.floor(x));
    }),
  );
  expect(invert(whole(0))).toBeUndefined();
});

describe("powers and roots", () => {
  test("of whole exponents", () => {
    expect(power(whole(2), 10n, work)).toEqual(whole(1024));
    expect(power(whole(-2), -3n, work)).toEqual({ n: -1n, d: 8n });
    expect(power(whole(0), 3n, work)).toEqual(whole(0));
    expect(power(whole(0), 0n, work)).toBeUndefined();
    expect(power(whole(-1), 10n ** 30n + 1n, work)).toEqual(whole(-1));
  });

  test("a root is exact or there is none", () => {
    expect(root(whole(144), 2n, work)).toEqual(whole(12));
    expect(root(whole(-27), 3n, work)).toEqual(whole(-3));
    expect(root({ n: 4n, d: 9n }, 2n, work)).toEqual({ n: 2n, d: 3n });
    expect(root(whole(2), 2n, work)).toBeUndefined();
    expect(root(whole(-4), 2n, work)).toBeUndefined();
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), fc.bigInt({ min: 2n, max: 7n }), (n, k) => {
        expect(root(whole(n ** k), k, work)).toEqual(whole(n));
        if (n > 1n) expect(root(whole(n ** k + 1n), k, work)).toBeUndefined();
      }),
    );
  });

  test("factorials", () => {
    expect(factorial(5n, work)).toEqual(whole(120));
    expect(factorial(0n, work)).toEqual(whole(1));
    expect(factorial(-1n, work)).toBeUndefined();
  });
});

describe("decimals", () => {
  test("with points, repeating digits and powers of ten", () => {
    expect(read("12.50")).toEqual({ n: 25n, d: 2n });
    expect(read(".5")).toEqual({ n: 1n, d: 2n });
    expect(read("0.", { repeating: "3" })).toEqual({ n: 1n, d: 3n });
    expect(read("0.1", { repeating: "6" })).toEqual({ n: 1n, d: 6n });
    expect(read("1.5", { exponent: 3 })).toEqual(whole(1500));
    expect(read("25", { exponent: -3 })).toEqual({ n: 1n, d: 40n });
  });

  test("doubles are the nearest ones, also where numerator or denominator overflow one", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }), (value) => {
        const text = Math.abs(value).toFixed(6);
        expect(toDouble(read(text) ?? whole(0))).toBe(Number(text));
      }),
    );
    const huge = 10n ** 400n;
    expect(toDouble({ n: huge + 1n, d: huge * 2n })).toBeCloseTo(0.5, 12);
    expect(toDouble({ n: -huge, d: 1n })).toBe(Number.NEGATIVE_INFINITY);
    expect(toDouble({ n: 1n, d: huge })).toBe(0);
  });
});

test("what would be too long is refused before it is computed", () => {
  const left = newWork();
  expect(power(whole(9), 10n ** 9n, left)).toBeUndefined();
  expect(power({ n: 1n, d: 10n }, 10n ** 40n, left)).toBeUndefined();
  expect(factorial(1501n, left)).toBeUndefined();
  expect(read("1".repeat(5000))).toBeUndefined();
  expect(read("1", { exponent: 5000 })).toBeUndefined();
  expect(root(whole(4), 10n ** 9n, left)).toBeUndefined();
  expect(left.left).toBeGreaterThan(900_000);
});

test("spent work ends arithmetic", () => {
  const little = newWork(10);
  expect(add(whole(1), whole(2), little)).toEqual(whole(3));
  expect(multiply(whole(10n ** 300n), whole(10n ** 300n), little)).toBeUndefined();
  expect(add(whole(1), whole(2), little)).toBeUndefined();
});
