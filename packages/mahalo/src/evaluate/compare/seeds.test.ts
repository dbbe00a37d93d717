/** The bootstrap over seeds and prompts: examples, and what its intervals must hold. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { drawnMean, overSeeds, pairedOverSeeds } from "./seeds.ts";

const random = () => rng(3, "seeds");
const scores = fc.array(
  fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 6 }),
  {
    minLength: 1,
    maxLength: 4,
  },
);

describe("over seeds", () => {
  test("a mean is that of the seeds' means, whatever their prompts, abstentions left out", () => {
    const draws = [
      { seed: 0, prompts: [0, 1, 2] },
      { seed: 1, prompts: [0] },
    ];
    expect(drawnMean([[1, 0, null], [1]], draws)).toBe(0.75);
    expect(drawnMean([[null]], [{ seed: 0, prompts: [0] }])).toBeUndefined();
  });

  test("a paired difference cancels what prompts share", () => {
    const a = [
      [0.1, 0.9, 0.4],
      [0.8, 0.2, 0.6],
    ];
    const b = a.map((seed) => seed.map((score) => score - 0.25));
    const found = pairedOverSeeds(a, b, random());
    expect(found?.mean).toBeCloseTo(0.25, 12);
    expect(found?.low).toBeCloseTo(0.25, 12);
    expect(found?.high).toBeCloseTo(0.25, 12);
    expect(found).toMatchObject({ seeds: 2, prompts: 6 });
  });

  test("an interval holds what seeds do: seeds that disagree widen it", () => {
    const prompts = Array.from({ length: 50 }, (_, index) => index % 2);
    const alike = pairedOverSeeds([prompts, prompts], [prompts.map(() => 0), prompts.map(() => 0)], random());
    const apart = pairedOverSeeds(
      [prompts.map(() => 1), prompts.map(() => 0)],
      [prompts.map(() => 0), prompts.map(() => 0)],
      random(),
    );
    expect(alike?.mean).toBe(0.5);
    expect(apart?.mean).toBe(0.5);
    expect((apart?.high ?? 0) - (apart?.low ?? 0)).toBe(1);
    expect((alike?.high ?? 0) - (alike?.low ?? 0)).toBeLessThan(0.4);
  });

  test("is repeatable, turns its sign with its sides, and lies around its mean within the scores' range", () => {
    fc.assert(
      fc.property(scores, (a) => {
        const b = a.map((seed) => seed.map(() => 0.5));
        const [found, again, back] = [
          pairedOverSeeds(a, b, random(), { resamples: 200 }),
          pairedOverSeeds(a, b, random(), { resamples: 200 }),
          pairedOverSeeds(b, a, random(), { resamples: 200 }),
        ];
        expect(found).toEqual(again);
        expect(back?.mean).toBeCloseTo(-(found?.mean ?? 0), 12);
        expect(back?.low).toBeCloseTo(-(found?.high ?? 0), 12);
        expect(found?.low).toBeGreaterThanOrEqual(-0.5 - 1e-12);
        expect(found?.high).toBeLessThanOrEqual(0.5 + 1e-12);
      }),
      { numRuns: 25 },
    );
  });

  test("is undefined where nothing was judged", () => {
    expect(pairedOverSeeds([[null]], [[1]], random())).toBeUndefined();
    expect(overSeeds([2], () => undefined, random())).toBeUndefined();
  });
});
