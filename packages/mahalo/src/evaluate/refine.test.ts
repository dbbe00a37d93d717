/** The adaptive sweep begins with the ends, closes in on a jump, and is even where there is none. */
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import type { SweepMix } from "./mixes.ts";
import { nextMix, sweepSize } from "./refine.ts";

const NAMES = ["accuracy", "engagement"];
const stream = (pair: number) => rng(1, "refine", String(pair));

/** 200 prompts, of which `share` get 1, by the weight of the first objective; on the second the rest do. */
const measure = (mix: SweepMix, share: (weight: number) => number) => {
  const accuracy = share(weightIn(mix, "accuracy"));
  const scores = (part: number) => Array.from({ length: 200 }, (_, prompt) => Number(prompt < 200 * part));
  return {
    mix,
    means: { accuracy, engagement: 1 - accuracy },
    scores: { accuracy: scores(accuracy), engagement: scores(1 - accuracy) },
  };
};

/** Weights of the first objective in the order in which a sweep of `count` asks for them. */
const sweep = (count: number, share: (weight: number) => number, names = NAMES): SweepMix[] => {
  const measured: ReturnType<typeof measure>[] = [];
  while (measured.length < count) {
    const mix = nextMix(names, measured, stream);
    if (mix === undefined) break;
    measured.push(measure(mix, share));
  }
  return measured.map(({ mix }) => mix);
};
const weights = (mixes: readonly SweepMix[]): number[] => mixes.map((mix) => weightIn(mix, "accuracy"));

describe("a sweep of two objectives", () => {
  test("halves the way where results change evenly", () => {
    const asked = sweep(9, (weight) => weight);
    expect(weights(asked).slice(0, 3)).toEqual([1, 0, 0.5]);
    expect(weights(asked).toSorted()).toEqual([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1]);
    expect(asked[2]).toEqual({ accuracy: 0.5, engagement: 0.5 });
  });

  test("closes in on a jump, down to mixes that are all but the same", () => {
    const jump = (weight: number): number => (weight < 0.8 ? 0.1 : 0.9);
    expect(weights(sweep(7, jump))).toEqual([1, 0, 0.5, 0.75, 0.875, 0.8125, 0.78125]);
    const long = weights(sweep(12, jump)).toSorted((a, b) => a - b);
    const step = Math.min(...long.slice(1).map((weight, index) => weight - (long[index] ?? 0)));
    expect(step).toBeGreaterThanOrEqual(1 / 128);
    // What is left then goes where the mixes lie farthest apart.
    expect(long.some((weight) => weight > 0 && weight < 0.5)).toBe(true);
  });

  test("is even where changes are no larger than chance, or results do not change at all", () => {
    for (const share of [() => 0.5, (weight: number) => (weight > 0.7 ? 0.505 : 0.5)]) {
      expect(weights(sweep(5, share)).toSorted()).toEqual([0, 0.25, 0.5, 0.75, 1]);
    }
  });
});

test("three objectives begin with each alone and the equal mix, and then look beside the mix that differs", () => {
  const names = ["accuracy", "engagement", "brevity"];
  const asked = sweep(5, (weight) => weight, names);
  expect(asked.slice(0, 3).map((mix) => Object.values(mix))).toEqual([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ]);
  expect(asked[3]).toEqual({ accuracy: 1 / 3, engagement: 1 / 3, brevity: 1 / 3 });
  expect(weightIn(asked[4], "accuracy")).toBeGreaterThan(1 / 3);
  for (const mix of asked)
    expect(Object.values(mix).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
});

test("one objective has one mix, and a sweep has at least its ends", () => {
  expect(sweep(5, () => 1, ["accuracy"])).toEqual([{ accuracy: 1 }]);
  expect([
    sweepSize(["a"], 5),
    sweepSize(NAMES, 1),
    sweepSize(NAMES, 7),
    sweepSize(["a", "b", "c"], 2),
  ]).toEqual([1, 2, 7, 4]);
});
