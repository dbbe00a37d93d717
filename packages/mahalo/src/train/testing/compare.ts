/** How far arrays of numbers are apart, measured by the largest of them. */
import { expect } from "vitest";

/**
 * max |a - b| / max |b|: an error in units of the array's own size, so that small gradients are not compared with 1.
 *
 * 0 where both are all zero; infinite where lengths differ, a number is not finite, or only `b` is all zero.
 */
export const relativeToLargest = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let gap = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const [left = Number.NaN, right = Number.NaN] = [a[i], b[i]];
    if (!Number.isFinite(left) || !Number.isFinite(right)) return Number.POSITIVE_INFINITY;
    gap = Math.max(gap, Math.abs(left - right));
    largest = Math.max(largest, Math.abs(right));
  }
  return gap === 0 ? 0 : gap / largest;
};

/** Expects arrays of the same names, each within `tolerance` by {@link relativeToLargest}. */
export const expectClose = (
  actual: ReadonlyMap<string, ArrayLike<number>>,
  wanted: ReadonlyMap<string, ArrayLike<number>>,
  tolerance: number,
): void => {
  expect([...actual.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, values] of wanted) {
    expect(relativeToLargest(actual.get(name) ?? [], values), name).toBeLessThan(tolerance);
  }
};
