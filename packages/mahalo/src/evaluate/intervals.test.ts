/** Tests of the intervals, against published values and by properties. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { normal } from "../core/testing/normal.ts";
import { bootstrapMean, estimate, pairedDifference, wilson } from "./intervals.ts";

describe("Wilson's interval", () => {
  test("equals published values", () => {
    // 81 of 263: Newcombe 1998, table I, method 3; 0 of 20 and 1 of 29 from the same table.
    expect(wilson(81, 263)).toMatchObject({ n: 263, method: "wilson" });
    expect(wilson(81, 263).low).toBeCloseTo(0.2553, 4);
    expect(wilson(81, 263).high).toBeCloseTo(0.3662, 4);
    expect(wilson(0, 20).low).toBe(0);
    expect(wilson(0, 20).high).toBeCloseTo(0.1611, 4);
    expect(wilson(1, 29).low).toBeCloseTo(0.0061, 4);
    expect(wilson(1, 29).high).toBeCloseTo(0.1718, 4);
  });

  test("holds the rate, lies inside [0, 1], and mirrors", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (n, share) => {
          const k = Math.round(n * share);
          const { low, high, mean } = wilson(k, n);
          expect(low).toBeGreaterThanOrEqual(0);
          expect(high).toBeLessThanOrEqual(1);
          expect(low).toBeLessThanOrEqual(mean);
          expect(high).toBeGreaterThanOrEqual(mean);
          expect(wilson(n - k, n).low).toBeCloseTo(1 - high, 10);
        },
      ),
    );
  });

  test("refuses what is no rate", () => {
    for (const [k, n] of [
      [0, 0],
      [3, 2],
      [-1, 2],
      [Number.NaN, 2],
    ] as const) {
      expect(() => wilson(k, n)).toThrow(expect.objectContaining({ code: "E_INTERVAL" }));
    }
  });
});

describe("the bootstrap", () => {
  const values = Array.from({ length: 100 }, (_, index) => (index % 10) / 10);

  test("is repeatable by its stream and near the normal interval", () => {
    const one = bootstrapMean(values, rng(1, "boot"));
    expect(bootstrapMean(values, rng(1, "boot"))).toEqual(one);
    expect(one.mean).toBeCloseTo(0.45, 10);
    const half = 1.96 * (0.2872 / 10);
    expect(one.low).toBeCloseTo(0.45 - half, 1);
    expect(one.high).toBeCloseTo(0.45 + half, 1);
  });

  test("of a constant is that constant", () => {
    expect(bootstrapMean([0.5, 0.5], rng(1))).toMatchObject({ mean: 0.5, low: 0.5, high: 0.5, n: 2 });
  });

  test("of paired values drops what the pairs share", () => {
    const random = rng(3, "values");
    const shared = values.map(() => 10 * normal(random));
    const paired = pairedDifference(
      shared.map((value) => value + 0.3),
      shared,
      rng(1),
    );
    expect(paired.low).toBeCloseTo(0.3, 6);
    expect(paired.high).toBeCloseTo(0.3, 6);
    expect(() => pairedDifference([1], [], rng(1))).toThrow(/as many/);
  });

  test("refuses no values and values that are not finite", () => {
    expect(() => bootstrapMean([], rng(1))).toThrow(/at least one/);
    expect(() => estimate([], rng(1))).toThrow(/at least one/);
    expect(() => bootstrapMean([1, Number.NaN], rng(1))).toThrow(/finite/);
  });
});

test("scores of 0 and 1 get Wilson's interval, others the bootstrap's", () => {
  expect(estimate([0, 1, 1], rng(1))).toEqual(wilson(2, 3));
  expect(estimate([0, 0.5, 1], rng(1)).method).toBe("bootstrap");
});
