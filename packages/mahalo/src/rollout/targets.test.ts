/** Targets from rollouts: the method's formula on worked examples, and what holds for any rollouts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ending, hardLabels, hindsightTarget, monteCarloValue } from "./targets.ts";

const right = (steps: number): Ending => ({ steps, score: 1 });
const wrong = (steps: number): Ending => ({ steps, score: 0 });

describe("hindsight relabelling, worked by hand", () => {
  test("a right answer of three steps is carried back over the steps to come", () => {
    // One rollout, the answer's own end: gamma^(3 - t).
    const targets = [1, 2, 3].map((step) => hindsightTarget(0, step, [right(3)], { gamma: 0.9 }));
    expect(targets).toEqual([0.9 ** 2, 0.9, 1].map((target) => expect.closeTo(target, 12)));
  });

  test("each step keeps its own quality", () => {
    const quality = [1, 0, 0.7];
    const targets = quality.map((one, index) => hindsightTarget(one, index + 1, [right(3)], { gamma: 0.5 }));
    expect(targets).toEqual([1.25, 0.5, 1.7].map((target) => expect.closeTo(target, 12)));
  });

  test("rollouts of different lengths are discounted each by its own, then averaged", () => {
    // From step 2: right after 4, wrong after 3, right after 2, right after 5 steps.
    const endings = [right(4), wrong(3), right(2), right(5)];
    // 0.3 + (0.9^2 + 0 + 1 + 0.9^3) / 4 = 0.3 + (0.81 + 1 + 0.729) / 4
    expect(hindsightTarget(0.3, 2, endings)).toBeCloseTo(0.3 + 2.539 / 4, 12);
  });

  test("0.9 is the gamma where none is given", () => {
    expect(hindsightTarget(0, 1, [right(2)])).toBe(0.9);
  });

  test("a wrong end adds nothing, and the last step gets all of its own", () => {
    expect(hindsightTarget(0.4, 1, [wrong(6)])).toBe(0.4);
    expect(hindsightTarget(0.4, 6, [right(6)])).toBe(1.4);
  });

  test("with gamma 0 only an answer that is finished counts", () => {
    expect(hindsightTarget(0, 2, [right(2), right(3)], { gamma: 0 })).toBe(0.5);
  });
});

test("a Monte-Carlo value is the share of rollouts that were right", () => {
  expect(monteCarloValue(1, [right(3), wrong(2), right(9), right(1)])).toBe(0.75);
  expect(monteCarloValue(0, [{ steps: 1, score: 0.7 }])).toBe(0.7);
});

describe("hard labels", () => {
  test("ask whether any rollout was right", () => {
    expect(hardLabels([0.125, 0, 1, 0.0001], { above: 0 })).toEqual([1, 0, 1, 1]);
  });
  test("ask for more than a number", () => {
    expect(hardLabels([0.5, 0.51, 0.49], { above: 0.5 })).toEqual([0, 1, 0]);
  });
  test("ask for more than 0.85 of the row's largest", () => {
    // 0.85 of 1.8 is 1.53.
    expect(hardLabels([1.8, 1.54, 1.52, 0.2], { aboveShare: 0.85 })).toEqual([1, 1, 0, 0]);
  });
  test("are all 0 where nothing is above 0", () => {
    expect(hardLabels([0, 0, -1], { aboveShare: 0.85 })).toEqual([0, 0, 0]);
    expect(hardLabels([], { aboveShare: 0.85 })).toEqual([]);
  });
});

const step = fc.integer({ min: 0, max: 10 });
const unit = fc.double({ min: 0, max: 1, noNaN: true });
const endingsFrom = (from: number) =>
  fc.array(fc.record({ steps: fc.integer({ min: from, max: from + 30 }), score: unit }), {
    minLength: 1,
    maxLength: 12,
  });
const cases = step.chain((from) => fc.record({ step: fc.constant(from), endings: endingsFrom(from) }));

describe("for any rollouts", () => {
  test("with gamma 1 and no quality the hindsight target is the Monte-Carlo value", () => {
    fc.assert(
      fc.property(cases, ({ step, endings }) => {
        expect(hindsightTarget(0, step, endings, { gamma: 1 })).toBeCloseTo(
          monteCarloValue(step, endings),
          12,
        );
      }),
    );
  });

  test("the target lies between the quality and one above it, and grows with gamma", () => {
    fc.assert(
      fc.property(cases, unit, unit, unit, ({ step, endings }, quality, a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)];
        const low = hindsightTarget(quality, step, endings, { gamma: less });
        const high = hindsightTarget(quality, step, endings, { gamma: more });
        expect(low).toBeGreaterThanOrEqual(quality);
        expect(high).toBeLessThanOrEqual(quality + 1 + 1e-12);
        expect(high).toBeGreaterThanOrEqual(low - 1e-12);
      }),
    );
  });

  test("a step earlier on the same rollouts the carried part shrinks by gamma", () => {
    fc.assert(
      fc.property(cases, unit, ({ step, endings }, gamma) => {
        if (step === 0) return;
        const here = hindsightTarget(0, step, endings, { gamma });
        const before = hindsightTarget(0, step - 1, endings, { gamma });
        expect(before).toBeCloseTo(gamma * here, 12);
      }),
    );
  });

  test("the order of the rollouts does not matter, nor whether they come in equal parts", () => {
    fc.assert(
      fc.property(cases, unit, ({ step, endings }, gamma) => {
        const target = hindsightTarget(0.5, step, endings, { gamma });
        expect(hindsightTarget(0.5, step, [...endings].reverse(), { gamma })).toBeCloseTo(target, 12);
        expect(hindsightTarget(0.5, step, [...endings, ...endings], { gamma })).toBeCloseTo(target, 12);
      }),
    );
  });

  test("hard labels never prefer a smaller target", () => {
    const rule = fc.oneof(fc.record({ above: unit }), fc.record({ aboveShare: unit }));
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 2, noNaN: true })), rule, (targets, one) => {
        const labels = hardLabels(targets, one);
        for (const [i, a] of targets.entries()) {
          for (const [j, b] of targets.entries())
            if (a >= b) expect(labels[i]).toBeGreaterThanOrEqual(labels[j] ?? 1);
        }
      }),
    );
  });
});

test("numbers that cannot be are refused with what is wrong", () => {
  expect(() => hindsightTarget(0, 3, [])).toThrow(/step 3: has no rollout/);
  expect(() => hindsightTarget(0, 3, [right(2)])).toThrow(/step 3: .* cannot end after 2 steps/);
  expect(() => hindsightTarget(0, 1, [right(2)], { gamma: 1.1 })).toThrow(/gamma: 1.1/);
  expect(() => hindsightTarget(0, 1, [right(2)], { gamma: Number.NaN })).toThrow(/gamma/);
  expect(() => hindsightTarget(Number.NaN, 1, [right(2)])).toThrow(/quality/);
  expect(() => hindsightTarget(0, 1, [{ steps: 2, score: Number.NaN }])).toThrow(/score/);
  expect(() => monteCarloValue(1, [])).toThrow(/step 1/);
  expect(() => hardLabels([Number.NaN], { above: 0 })).toThrow(/step 1: target/);
  expect(() => hardLabels([1], { above: Number.NaN })).toThrow(/above/);
});
