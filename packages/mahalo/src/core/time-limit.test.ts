/** Tests of work with a limit on its time. */
import { describe, expect, test, vi } from "vitest";
import { overdue, withinTime } from "./time-limit.ts";

/** Takes time that doubles with each letter. */
const endless = (): boolean => /^(a+)+$/.test(`${"a".repeat(60)}b`);

describe("work within a time limit", () => {
  test("gives its result or throws its error", () => {
    expect(withinTime(3_600_000, () => [1, undefined])).toEqual([1, undefined]);
    expect(withinTime(3_600_000, () => undefined)).toBeUndefined();
    const error = new TypeError("mine");
    expect(() =>
      withinTime(3_600_000, () => {
        throw error;
      }),
    ).toThrow(error);
  });

  test("is ended when it takes longer: a backtracking pattern, a loop that catches everything", () => {
    expect(withinTime(50, endless)).toBe(overdue);
    expect(
      withinTime(50, () => {
        for (;;) {
          try {
            endless();
          } catch {
            // An end that could be caught would be none.
          }
        }
      }),
    ).toBe(overdue);
    expect(withinTime(3_600_000, () => "still works")).toBe("still works");
  });

  test("is given more time where other programs had the processors", () => {
    const spied = vi.spyOn(process, "cpuUsage").mockReturnValue({ user: 0, system: 0 });
    const slow = (): string => {
      const end = performance.now() + 30;
      while (performance.now() < end);
      return "late";
    };
    expect(withinTime(5, slow)).toBe("late");
    expect(withinTime(1, endless)).toBe(overdue);
    spied.mockRestore();
  });

  test("inside other such work keeps each its own limit", () => {
    expect(withinTime(3_600_000, () => [withinTime(50, endless), withinTime(3_600_000, () => 1)])).toEqual([
      overdue,
      1,
    ]);
  });
});
