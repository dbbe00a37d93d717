/** Random streams repeat, and do not disturb each other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Random, rng } from "./random.ts";
import { normal } from "./testing/normal.ts";

const draw = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.bits());

test("follows the published recurrence of xoshiro128**", () => {
  // First outputs for the state 1, 2, 3, 4, worked out by hand from the recurrence.
  expect(draw(new Random([1, 2, 3, 4]), 3)).toEqual([11520, 0, 5927040]);
});

test("one seed and name give one stream; another seed or name another", () => {
  expect(draw(rng(7, "a", "b"), 8)).toEqual(draw(rng(7, "a", "b"), 8));
  expect(draw(rng(7, "a", "b"), 8)).not.toEqual(draw(rng(8, "a", "b"), 8));
  expect(draw(rng(7, "a", "b"), 8)).not.toEqual(draw(rng(7, "ab"), 8));
});

test("uniform, whole and normal numbers have the moments they should have", () => {
  const random = rng(3, "moments");
  const count = 20_000;
  let sum = 0;
  let normalSum = 0;
  let normalSquares = 0;
  const cells = new Array<number>(10).fill(0);
  for (let i = 0; i < count; i++) {
    sum += random.next();
    const z = normal(random);
    normalSum += z;
    normalSquares += z * z;
    const cell = random.integer(10);
    cells[cell] = (cells[cell] ?? 0) + 1;
  }
  expect(sum / count).toBeCloseTo(0.5, 2);
  expect(Math.abs(normalSum / count)).toBeLessThan(0.03);
  expect(normalSquares / count).toBeCloseTo(1, 1);
  for (const cell of cells) expect(Math.abs(cell - count / 10)).toBeLessThan(250);
});

test("a shuffle keeps every item and leaves its input alone", () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.integer(), (items, seed) => {
      const before = [...items];
      const shuffled = rng(seed, "shuffle").shuffle(items);
      expect(items).toEqual(before);
      expect(shuffled.toSorted((a, b) => a - b)).toEqual(before.toSorted((a, b) => a - b));
    }),
  );
});

test("an empty choice is an error", () => {
  expect(() => rng(0, "x").pick([])).toThrow("integer(n)");
  expect(() => rng(0, "x").integer(1.5)).toThrow("integer(n)");
});
