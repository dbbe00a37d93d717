/** Tests of trying again: which failures, how often, and how long the waits are. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { backoff, PassingFailure, type RetryOptions, retry } from "./retry.ts";

test("waits double between half and all of a bound, never less than is asked for", () => {
  const bounds = { firstWait: 0.5, longestWait: 30 };
  expect([1, 2, 3, 10].map((failures) => backoff(failures, bounds, 0))).toEqual([0.25, 0.5, 1, 15]);
  expect(backoff(3, bounds, 1)).toBe(2);
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      (failures, random, asked) => {
        const wait = backoff(failures, bounds, random, asked);
        expect(wait).toBeGreaterThanOrEqual(asked);
        expect(wait).toBeLessThanOrEqual(Math.max(asked, Math.min(30, 0.5 * 2 ** (failures - 1))));
      },
    ),
  );
});

describe("work", () => {
  const waits: number[] = [];
  const options = (more: Partial<RetryOptions> = {}): RetryOptions => {
    waits.length = 0;
    return {
      tries: 3,
      wait: async (failures) => {
        waits.push(failures);
      },
      giveUp: (failure, failures) => new Error(`${failure.message} (tried ${failures} times)`),
      ...more,
    };
  };
  const failing = (...errors: Error[]) =>
    vi.fn(async () => {
      const error = errors.shift();
      if (error !== undefined) throw error;
      return "done";
    });
  const passing = (): PassingFailure => new PassingFailure("busy");

  test("is tried until it succeeds, and no more often than is allowed", async () => {
    expect(await retry(failing(passing(), passing()), options())).toBe("done");
    expect(waits).toEqual([1, 2]);
    const work = failing(passing(), passing(), passing());
    await expect(retry(work, options())).rejects.toThrow("busy (tried 3 times)");
    expect([work.mock.calls.length, waits]).toEqual([3, [1, 2]]);
  });

  test("that fails for good, or whose wait is refused, is not tried again", async () => {
    const work = failing(new Error("refused"));
    await expect(retry(work, options())).rejects.toThrow("refused");
    expect(work).toHaveBeenCalledTimes(1);
    const wait = () => Promise.reject(new Error("too long"));
    await expect(retry(failing(passing()), options({ wait }))).rejects.toThrow("too long");
  });

  test("that comes further counts its failures from 1 again", async () => {
    const work = failing(...Array.from({ length: 9 }, passing));
    expect(await retry(work, options({ progressed: () => true }))).toBe("done");
    expect(waits).toEqual(Array(9).fill(1));
  });

  test("is given up at its first failure once it is to end", async () => {
    const ending = AbortSignal.abort();
    await expect(retry(failing(passing()), options({ ending }))).rejects.toThrow("busy (tried 1 times)");
    expect(waits).toEqual([]);
  });
});
