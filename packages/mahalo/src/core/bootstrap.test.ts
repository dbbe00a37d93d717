/** Intervals of grouped observations: the mean's is the known one, groups widen it, undefined draws do not count. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { bootstrapInterval, quantile } from "./bootstrap.ts";
import { mean } from "./mean.ts";
import { rng } from "./random.ts";

test("quantiles lie between neighbours", () => {
  expect([0, 0.5, 0.75, 1].map((q) => quantile([1, 2, 3], q))).toEqual([1, 2, 2.5, 3]);
  expect(quantile([], 0.5)).toBeNaN();
});

test("the interval of a mean is near the normal one, and the seed's own", () => {
  const values = Array.from({ length: 400 }, (_, index) => Number(index % 4 === 0));
  const of = () => bootstrapInterval(values, mean, rng(0, "test"));
  const [low = 0, high = 0] = of() ?? [];
  const half = 1.96 * Math.sqrt((0.25 * 0.75) / 400);
  expect(low).toBeCloseTo(0.25 - half, 1);
  expect(high).toBeCloseTo(0.25 + half, 1);
  expect(of()).toEqual([low, high]);
});

test("observations that come in equal groups count as one a group", () => {
  const groups = Array.from({ length: 50 }, (_, index) => Array.from({ length: 8 }, () => Number(index % 2)));
  const width = ([low = 0, high = 0]: readonly number[] = []): number => high - low;
  const grouped = width(bootstrapInterval(groups, (some) => mean(some.flat()), rng(0, "test")));
  const single = width(bootstrapInterval(groups.flat(), mean, rng(0, "test")));
  expect(grouped / single).toBeGreaterThan(2);
});

test("draws that do not define the figure do not count; where none does there is no interval", () => {
  const some = bootstrapInterval([1, 2], ([first]) => (first === 1 ? undefined : first), rng(0, "test"));
  expect(some).toEqual([2, 2]);
  expect(bootstrapInterval([1, 2], () => undefined, rng(0, "test"))).toBeUndefined();
  expect(bootstrapInterval([], () => 1, rng(0, "test"))).toBeUndefined();
});

test("an interval lies inside the observations", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1 }), (values) => {
      const [low = 0, high = 0] = bootstrapInterval(values, mean, rng(0, "test"), { resamples: 50 }) ?? [];
      expect(low).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
      expect(high).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
      expect(low).toBeLessThanOrEqual(high);
    }),
    { numRuns: 30 },
  );
});
