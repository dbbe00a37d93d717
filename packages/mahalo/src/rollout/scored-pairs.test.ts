/** Pairs from scores: worked examples, and what holds for any samples. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { rng } from "../core/random.ts";
import { type ChosenPair, choosePairs, pairOptionsSchema } from "./scored-pairs.ts";

const choose = (
  scores: readonly (number | null)[],
  options: z.input<typeof pairOptionsSchema> = {},
  seed = 0,
): ChosenPair[] =>
  choosePairs(
    scores.map((score, index) => ({ text: `answer ${index}`, score })),
    pairOptionsSchema.parse(options),
    rng(seed, "pairs"),
  );

describe("best against worst", () => {
  test("of five samples takes the first and the last", () => {
    expect(choose([0.2, 0.9, 0.5, 0.1, 0.7])).toEqual([{ chosen: 1, rejected: 3 }]);
  });
  test("goes on inwards up to the asked number, the middle one meeting nobody", () => {
    expect(choose([0.2, 0.9, 0.5, 0.1, 0.7], { perPrompt: 9 })).toEqual([
      { chosen: 1, rejected: 3 },
      { chosen: 4, rejected: 0 },
    ]);
  });
  test("wants the margin reached, and never pairs equal scores", () => {
    expect(choose([0.2, 0.9], { minMargin: 0.7 })).toHaveLength(1);
    expect(choose([0.2, 0.9], { minMargin: 0.71 })).toEqual([]);
    expect(choose([0.5, 0.5])).toEqual([]);
  });
  test("of equal scores takes the sample that came first as better", () => {
    expect(choose([1, 0, 1, 0])).toEqual([{ chosen: 0, rejected: 3 }]);
  });
});

describe("correct against incorrect", () => {
  const take = "correct";
  test("pairs nothing where all are right or all are wrong", () => {
    expect(choose([1, 1, 1], { take })).toEqual([]);
    expect(choose([0, 0.4], { take })).toEqual([]);
  });
  test("counts a score that equals the threshold as correct", () => {
    expect(choose([0.8, 0.79], { take, threshold: 0.8 })).toEqual([{ chosen: 0, rejected: 1 }]);
  });
  test("uses every sample once before any is used twice", () => {
    const pairs = choose([1, 1, 1, 0, 0, 0], { take, perPrompt: 3 });
    expect(pairs.map(({ chosen }) => chosen).toSorted()).toEqual([0, 1, 2]);
    expect(pairs.map(({ rejected }) => rejected).toSorted()).toEqual([3, 4, 5]);
  });
  test("is drawn by the seed", () => {
    const scores = Array.from({ length: 12 }, (_, index) => index % 2);
    const options = { take, perPrompt: 4 } as const;
    expect(choose(scores, options, 1)).toEqual(choose(scores, options, 1));
    expect(choose(scores, options, 1)).not.toEqual(choose(scores, options, 2));
  });
});

test("samples without a verdict, and repeated texts, are passed over", () => {
  expect(choose([null, 0.3, null, 0.1])).toEqual([{ chosen: 1, rejected: 3 }]);
  const samples = [
    { text: "same", score: 1 },
    { text: "same", score: 0 },
  ];
  expect(choosePairs(samples, pairOptionsSchema.parse({}), rng(0, "pairs"))).toEqual([]);
});

test("wrong options are refused by name", () => {
  expect(() => pairOptionsSchema.parse({ perPrompt: 0 })).toThrow(/perPrompt/);
  expect(() => pairOptionsSchema.parse({ minMargin: -1 })).toThrow(/minMargin/);
});

describe("for any samples", () => {
  const score = fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: null });
  const samples = fc.array(fc.record({ text: fc.constantFrom(..."abcdefghij"), score }), { maxLength: 14 });
  const options = fc.record({
    take: fc.constantFrom("extremes" as const, "correct" as const),
    threshold: fc.double({ min: 0, max: 1, noNaN: true }),
    minMargin: fc.double({ min: 0, max: 1, noNaN: true }),
    perPrompt: fc.integer({ min: 1, max: 30 }),
  });

  test("pairs are few enough, all different, apart by the margin, and of different texts", () => {
    fc.assert(
      fc.property(samples, options, fc.nat(), (list, given, seed) => {
        const pairs = choosePairs(list, given, rng(seed, "pairs"));
        expect(pairs.length).toBeLessThanOrEqual(given.perPrompt);
        expect(new Set(pairs.map((pair) => JSON.stringify(pair))).size).toBe(pairs.length);
        for (const { chosen, rejected } of pairs) {
          const [better, worse] = [list[chosen], list[rejected]];
          const margin = (better?.score ?? Number.NaN) - (worse?.score ?? Number.NaN);
          expect(margin).toBeGreaterThan(0);
          expect(margin).toBeGreaterThanOrEqual(given.minMargin);
          expect(better?.text).not.toBe(worse?.text);
          if (given.take === "correct") {
            expect(better?.score).toBeGreaterThanOrEqual(given.threshold);
            expect(worse?.score).toBeLessThan(given.threshold);
          }
        }
      }),
    );
  });

  test("no pair is left that could have been had", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 1), { maxLength: 9 }),
        fc.integer({ min: 1, max: 30 }),
        (scores, most) => {
          const right = scores.filter((score) => score === 1).length;
          const pairs = choose(scores, { take: "correct", perPrompt: most });
          expect(pairs).toHaveLength(Math.min(most, right * (scores.length - right)));
        },
      ),
    );
  });

  test("samples are used evenly: no two uses apart on one side", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 25 }),
        (right, wrong, most) => {
          const scores = [...Array<number>(right).fill(1), ...Array<number>(wrong).fill(0)];
          const pairs = choose(scores, { take: "correct", perPrompt: most });
          const uses = (of: readonly number[], from: number, count: number): number[] =>
            Array.from({ length: count }, (_, index) => of.filter((one) => one === from + index).length);
          for (const used of [
            uses(
              pairs.map(({ chosen }) => chosen),
              0,
              right,
            ),
            uses(
              pairs.map(({ rejected }) => rejected),
              right,
              wrong,
            ),
          ]) {
            expect(Math.max(...used) - Math.min(...used)).toBeLessThanOrEqual(1);
          }
        },
      ),
    );
  });
});
