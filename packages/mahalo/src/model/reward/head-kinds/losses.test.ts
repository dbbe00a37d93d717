/** Reward losses: PyTorch's formulas, slopes that are the losses' derivatives, and outputs beyond all measure. */
import { ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bradleyTerryLoss } from "./bradley-terry.ts";
import { twoClass } from "./hard.ts";
import { binaryCrossEntropy } from "./soft.ts";
import { squaredError } from "./value.ts";

const outputs = fc.double({ min: -60, max: 60, noNaN: true });
const shares = fc.double({ min: 0, max: 1, noNaN: true });
const close = (value: number, wanted: number, tolerance: number): void =>
  expect(Math.abs(value - wanted)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(wanted)));
/** The value of a float64 loss that libtorch computes. */
const item = (body: () => Tensor): number => scope(() => body().item());
const float64 = (...values: number[]): Tensor => tensor(Float64Array.from(values));

/** (f(x + h) - f(x - h)) / 2h. */
const derivative = (f: (x: number) => number, x: number, h = 1e-5): number => (f(x + h) - f(x - h)) / (2 * h);

describe("squared error", () => {
  test("is (v - y)² with slope 2 (v - y)", () => {
    expect(squaredError(1.5, 0.5)).toEqual({ loss: 1, slope: 2 });
    expect(squaredError(0.7, 0.7)).toEqual({ loss: 0, slope: 0 });
    expect(squaredError(-1, 1.9).loss).toBeCloseTo(8.41, 12);
  });
});

describe("binary cross-entropy on a number", () => {
  test("is libtorch's, and its slope the derivative", () => {
    fc.assert(
      fc.property(outputs, shares, (logit, label) => {
        const { loss, slope } = binaryCrossEntropy(logit, label);
        close(
          loss,
          item(() => ops.bceWithLogits(float64(logit), float64(label))),
          1e-12,
        );
        close(
          slope,
          derivative((x) => binaryCrossEntropy(x, label).loss, logit),
          1e-6,
        );
      }),
    );
  });

  test("is least where the logistic of the logit is the label, whatever number that is", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.01, max: 0.99, noNaN: true }), outputs, (label, other) => {
        const least = binaryCrossEntropy(Math.log(label / (1 - label)), label);
        close(least.slope, 0, 1e-12);
        expect(binaryCrossEntropy(other, label).loss).toBeGreaterThanOrEqual(least.loss - 1e-12);
      }),
    );
    // Worked by hand: -0.7 log 0.7 - 0.3 log 0.3.
    expect(binaryCrossEntropy(Math.log(7 / 3), 0.7).loss).toBeCloseTo(0.6108643, 7);
  });

  test("stays finite however far the logit is off", () => {
    expect(binaryCrossEntropy(1e4, 0)).toEqual({ loss: 1e4, slope: 1 });
    expect(binaryCrossEntropy(-1e4, 1)).toEqual({ loss: 1e4, slope: -1 });
    expect(binaryCrossEntropy(1e4, 1)).toEqual({ loss: 0, slope: 0 });
  });
});

describe("two-class cross-entropy", () => {
  test("is libtorch's for class indices and for shares of the classes, and its slopes the derivatives", () => {
    fc.assert(
      fc.property(outputs, outputs, fc.constantFrom(0, 1), shares, (z0, z1, index, share) => {
        const logits = (): Tensor => float64(z0, z1).view(1, 2);
        const byIndex = item(() =>
          ops.crossEntropy(logits(), tensor(Int32Array.of(index), { dtype: "int64" })),
        );
        close(twoClass([z0, z1], index).loss, byIndex, 1e-12);
        const byShare = item(() => ops.crossEntropy(logits(), float64(1 - share, share).view(1, 2)));
        const { loss, slopes } = twoClass([z0, z1], share);
        close(loss, byShare, 1e-12);
        close(
          slopes[0],
          derivative((x) => twoClass([x, z1], share).loss, z0),
          1e-6,
        );
        close(
          slopes[1],
          derivative((x) => twoClass([z0, x], share).loss, z1),
          1e-6,
        );
      }),
    );
  });

  test("is log 2 where the classes are alike, and does not change when both move", () => {
    expect(twoClass([3, 3], 1)).toEqual({ loss: Math.LN2, slopes: [0.5, -0.5] });
    expect(twoClass([3, 3], 0)).toEqual({ loss: Math.LN2, slopes: [-0.5, 0.5] });
    expect(twoClass([1002, 1000], 1)).toEqual(twoClass([2, 0], 1));
  });
});

describe("the Bradley-Terry loss", () => {
  test("is -log σ(m) with slope -σ(-m)", () => {
    expect(bradleyTerryLoss(0)).toEqual({ loss: Math.LN2, slope: -0.5 });
    fc.assert(
      fc.property(outputs, (margin) => {
        close(
          bradleyTerryLoss(margin).loss,
          item(() => ops.neg(ops.logSigmoid(float64(margin)))),
          1e-12,
        );
        close(
          bradleyTerryLoss(margin).slope,
          derivative((x) => bradleyTerryLoss(x).loss, margin),
          1e-6,
        );
      }),
    );
  });
});
