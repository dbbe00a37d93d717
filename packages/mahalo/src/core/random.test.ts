/** Random streams repeat, do not disturb each other, and can be carried on. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Random, randomStateSchema, stream } from "./random.ts";

const draw = (random: Random, count: number): number[] => Array.from({ length: count }, () => random.bits());

test("follows the published recurrence of xoshiro128**", () => {
  // First outputs for the state 1, 2, 3, 4, worked out by hand from the recurrence.
  expect(draw(new Random([1, 2, 3, 4]), 3)).toEqual([11520, 0, 5927040]);
});

test("one seed and name give one stream; another seed or name another", () => {
  expect(draw(stream(7, "a", "b"), 8)).toEqual(draw(stream(7, "a", "b"), 8));
  expect(draw(stream(7, "a", "b"), 8)).not.toEqual(draw(stream(8, "a", "b"), 8));
  expect(draw(stream(7, "a", "b"), 8)).not.toEqual(draw(stream(7, "ab"), 8));
});

test("a kept state continues where it was, through JSON too", () => {
  const random = stream(0, "kept");
  random.normal();
  const state = randomStateSchema.parse(JSON.parse(JSON.stringify(random.state())));
  const expected = draw(random, 5);
  const other = stream(1, "other");
  other.restore(state);
  expect(draw(other, 5)).toEqual(expected);
  expect(() => other.restore([0, 0, 0, 0])).toThrow();
});

test("uniform, whole and normal numbers have the moments they should have", () => {
  const random = stream(3, "moments");
  const count = 20_000;
  let sum = 0;
  let normalSum = 0;
  let normalSquares = 0;
  const cells = new Array<number>(10).fill(0);
  for (let i = 0; i < count; i++) {
    sum += random.next();
    const z = random.normal();
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
      const shuffled = stream(seed, "shuffle").shuffle(items);
      expect(items).toEqual(before);
      expect(shuffled.toSorted((a, b) => a - b)).toEqual(before.toSorted((a, b) => a - b));
    }),
  );
});

test("an empty choice is an error", () => {
  expect(() => stream(0, "x").pick([])).toThrow("integer(n)");
  expect(() => stream(0, "x").integer(1.5)).toThrow("integer(n)");
});
