/** Tests of units: how large they are, what they measure, and which words are none. */
import { describe, expect, test } from "vitest";
import { newWork, toDouble } from "./rational.ts";
import { isUnitWord, readUnit, sameDimensions } from "./units.ts";

const size = (text: string): number | undefined => {
  const unit = readUnit(text, newWork());
  return unit === undefined ? undefined : toDouble(unit.factor);
};

const alike = (a: string, b: string): boolean => {
  const [left, right] = [readUnit(a, newWork()), readUnit(b, newWork())];
  return left !== undefined && right !== undefined && sameDimensions(left, right);
};

describe("a unit's size", () => {
  test.each([
    ["cm", 0.01],
    ["centimeters", 0.01],
    ["Kilometres", 1000],
    ["inches", 0.0254],
    ["feet", 0.3048],
    ["square cm", 1e-4],
    ["cm ^ 2", 1e-4],
    ["sq ft", 0.3048 ** 2],
    ["meters cubed", 1],
    ["hours", 3600],
    ["km / h", 1000 / 3600],
    ["miles per hour", 1609.344 / 3600],
    ["mph", 1609.344 / 3600],
    ["m / s ^ 2", 1],
    ["dollars", 1],
    ["cents", 0.01],
    ["minutes in all", 60],
  ])("of %s", (text, wanted) => {
    expect(size(text)).toBeCloseTo(wanted, 12);
  });

  test.each(["apples", "", "units", "x y", "cm apples"])("of %j is not known", (text) => {
    expect(size(text)).toBeUndefined();
  });
});

test("units compare where they measure the same", () => {
  expect(alike("km / h", "feet per second")).toBe(true);
  expect(alike("square m", "m ^ 2")).toBe(true);
  expect(alike("m", "m ^ 2")).toBe(false);
  expect(alike("km", "kg")).toBe(false);
  expect(alike("dollars", "euros")).toBe(false);
  // A month has no fixed number of days.
  expect(alike("months", "days")).toBe(false);
});

test("short words are units only in their usual form", () => {
  expect(["cm", "kg", "mph", "m", "L", "pm"].filter((word) => !isUnitWord(word))).toEqual([]);
  expect(["x", "M", "S", "ab", "n"].filter(isUnitWord)).toEqual([]);
});
