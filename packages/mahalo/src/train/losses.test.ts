/** Preference losses: the papers' formulas, slopes that are the losses' derivatives, and margins beyond all forwardWithoutGrad. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ipo as ipoLoss,
  ipoNorm,
  type PairLogProbs,
  type PairLossOptions,
  pairLoss,
  pairLosses,
  sigmoid as sigmoidLoss,
  simpo,
} from "./losses.ts";
import { atMargin } from "./testing/at-margin.ts";

const sigmoid = (options?: PairLossOptions) => atMargin(sigmoidLoss(options));
const ipo = (options?: PairLossOptions) => atMargin(ipoLoss(options));
const margins = fc.double({ min: -200, max: 200, noNaN: true });
const betas = fc.double({ min: 0.01, max: 2, noNaN: true });
const smoothings = fc.double({ min: 0, max: 0.49, noNaN: true });

/** Written as in the paper; overflows where the library's must not. */
const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
const close = (value: number, wanted: number, tolerance: number): void =>
  expect(Math.abs(value - wanted)).toBeLessThanOrEqual(tolerance * Math.max(1, Math.abs(wanted)));

/** Options that a loss takes. */
const optionsOf = (name: string, beta: number, smoothing: number): PairLossOptions =>
  pairLosses.get(name).reads.includes("smoothing") ? { beta, smoothing } : { beta };

const logps = fc.double({ min: -200, max: 0, noNaN: true });
const lengths = fc.integer({ min: 1, max: 40 });
const pairs: fc.Arbitrary<PairLogProbs> = fc.record({
  chosen: logps,
  rejected: logps,
  refChosen: logps,
  refRejected: logps,
  chosenLength: lengths,
  rejectedLength: lengths,
});

describe("the sigmoid loss", () => {
  test("is -log σ(βm), with label smoothing -(1 - s) log σ(βm) - s log σ(-βm)", () => {
    fc.assert(
      fc.property(margins, betas, smoothings, (margin, beta, smoothing) => {
        fc.pre(Math.abs(beta * margin) < 30);
        const right = -Math.log(logistic(beta * margin));
        const turned = -Math.log(logistic(-beta * margin));
        close(sigmoid({ beta })(margin).loss, right, 1e-10);
        close(sigmoid({ beta, smoothing })(margin).loss, (1 - smoothing) * right + smoothing * turned, 1e-10);
      }),
    );
  });

  test("is log 2 with slope -β/2 where policy and reference agree, and β is 0.1 by default", () => {
    expect(sigmoid()(0)).toEqual({ loss: Math.LN2, slope: -0.05 });
    expect(sigmoid({ beta: 0.4 })(0)).toEqual({ loss: Math.LN2, slope: -0.2 });
    expect(sigmoid()(7)).toEqual(sigmoid({ beta: 0.1, smoothing: 0 })(7));
  });

  test("without smoothing falls for ever; with it has its least value where σ(βm) = 1 - s", () => {
    fc.assert(
      fc.property(margins, betas, smoothings, (margin, beta, smoothing) => {
        fc.pre(beta * margin < 700);
        expect(sigmoid({ beta })(margin).slope).toBeLessThan(0);
        fc.pre(smoothing > 1e-6);
        const least = Math.log((1 - smoothing) / smoothing) / beta;
        const loss = sigmoid({ beta, smoothing });
        close(loss(least).slope, 0, 1e-12);
        expect(loss(margin).loss).toBeGreaterThanOrEqual(loss(least).loss - 1e-12);
      }),
    );
  });
});

describe("the identity loss", () => {
  test("is the squared distance of the margin to 1 / (2β)", () => {
    expect(ipo({ beta: 0.25 })(2)).toEqual({ loss: 0, slope: 0 });
    expect(ipo({ beta: 0.25 })(5)).toEqual({ loss: 9, slope: 6 });
    expect(ipo()(0)).toEqual({ loss: 25, slope: -10 });
    fc.assert(
      fc.property(margins, betas, (margin, beta) => {
        close(ipo({ beta })(margin).loss, (margin - 1 / (2 * beta)) ** 2, 1e-12);
      }),
    );
  });
});

test("IPO of means is IPO of the margin of means, and of single tokens IPO itself", () => {
  fc.assert(
    fc.property(pairs, betas, (pair, beta) => {
      const { chosen, rejected, refChosen, refRejected, chosenLength, rejectedLength } = pair;
      const margin = (chosen - refChosen) / chosenLength - (rejected - refRejected) / rejectedLength;
      close(ipoNorm({ beta })(pair).loss, ipo({ beta })(margin).loss, 1e-12);
      const single = { ...pair, chosenLength: 1, rejectedLength: 1 };
      close(ipoNorm({ beta })(single).loss, ipoLoss({ beta })(single).loss, 1e-9);
    }),
  );
});

describe("SimPO", () => {
  const pair = { chosen: -6, rejected: -5, chosenLength: 3, rejectedLength: 2 };
  const references = [
    { refChosen: 0, refRejected: 0 },
    { refChosen: -1, refRejected: -9 },
  ];

  test("is -log σ of the difference of mean log-probabilities, scaled by β, less γ; it reads no reference", () => {
    for (const reference of references) {
      const { loss, rewards } = simpo({ beta: 2, gamma: 0.25 })({ ...pair, ...reference });
      expect(loss).toBeCloseTo(-Math.log(logistic(2 * (-2 + 2.5) - 0.25)), 12);
      expect(rewards).toEqual({ chosen: -4, rejected: -5 });
    }
  });

  test("has β 2 and γ 0.5 by default, also by its name", () => {
    const whole = { ...pair, refChosen: 0, refRejected: 0 };
    expect(simpo()(whole)).toEqual(simpo({ beta: 2, gamma: 0.5, smoothing: 0 })(whole));
    expect(pairLoss("simpo")(whole)).toEqual(simpo()(whole));
  });

  test.each([-0.1, Number.NaN, Number.POSITIVE_INFINITY])("refuses γ %d", (gamma) => {
    expect(() => pairLoss("simpo", { gamma })).toThrow(
      expect.objectContaining({ code: "E_LOSS_OPTION", message: expect.stringContaining("gamma") }),
    );
  });
});

describe.each(pairLosses.names)("%s", (name) => {
  test("has slopes that are the derivatives of its loss by both log-probabilities", () => {
    fc.assert(
      fc.property(pairs, betas, smoothings, (pair, beta, smoothing) => {
        const loss = pairLoss(name, optionsOf(name, beta, smoothing));
        const step = 1e-4;
        const { loss: here, dChosen, dRejected } = loss(pair);
        const rounding = ((here + 1) * 2 ** -50) / step;
        for (const [side, slope] of [
          ["chosen", dChosen],
          ["rejected", dRejected],
        ] as const) {
          const moved = (by: number): number => loss({ ...pair, [side]: pair[side] + by }).loss;
          const numeric = (moved(step) - moved(-step)) / (2 * step);
          expect(Math.abs(slope - numeric)).toBeLessThanOrEqual(1e-6 + 4 * rounding);
        }
      }),
    );
  });

  test("has a slope that is the derivative of its loss", () => {
    fc.assert(
      fc.property(margins, betas, smoothings, (margin, beta, smoothing) => {
        const loss = atMargin(pairLoss(name, optionsOf(name, beta, smoothing)));
        const step = 1e-4;
        const numeric = (loss(margin + step).loss - loss(margin - step).loss) / (2 * step);
        // Rounding of a loss of this size, divided by the step.
        const rounding = (loss(margin).loss * 2 ** -52) / step;
        expect(Math.abs(loss(margin).slope - numeric)).toBeLessThanOrEqual(1e-6 + 4 * rounding);
      }),
    );
  });

  test("stays finite for any margin that log-probabilities can have, and never rewards the rejected response", () => {
    const extreme = fc.oneof(
      fc.double({ min: -1e150, max: 1e150, noNaN: true }),
      fc.constantFrom(-1e150, -3e38, -1e6, -745, -0, 0, 745, 1e6, 3e38, 1e150),
    );
    fc.assert(
      fc.property(extreme, betas, smoothings, (margin, beta, smoothing) => {
        const { loss, slope } = atMargin(pairLoss(name, optionsOf(name, beta, smoothing)))(margin);
        expect(Number.isFinite(loss)).toBe(true);
        expect(Number.isFinite(slope)).toBe(true);
        expect(loss).toBeGreaterThanOrEqual(0);
        if (margin < -745) expect(slope).toBeLessThan(0);
      }),
    );
  });

  test("is made by name, with the same numbers", () => {
    const options = optionsOf(name, 0.3, 0.2);
    expect(atMargin(pairLoss(name, options))(1.5)).toEqual(atMargin(pairLosses.get(name).make(options))(1.5));
    expect(atMargin(pairLoss(name))(1.5)).toEqual(atMargin(pairLosses.get(name).make())(1.5));
  });

  test.each([0, -0.1, Number.NaN, Number.POSITIVE_INFINITY])("refuses beta %d", (beta) => {
    expect(() => pairLoss(name, { beta })).toThrow(
      expect.objectContaining({ code: "E_LOSS_OPTION", message: expect.stringContaining("beta") }),
    );
  });

  test.each([0.5, 1, -0.1, Number.NaN])("refuses smoothing %d", (smoothing) => {
    expect(() => pairLoss(name, { smoothing })).toThrow(
      expect.objectContaining({ code: "E_LOSS_OPTION", message: expect.stringContaining("smoothing") }),
    );
  });
});

test("smoothing is refused, not passed over, by a loss that has none", () => {
  for (const name of ["ipo", "ipo-norm"] as const) {
    expect(() => pairLoss(name, { smoothing: 0.1 })).toThrow(
      expect.objectContaining({
        code: "E_LOSS_OPTION",
        message: expect.stringContaining(`${name} has none`),
      }),
    );
  }
});

test("SimPO's margin is refused by every other loss", () => {
  for (const name of pairLosses.names) {
    if (name === "simpo") continue;
    expect(() => pairLoss(name, { gamma: 0.5 })).toThrow(
      expect.objectContaining({ code: "E_LOSS_OPTION", message: expect.stringContaining("gamma: ") }),
    );
  }
});
