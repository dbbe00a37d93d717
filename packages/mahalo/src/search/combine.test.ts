/** Scores into totals: worked examples of every aggregate and norm, and what must not change the order. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { aggregateScores } from "../core/aggregate.ts";
import { guidanceWeights, normalizeScores, weighScores } from "./combine.ts";

test("a path's scores become one number", () => {
  const scores = [0.5, 0.25, 0.75];
  expect(["last", "min", "product", "mean"].map((how) => aggregateScores(scores)[how as "last"])).toEqual([
    0.75, 0.25, 0.09375, 0.5,
  ]);
});

describe("norms", () => {
  test("by hand", () => {
    expect(normalizeScores([3, 1, 1], "raw")).toEqual([3, 1, 1]);
    expect(normalizeScores([3, 1, 1], "rank")).toEqual([1, 0.25, 0.25]);
    expect(normalizeScores([2, 0], "z-score")).toEqual([1, -1]);
    expect(normalizeScores([2, 2], "z-score")).toEqual([0, 0]);
    expect(normalizeScores([7], "rank")).toEqual([0.5]);
  });

  test("z-scores and ranks do not care about scale and shift", () => {
    const scores = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(
        scores,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: -9, max: 9 }),
        (values, scale, shift) => {
          for (const how of ["z-score", "rank"] as const) {
            const moved = normalizeScores(
              values.map((value) => value * scale + shift),
              how,
            );
            for (const [index, value] of normalizeScores(values, how).entries())
              expect(moved[index]).toBeCloseTo(value, 9);
          }
        },
      ),
    );
  });
});

test("weights count each objective's normed scores; one that weighs 0 counts nothing, whatever its score", () => {
  const values = [
    [1, 10],
    [0, 30],
  ];
  expect(weighScores(values, [1, 0.1], "raw")).toEqual([2, 3]);
  expect(weighScores(values, [1, 0], "raw")).toEqual([1, 0]);
  expect(weighScores(values, [1, 1], "rank")).toEqual([1, 1]);
  expect(weighScores([[Number.NaN], [1]], [0], "raw")).toEqual([0, 0]);
});

test("guidance weights default to 1 and are checked by name", () => {
  expect(guidanceWeights(["a", "b"], { b: -2 })).toEqual([1, -2]);
  expect(() => guidanceWeights(["a"], { a: Number.NaN })).toThrow("guidance.a: weight NaN");
  expect(() => guidanceWeights(["a"], { toString: 1 })).toThrow('no scorer scores "toString"');
});
