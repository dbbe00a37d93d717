/** A machine is busy when other programs leave too few processors for the threads that are wanted. */
import { expect, test } from "vitest";
import { isBusy, watchOthers } from "./busy.ts";

test("others may take what is left over, and a quarter of a thread's processors", () => {
  const busy = (others: number, processors: number, threads: number): boolean =>
    isBusy({ others, processors, threads });
  expect(busy(0.4, 2, 2)).toBe(false);
  expect(busy(0.6, 2, 2)).toBe(true);
  expect(busy(1.2, 2, 1)).toBe(false);
  expect(busy(1.3, 2, 1)).toBe(true);
  expect(busy(50, 64, 16)).toBe(false);
  expect(busy(53, 64, 16)).toBe(true);
});

test("watches for a while at least, and counts no more threads than processors", async () => {
  const { others, processors, threads } = await watchOthers(10_000)();
  expect(others).toBeGreaterThanOrEqual(0);
  expect(others).toBeLessThanOrEqual(processors + 1);
  expect(threads).toBe(processors);
});
