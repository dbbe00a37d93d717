/** Solving for the mix: worked examples, and what must hold of any sweep. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Estimate } from "./intervals.ts";
import { formatMix } from "./mixes.ts";
import type { SweepPoint } from "./results.ts";
import { parseTarget, tune } from "./tune.ts";

const about = (mean: number, half = 0.1): Estimate => ({
  mean,
  low: mean - half,
  high: mean + half,
  n: 100,
  method: "bootstrap",
});
/** A sweep over weights of a; results are given from all b to all a. */
const sweep = (results: readonly (readonly [a: number, b: number])[]): SweepPoint[] =>
  results.map(([a, b], index) => {
    const weight = index / Math.max(1, results.length - 1);
    const mix = { a: weight, b: 1 - weight };
    return { label: formatMix(mix), mix, results: { a: about(a), b: about(b) } };
  });
const front = sweep([
  [0.2, 0.9],
  [0.6, 0.7],
  [0.8, 0.1],
]);

describe("a target", () => {
  test("is an objective and a least value, or per cent", () => {
    expect(parseTarget("accuracy>=0.6")).toEqual({ objective: "accuracy", atLeast: 0.6 });
    expect(parseTarget(" a >= 60% ")).toEqual({ objective: "a", atLeast: 0.6 });
    for (const text of ["a=0.6", "a>0.6", "0.6", "a>=x"])
      expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: "E_TUNE" }));
  });
});

describe("the mix", () => {
  test("lies between measured ones where the target is met there, and says between which", () => {
    const { reached, best, sure, missed } = tune(front, [{ objective: "a", atLeast: 0.5 }], "b");
    expect(reached).toBe(true);
    expect(best.between).toEqual(["a=0,b=1", "a=0.5,b=0.5"]);
    expect(best.mix.a).toBeCloseTo(0.375, 10);
    expect(best.results.a?.mean).toBeCloseTo(0.5, 10);
    expect(best.results.b?.mean).toBeCloseTo(0.75, 10);
    expect(sure).toBe(false);
    expect(missed).toEqual([]);
  });

  test("with room for the interval gives up more, and cannot be had everywhere", () => {
    const { cautious } = tune(front, [{ objective: "a", atLeast: 0.5 }], "b");
    expect(cautious?.mix.a).toBeCloseTo(0.5, 10);
    expect(tune(front, [{ objective: "a", atLeast: 0.75 }], "b").cautious).toBeUndefined();
  });

  test("that cannot be reached is told with the nearest and what is missing", () => {
    const found = tune(front, [{ objective: "a", atLeast: 0.9 }], "b");
    expect(found).toMatchObject({ reached: false, sure: false, best: { mix: { a: 1, b: 0 } } });
    expect(found.missed).toEqual([{ objective: "a", by: expect.closeTo(0.1, 10) }]);
  });

  test("is a measured one where there are three objectives", () => {
    const mixes = [
      { a: 1, b: 0, c: 0 },
      { a: 0, b: 1, c: 0 },
      { a: 0, b: 0, c: 1 },
    ];
    const points = mixes.map((mix, index) => ({
      label: formatMix(mix),
      mix,
      results: { a: about(index === 0 ? 0.9 : 0.5), b: about(0.1 * index), c: about(0.3) },
    }));
    expect(tune(points, [{ objective: "a", atLeast: 0.5 }], "b").best.between).toEqual(["a=0,b=0,c=1"]);
  });

  test("of an objective without results, or of no sweep, is refused", () => {
    expect(() => tune(front, [], "c")).toThrow(expect.objectContaining({ code: "E_TUNE" }));
    expect(() => tune([{ label: "sft", results: {} }], [], "a")).toThrow(
      expect.objectContaining({ code: "E_TUNE" }),
    );
  });

  test("never is worse than a measured one that reaches the target too", () => {
    // Hundredths: a target nearer than rounding to a result counts as reached.
    const share = fc.integer({ min: 0, max: 100 }).map((value) => value / 100);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(share, share), { minLength: 2, maxLength: 6 }),
        share,
        (results, atLeast) => {
          const points = sweep(results);
          const { reached, best, sure } = tune(points, [{ objective: "a", atLeast }], "b");
          const fit = points.filter((point) => (point.results.a?.mean ?? 0) >= atLeast);
          expect(reached).toBe(fit.length > 0);
          for (const point of fit)
            expect(best.results.b?.mean).toBeGreaterThanOrEqual((point.results.b?.mean ?? 0) - 1e-9);
          if (sure) expect(best.results.a?.low).toBeGreaterThanOrEqual(atLeast - 1e-9);
          expect(Object.values(best.mix).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
        },
      ),
      { numRuns: 50 },
    );
  });
});
