/** Metrics of reward scores, by hand, against their definitions, and at the edges where they say nothing. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { logistic } from "../core/logistic.ts";
import {
  areaUnderCurve,
  calibrationError,
  correlation,
  objectiveMetrics,
  type RewardRecord,
  rewardMetrics,
  scoreMargin,
} from "./reward-metrics.ts";

/** Few distinct scores, so that ties are common. */
const scored = fc.array(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.boolean()), {
  minLength: 1,
  maxLength: 30,
});

describe("the area under the curve", () => {
  test("is how often a positive scores above a negative, ties half", () => {
    fc.assert(
      fc.property(scored, (rows) => {
        const [scores, positive] = [rows.map(([score]) => score), rows.map(([, label]) => label)];
        const pairs = rows.flatMap(([a, up]) => rows.flatMap(([b, down]) => (up && !down ? [[a, b]] : [])));
        const wins = pairs.reduce((sum, [a = 0, b = 0]) => sum + (a > b ? 1 : a === b ? 0.5 : 0), 0);
        const area = areaUnderCurve(scores, positive);
        if (pairs.length === 0) expect(area).toBeUndefined();
        else expect(area).toBeCloseTo(wins / pairs.length, 12);
      }),
    );
  });

  test("does not change under any increasing map of the scores", () => {
    fc.assert(
      fc.property(scored, (rows) => {
        const [scores, positive] = [rows.map(([score]) => score), rows.map(([, label]) => label)];
        expect(areaUnderCurve(scores.map(logistic), positive)).toEqual(areaUnderCurve(scores, positive));
      }),
    );
  });

  test("of more scores than labels is a mistake of the caller's", () => {
    expect(() => areaUnderCurve([1, 2], [true])).toThrow(
      expect.objectContaining({ code: "E_METRICS_LENGTH" }),
    );
  });
});

describe("the calibration error", () => {
  test("is the size-weighted distance of a bin's mean label from its mean probability", () => {
    // Bins of 0.1: {0.82, 0.88} with labels 1, 0 and {0.31} with label 0.7, {1} with label 1.
    const wanted = (2 / 4) * Math.abs(0.5 - 0.85) + (1 / 4) * Math.abs(0.7 - 0.31) + 0;
    expect(calibrationError([0.82, 0.88, 0.31, 1], [1, 0, 0.7, 1])).toBeCloseTo(wanted, 12);
  });

  test("is 0 for probabilities that are their labels, and undefined for none", () => {
    expect(calibrationError([0.7, 0.2, 0], [0.7, 0.2, 0])).toBe(0);
    expect(calibrationError([], [])).toBeUndefined();
  });
});

test("correlation is 1 for any rising line, -1 for a falling one, and undefined without spread", () => {
  expect(correlation([1, 2, 4], [3, 5, 9])).toBeCloseTo(1, 12);
  expect(correlation([1, 2, 4], [-3, -5, -9])).toBeCloseTo(-1, 12);
  expect(correlation([1, 2, 3], [0, 1, 0])).toBeCloseTo(0, 12);
  expect(correlation([2, 2], [0, 1])).toBeUndefined();
  expect(correlation([0, 1], [1, 1])).toBeUndefined();
});

test("the margin is the positives' mean score minus the negatives'", () => {
  expect(scoreMargin([1, 2, 7], [false, true, true])).toBe(3.5);
  expect(scoreMargin([1, 2], [true, true])).toBeUndefined();
});

const STEPS: RewardRecord[] = [
  { objective: "accuracy", kind: "soft", losses: [0.5, 0.1], scores: [0.9, 0.4], labels: [1, 0.7] },
  { objective: "accuracy", kind: "soft", losses: [0.3], scores: [0.2], labels: [0] },
];
const PAIRS: RewardRecord[] = [
  { objective: "helpful", kind: "bradley-terry", loss: 0.2, chosen: 2, rejected: 1 },
  { objective: "helpful", kind: "bradley-terry", loss: 0.9, chosen: -1, rejected: 0 },
];

describe("metrics of an objective", () => {
  test("of steps count steps, not rows", () => {
    expect(objectiveMetrics(STEPS)).toEqual({
      loss: expect.closeTo(0.3, 12),
      accuracy: expect.closeTo(2 / 3, 12),
      auc: 1,
      ece: expect.closeTo((0.1 + 0.3 + 0.2) / 3, 12),
      correlation: correlation([0.9, 0.4, 0.2], [1, 0.7, 0]),
      margin: expect.closeTo(0.45, 12),
    });
  });

  test("of a value head have no calibration, and take the threshold that they are told", () => {
    const record: RewardRecord = {
      objective: "a",
      kind: "value",
      losses: [1, 1],
      scores: [1.2, 1.8],
      labels: [1.1, 1.9],
    };
    expect(objectiveMetrics([record], 1.5)).toEqual({
      loss: 1,
      accuracy: 1,
      auc: 1,
      correlation: expect.closeTo(1, 12),
      margin: expect.closeTo(0.6, 12),
    });
    // Both are above 0.5: there is no negative to compare with.
    expect(Object.keys(objectiveMetrics([record]))).toEqual(["loss", "accuracy", "correlation"]);
  });

  test("of pairs ask which side scores higher", () => {
    expect(objectiveMetrics(PAIRS)).toEqual({
      loss: expect.closeTo(0.55, 12),
      accuracy: 0.5,
      auc: areaUnderCurve([2, 1, -1, 0], [true, false, true, false]),
      ece: expect.closeTo(Math.abs(logistic(1) - 0.5), 12),
      correlation: correlation([2, 1, -1, 0], [1, 0, 1, 0]),
      margin: 0,
    });
  });
});

describe("metrics of a step", () => {
  test("hold each objective's own, and the mean of their losses whatever their shares", () => {
    const all = rewardMetrics([...STEPS, ...PAIRS]);
    expect(all.loss).toBeCloseTo((0.3 + 0.55) / 2, 12);
    expect(all.accuracy).toBeCloseTo((2 / 3 + 0.5) / 2, 12);
    expect(all["accuracy/auc"]).toBe(1);
    expect(all["helpful/margin"]).toBe(0);
    expect(rewardMetrics([...STEPS, ...PAIRS], { weights: { helpful: 3 } }).loss).toBeCloseTo(
      0.25 * 0.3 + 0.75 * 0.55,
      12,
    );
  });

  test("of no rows are a mistake of the caller's", () => {
    expect(() => rewardMetrics([])).toThrow(expect.objectContaining({ code: "E_METRICS_EMPTY" }));
  });
});
