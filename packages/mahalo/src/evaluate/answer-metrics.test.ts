/** Diversity, KL and length-controlled wins: worked examples and what must hold for any answers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { distinct, klOfSamples, winRates } from "./answer-metrics.ts";

describe("distinct-n", () => {
  test("counts different n-grams among all", () => {
    expect(distinct(["a b a b", "a b"], 2)).toBe(0.5);
    expect(distinct(["A, b. C!"], 1)).toBe(1);
    expect(distinct(["one"], 2)).toBe(0);
    expect(() => distinct(["a"], 0)).toThrow(expect.objectContaining({ code: "E_METRIC" }));
  });

  test("lies in [0, 1], and saying everything twice halves it", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ maxLength: 30 }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 3 }),
        (all, n) => {
          const found = distinct(all, n);
          expect(found).toBeGreaterThanOrEqual(0);
          expect(found).toBeLessThanOrEqual(1);
          expect(distinct([...all, ...all], n)).toBeCloseTo(found / 2, 12);
        },
      ),
    );
  });
});

describe("KL from samples", () => {
  test("is the mean difference, and its surer form is never below 0", () => {
    const { k1, k3 } = klOfSamples([-1, -2], [-2, -2]);
    expect(k1).toBe(0.5);
    expect(k3).toBeCloseTo(Math.exp(-1) / 2, 12);
    expect(klOfSamples([-3], [-3])).toEqual({ k1: 0, k3: 0 });
    expect(() => klOfSamples([], [])).toThrow(expect.objectContaining({ code: "E_METRIC" }));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -40, max: 0 }), fc.integer({ min: -40, max: 0 })), {
          minLength: 1,
        }),
        (pairs) => {
          const found = klOfSamples(
            pairs.map(([p]) => p),
            pairs.map(([, r]) => r),
          );
          expect(found.k3).toBeGreaterThanOrEqual(0);
        },
      ),
    );
  });

  test("of a whole distribution is its KL, by both forms", () => {
    const [p, q] = [
      [0.5, 0.25, 0.25],
      [0.25, 0.25, 0.5],
    ];
    // Every outcome as often as the policy says it.
    const outcomes = [0, 0, 1, 2];
    const logs = (from: number[]): number[] => outcomes.map((at) => Math.log(from[at] ?? 0));
    const wanted = p.reduce((sum, value, at) => sum + value * Math.log(value / (q[at] ?? 0)), 0);
    const { k1, k3 } = klOfSamples(logs(p), logs(q));
    expect(k1).toBeCloseTo(wanted, 12);
    expect(k3).toBeCloseTo(wanted, 12);
  });
});

describe("win rates", () => {
  test("at equal lengths are the plain ones, but for the ridge", () => {
    const duels = [1, 1, 1, 0].map((win) => ({ win, length: 5, otherLength: 5 }));
    const { win, controlled } = winRates(duels);
    expect(win).toBe(0.75);
    expect(controlled).toBeCloseTo(0.75, 2);
  });

  test("are a half where the longer answer wins four times of five, by whoever it is given", () => {
    const duels = Array.from({ length: 80 }, (_, index) => {
      const longer = index % 4 !== 0;
      const win = Math.floor(index / 4) % 5 === 0 ? !longer : longer;
      return { win: Number(win), length: longer ? 90 : 40, otherLength: longer ? 40 : 90 };
    });
    const { win, controlled } = winRates(duels);
    expect(win).toBeCloseTo(0.65, 12);
    expect(controlled).toBeCloseTo(0.5, 2);
  });

  test("of turned duels are the rest to 1", () => {
    const duel = fc.record({
      win: fc.constantFrom(0, 0.5, 1),
      length: fc.integer({ min: 0, max: 300 }),
      otherLength: fc.integer({ min: 0, max: 300 }),
    });
    fc.assert(
      fc.property(fc.array(duel, { minLength: 1, maxLength: 30 }), (duels) => {
        const [found, turned] = [
          winRates(duels),
          winRates(
            duels.map(({ win, length, otherLength }) => ({
              win: 1 - win,
              length: otherLength,
              otherLength: length,
            })),
          ),
        ];
        expect(turned.win).toBeCloseTo(1 - found.win, 12);
        expect(turned.controlled).toBeCloseTo(1 - found.controlled, 6);
      }),
    );
  });
});
