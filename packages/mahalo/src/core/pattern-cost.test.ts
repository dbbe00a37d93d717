/** Tests of the bound on what a pattern may cost. */
import { describe, expect, test } from "vitest";
import { safeLength } from "./pattern-cost.ts";

describe("the longest text that a pattern is safe on", () => {
  test.each([
    ["(a+)+$"],
    ["(a|a)*b"],
    ["(?:a?b?)*"],
    ["(\\w|\\d){30,}"],
    ["([^x]*,)*y"],
    ["(a*)\\1b"],
    ["(?<n>.)\\k<n>"],
    ["a?".repeat(40) + "a".repeat(40)],
    [`${"(".repeat(100_000)}a${")".repeat(100_000)}`],
  ])("%.30s takes time that doubles: a few characters", (source) => {
    expect(safeLength(source)).toBeLessThan(20);
  });

  test("it shrinks with each repetition that stands beside another", () => {
    const lengths = ["abc", "\\s+$", "a*a*$", "a*a*a*$"].map(safeLength);
    expect(lengths).toEqual([100_000_000, 10_000, expect.any(Number), expect.any(Number)]);
    expect(lengths[2]).toBeGreaterThan(400);
    expect(lengths[3]).toBeLessThan(100);
  });

  test("classes, escapes and brackets inside classes are single characters", () => {
    const plain = safeLength("x");
    for (const source of ["[(a+)+]", "\\(\\+\\)", "[\\](+)]", "[]+*]", "\\p{Lu}", "[^)]"]) {
      expect(safeLength(source), source).toBe(plain);
    }
  });

  test("groups that repeat one way of matching count as one part", () => {
    for (const source of ["(?:ab)+", "(?<name>ab)+", "(ab)+?", "(?:a{3})+"]) {
      expect(safeLength(source), source).toBe(safeLength("a+"));
    }
  });
});
