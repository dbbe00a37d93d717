/** MODPO and scalarised rewards: where they are DPO, gradients, and what they refuse. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sigmoid } from "../losses.ts";
import { atMargin } from "../testing/at-margin.ts";
import { modpo } from "./modpo.ts";
import { rankBy, scalarized } from "./scalarize.ts";

const margins = fc.double({ min: -100, max: 100, noNaN: true });
const weights = fc.double({ min: 0.05, max: 1, noNaN: true });
const rewardMargins = fc.double({ min: -20, max: 20, noNaN: true });

describe("MODPO", () => {
  test("with weight 1 on one objective is DPO, bit for bit", () => {
    fc.assert(
      fc.property(margins, weights, (margin, beta) => {
        const loss = modpo({ beta, weight: 1, others: 0 });
        expect(atMargin(loss)(margin)).toEqual(atMargin(sigmoid({ beta }))(margin));
      }),
    );
  });

  test("has a slope that is the derivative of its loss", () => {
    fc.assert(
      fc.property(margins, weights, rewardMargins, (margin, weight, others) => {
        const loss = atMargin(modpo({ weight, others }));
        const step = 1e-4;
        const numeric = (loss(margin + step).loss - loss(margin - step).loss) / (2 * step);
        expect(Math.abs(loss(margin).slope - numeric)).toBeLessThan(1e-5);
      }),
    );
  });

  test("asks less of a pair that the other objectives reward already, and more of one that they do not", () => {
    const at = (others: number): number => atMargin(modpo({ weight: 0.5, others }))(0).loss;
    expect(at(-1)).toBeLessThan(at(0));
    expect(at(0)).toBeCloseTo(Math.LN2, 12);
    expect(at(1)).toBeGreaterThan(at(0));
  });

  test.each([0, -0.1, 1.1, Number.NaN])("refuses the weight %d", (weight) => {
    expect(() => modpo({ weight, others: 0 })).toThrow(expect.objectContaining({ code: "E_LOSS_OPTION" }));
  });
});

describe("scalarised rewards", () => {
  const known = new Map([
    ["a", [1, -2]],
    ["b", [-3, 1]],
  ]);

  test("are the weighted sum, an objective of weight 0 or left out not being asked", () => {
    expect(
      scalarized(
        known,
        new Map([
          ["a", 0.75],
          ["b", 0.25],
        ]),
        0,
      ),
    ).toBe(0);
    expect(
      scalarized(
        known,
        new Map([
          ["a", 0.5],
          ["b", 0.5],
        ]),
        1,
        "a",
      ),
    ).toBe(0.5);
    expect(
      scalarized(
        known,
        new Map([
          ["a", 1],
          ["none", 0],
        ]),
        1,
      ),
    ).toBe(-2);
  });

  test("that are missing are an error that names the objective", () => {
    expect(() => scalarized(known, new Map([["c", 1]]), 0)).toThrow(
      expect.objectContaining({ code: "E_REWARD_GAP", message: expect.stringContaining("rewards.c") }),
    );
  });

  test("turn the pairs round that they see the other way, ties staying", () => {
    const pair = { chosen: "x", rejected: "y", at: 1 };
    const turned = { chosen: "y", rejected: "x", at: 1 };
    expect(rankBy([pair, pair, pair], [2, 0, -1])).toEqual([pair, pair, turned]);
  });
});
