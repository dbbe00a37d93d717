/** Fronts: worked examples, and what must hold for any points. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coverage, dominates, frontOf, hypervolume, interference, leastRegret, regrets } from "./front.ts";

const pointsOf = (objectives: number) =>
  fc.array(fc.array(fc.integer({ min: 0, max: 6 }), { minLength: objectives, maxLength: objectives }), {
    minLength: 1,
    maxLength: 8,
  });
const anyPoints = fc.integer({ min: 1, max: 4 }).chain(pointsOf);
const zeros = (points: readonly (readonly number[])[]): number[] => (points[0] ?? []).map(() => 0);

/** Counts the unit cells below some point. */
const counted = (points: readonly (readonly number[])[]): number => {
  const cells = zeros(points).reduce<number[][]>(
    (all) => all.flatMap((cell) => [0, 1, 2, 3, 4, 5].map((at) => [...cell, at])),
    [[]],
  );
  return cells.filter((cell) => points.some((point) => cell.every((at, k) => at < (point[k] ?? 0)))).length;
};

describe("examples", () => {
  test("a front leaves out what is beaten and keeps equals", () => {
    expect(
      frontOf([
        [0.9, 0.1],
        [0.5, 0.5],
        [0.4, 0.4],
        [0.1, 0.9],
        [0.5, 0.5],
      ]),
    ).toEqual([0, 1, 3, 4]);
    expect(frontOf([])).toEqual([]);
    expect(dominates([1, 1], [1, 1])).toBe(false);
  });

  test("hypervolumes of two and three objectives", () => {
    expect(
      hypervolume(
        [
          [2, 1],
          [1, 2],
        ],
        [0, 0],
      ),
    ).toBe(3);
    expect(hypervolume([[1, 1, 1]], [0, 0, 0])).toBe(1);
    // Two boxes of 2 that share 1.
    expect(
      hypervolume(
        [
          [2, 1, 1],
          [1, 1, 2],
        ],
        [0, 0, 0],
      ),
    ).toBe(3);
    expect(hypervolume([[0.5, 0.5]], [0.5, 0])).toBe(0);
    expect(() => hypervolume([[1]], [0, 0])).toThrow(expect.objectContaining({ code: "E_FRONT" }));
  });

  test("coverage, regret and interference", () => {
    expect(
      coverage(
        [[1, 1]],
        [
          [1, 1],
          [2, 0],
        ],
      ),
    ).toBe(0.5);
    expect(coverage([[1, 1]], [])).toBe(0);
    expect(regrets([0.5, 0.75], [1, 0.5])).toEqual([0.5, 0]);
    expect(
      leastRegret(
        [
          [1, 0],
          [0.75, 0.75],
        ],
        [1, 1],
      ),
    ).toBe(0.25);
    expect(
      interference(
        [0.5, 0.5],
        [
          [0.75, 0.25],
          [0.5, 1],
        ],
      ),
    ).toEqual([
      [0.25, -0.25],
      [0, 0.5],
    ]);
  });
});

describe("for any points", () => {
  test("a hypervolume is the number of unit cells below them", () => {
    fc.assert(
      fc.property(anyPoints, (points) => {
        expect(hypervolume(points, zeros(points))).toBeCloseTo(counted(points), 9);
      }),
      { numRuns: 60 },
    );
  });

  test("a hypervolume is that of the front, never falls with a point more, and does not depend on their order", () => {
    fc.assert(
      fc.property(anyPoints, (points) => {
        const zero = zeros(points);
        const all = hypervolume(points, zero);
        expect(
          hypervolume(
            frontOf(points).map((at) => points[at] ?? []),
            zero,
          ),
        ).toBe(all);
        expect(hypervolume(points.toReversed(), zero)).toBe(all);
        expect(hypervolume(points.slice(1), zero)).toBeLessThanOrEqual(all);
      }),
    );
  });

  test("every point is on the front or dominated by one that is; a front covers all its points", () => {
    fc.assert(
      fc.property(anyPoints, (points) => {
        const front = frontOf(points).map((at) => points[at] ?? []);
        for (const [index, point] of points.entries()) {
          expect(frontOf(points).includes(index)).toBe(!front.some((other) => dominates(other, point)));
        }
        expect(coverage(front, points)).toBe(1);
        expect(leastRegret(points, points[0] ?? [])).toBe(0);
      }),
    );
  });
});
