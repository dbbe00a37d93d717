/** Measures of control: their values on sweeps whose control is known. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mean } from "../core/mean.ts";
import { rng } from "../core/random.ts";
import { type ControlledPolicy, controlOf, kendallTau, largestGap, miscalibration } from "./control.ts";

const random = (objective: string, other: string) => rng(1, objective, other);

describe("Kendall's tau", () => {
  test("is that of scipy.stats.kendalltau, with ties and without", () => {
    expect(kendallTau([1, 2, 3, 4], [1, 2, 3, 4])).toBe(1);
    expect(kendallTau([1, 2, 3, 4], [4, 3, 2, 1])).toBe(-1);
    expect(kendallTau([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])).toBeCloseTo(-0.4714045207910316, 12);
    expect(kendallTau([0, 0.25, 0.5, 0.75, 1], [0.1, 0.1, 0.3, 0.2, 0.9])).toBeCloseTo(
      0.7378647873726218,
      12,
    );
    expect(kendallTau([1, 2, 3], [5, 5, 5])).toBe(0);
  });

  test("lies between -1 and 1, is symmetric, and changes sign with either list", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer(), fc.integer()), { minLength: 2, maxLength: 12 }),
        (pairs) => {
          const [a, b] = [pairs.map(([left]) => left), pairs.map(([, right]) => right)];
          const tau = kendallTau(a, b);
          expect(Math.abs(tau)).toBeLessThanOrEqual(1 + 1e-12);
          expect(kendallTau(b, a)).toBeCloseTo(tau, 12);
          expect(
            kendallTau(
              a.map((value) => -value),
              b,
            ),
          ).toBeCloseTo(-tau, 12);
        },
      ),
    );
  });
});

test("the largest gap is a share of the range", () => {
  expect(largestGap([0, 0.25, 0.5, 0.75, 1])).toBe(0.25);
  expect(largestGap([0.2, 0.2, 0.7, 0.7])).toBe(1);
  expect(largestGap([0.2, 0.7, 0.4])).toBe(1);
  expect(largestGap([0.3, 0.3])).toBeUndefined();
});

test("miscalibration is the mean distance from the line between the ends", () => {
  const line = [0, 0.25, 0.5, 0.75, 1].map((weight) => [weight, 0.2 + 0.6 * weight] as const);
  expect(miscalibration(line)).toBeCloseTo(0, 12);
  // One jump behind the middle: asked for 0.25 and 0.5 and got 0, asked for 0.75 and got 1.
  expect(
    miscalibration([
      [0, 0],
      [0.25, 0],
      [0.5, 0],
      [0.75, 1],
      [1, 1],
    ]),
  ).toBeCloseTo((0.25 + 0.5 + 0.25) / 5, 12);
  // An objective that falls with its weight is measured against its own ends.
  expect(
    miscalibration([
      [0, 1],
      [0.5, 0.5],
      [1, 0],
    ]),
  ).toBeCloseTo(0, 12);
  expect(
    miscalibration([
      [0, 0.4],
      [1, 0.4],
    ]),
  ).toBeUndefined();
});

const policy = (weight: number | undefined, accuracy: number[], engagement: number[]): ControlledPolicy => {
  return {
    mix: weight === undefined ? undefined : { accuracy: weight, engagement: 1 - weight },
    means: { accuracy: mean(accuracy), engagement: mean(engagement) },
    scores: { accuracy, engagement },
  };
};

describe("a sweep's control", () => {
  const policies = [
    policy(1, [1, 1, 1, 1], [0, 0, 0, 0]),
    policy(0.5, [1, 1, 0, 0], [0, 0, 1, 1]),
    policy(0, [0, 0, 0, 0], [1, 1, 1, 1]),
  ];
  const before = policy(undefined, [1, 0, 0, 0], [0, 1, 0, 0]);

  test("is measured for each objective, with what its own end did to the others", () => {
    const [accuracy, engagement, ...others] = controlOf(policies, before, random);
    expect(others).toEqual([]);
    expect(accuracy).toMatchObject({ objective: "accuracy", tau: 1, largestGap: 0.5, miscalibration: 0 });
    expect(accuracy?.sideEffects.engagement).toMatchObject({ mean: -0.25, n: 4 });
    expect(engagement?.sideEffects.accuracy).toMatchObject({ mean: -0.25, n: 4 });
    expect(accuracy?.sideEffects.accuracy).toBeUndefined();
  });

  test("has no side effects without a model before, and no measures where nothing is weighed", () => {
    expect(controlOf(policies, undefined, random).map(({ sideEffects }) => sideEffects)).toEqual([{}, {}]);
    expect(controlOf([before], before, random)).toEqual([]);
    expect(controlOf(policies.slice(0, 1), before, random)).toEqual([]);
  });

  test("leaves prompts out on which either answer was not judged", () => {
    const silent = { ...before, scores: { ...before.scores, engagement: [null, 1, 0, null] } };
    expect(controlOf(policies, silent, random)[0]?.sideEffects.engagement).toMatchObject({
      mean: -0.5,
      n: 2,
    });
  });

  test("of three objectives has an order, but no gaps", () => {
    const three = [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ].map(([a = 0, b = 0, c = 0]) => ({ mix: { a, b, c }, means: { a, b: 1 - b, c }, scores: {} }));
    const measured = controlOf(three, undefined, random);
    expect(measured.map(({ tau }) => tau)).toEqual([1, -1, 1]);
    expect(measured.every(({ largestGap }) => largestGap === undefined)).toBe(true);
  });
});
