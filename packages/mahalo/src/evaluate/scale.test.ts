/** Positions of a sweep: what scikit-learn's isotonic regression gives, evenly spaced results, and ends that are the ends. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import { fitScale, isotonic, mixAt, type Scale } from "./scale.ts";

const stream = (weight: number) => rng(1, "scale", String(weight));

/** A mix on 400 prompts: of the first objective `1 - share` are right, of the second `share`, with `share` by the weight. */
const measured = (weight: number, share: number) => {
  const scores = (part: number) =>
    Array.from({ length: 400 }, (_, prompt) => Number(prompt < Math.round(400 * part)));
  return {
    mix: { accuracy: 1 - weight, engagement: weight },
    means: { accuracy: 1 - share, engagement: share },
    scores: { accuracy: scores(1 - share), engagement: scores(share) },
  };
};

const fit = (points: readonly (readonly [weight: number, share: number])[]): Scale => {
  const scale = fitScale(
    points.map(([weight, share]) => measured(weight, share)),
    stream,
  );
  if (scale === undefined) throw new Error("no scale");
  return scale;
};

describe("isotonic regression", () => {
  test("gives what scikit-learn's gives", () => {
    // IsotonicRegression().fit_transform(range(8), [1, 2, 1.5, 4, 3, 2, 5, 4.5]) of scikit-learn 1.9.
    expect(isotonic([1, 2, 1.5, 4, 3, 2, 5, 4.5])).toEqual([1, 1.75, 1.75, 3, 3, 3, 4.75, 4.75]);
    expect(isotonic([])).toEqual([]);
  });

  test("never falls, keeps the sum, and leaves alone what is in order", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { maxLength: 20 }), (values) => {
        const fitted = isotonic(values);
        expect(fitted.every((value, index) => index === 0 || value >= (fitted[index - 1] ?? 0) - 1e-12)).toBe(
          true,
        );
        const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);
        expect(sum(fitted)).toBeCloseTo(sum(values), 9);
        const sorted = values.toSorted((a, b) => a - b);
        expect(isotonic(sorted)).toEqual(sorted);
      }),
    );
  });
});

describe("a scale", () => {
  test("moves results evenly where weights do not", () => {
    const scale = fit([
      [0, 0.1],
      [0.75, 0.2],
      [0.875, 0.5],
      [1, 0.9],
    ]);
    expect(scale.objectives).toEqual(["accuracy", "engagement"]);
    expect(scale.points.map(({ position }) => position)).toEqual(
      [0, 0.125, 0.5, 1].map((p) => expect.closeTo(p, 9)),
    );
    for (const { position, low, high } of scale.points) {
      expect(low).toBeLessThan(position + 1e-9);
      expect(high).toBeGreaterThan(position - 1e-9);
    }
    expect(mixAt(scale, 0.5)).toEqual({ accuracy: 0.125, engagement: 0.875 });
    expect(mixAt(scale, 0.0625)).toEqual({ accuracy: 0.625, engagement: 0.375 });
  });

  test("its ends are the ends, and where results stand still the middle is taken", () => {
    const scale = fit([
      [0, 0],
      [0.25, 0.5],
      [0.5, 0.5],
      [0.75, 1],
      [1, 1],
    ]);
    expect(mixAt(scale, 0)).toEqual({ accuracy: 1, engagement: 0 });
    expect(mixAt(scale, 1)).toEqual({ accuracy: 0, engagement: 1 });
    expect(mixAt(scale, 0.5)).toEqual({ accuracy: 0.625, engagement: 0.375 });
  });

  test("rises with the position, whatever was measured", () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(share, { minLength: 3, maxLength: 8 }), (shares) => {
        fc.pre(Math.round(400 * (shares[0] ?? 0)) !== Math.round(400 * (shares.at(-1) ?? 0)));
        const scale = fit(
          shares.map((value, index) => [index / (shares.length - 1), Math.round(400 * value) / 400]),
        );
        let before = -1;
        for (let position = 0; position <= 1; position += 1 / 64) {
          const mix = mixAt(scale, position);
          const weight = weightIn(mix, "engagement");
          expect(weight).toBeGreaterThanOrEqual(before);
          expect(weight + weightIn(mix, "accuracy")).toBeCloseTo(1, 5);
          before = weight;
        }
      }),
      { numRuns: 60 },
    );
  });

  test("is not there without two ends that differ", () => {
    expect(fitScale([], stream)).toBeUndefined();
    expect(fitScale([measured(0, 0.5), measured(1, 0.5)], stream)).toBeUndefined();
    expect(fitScale([measured(0, 0.1), measured(0.9, 0.5)], stream)).toBeUndefined();
    const three = { mix: { a: 1, b: 0, c: 0 }, means: {}, scores: {} };
    expect(fitScale([three, three], stream)).toBeUndefined();
  });

  test.each([-0.1, 1.01, Number.NaN])("position %s is refused", (position) => {
    const scale = fit([
      [0, 0],
      [1, 1],
    ]);
    expect(() => mixAt(scale, position)).toThrow(expect.objectContaining({ code: "E_POSITION" }));
  });
});
