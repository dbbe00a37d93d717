/** Boxed answers: whole ones, half ones, and braces within. */
import { expect, test } from "vitest";
import { boxes, hasBoxed, lastBoxed } from "./boxed.ts";

test.each([
  "\\boxed{4}",
  "so \\boxed {\\frac{\\sqrt{3^{2}}}{2}}.",
  "\\boxed{\\{1, 2\\}}",
  "\\boxed{a\n\nb}",
  "\\boxed{ \\boxed{1}",
])("%j holds a whole one", (text) => expect(hasBoxed(text)).toBe(true));

test.each(["", "\\boxed", "\\boxed 4", "boxed{4}", "\\boxed{\\frac{1}{2}", "\\boxed{4\\}", "} \\boxed{"])(
  "%j holds none",
  (text) => expect(hasBoxed(text)).toBe(false),
);

test("the last whole one is taken, of nested ones the outer one, and a half one behind it changes nothing", () => {
  expect(lastBoxed("\\boxed{1} then \\fbox{2 \\boxed{3}} and \\boxed{4")).toBe("2 \\boxed{3}");
  expect(lastBoxed("\\boxed{1")).toBeUndefined();
  expect(hasBoxed("\\fbox{2}")).toBe(true);
});

test("each says where it stands", () => {
  expect([...boxes("a \\boxed{1} b \\boxed {2}")]).toEqual([
    { content: "1", start: 2, end: 11 },
    { content: "2", start: 14, end: 24 },
  ]);
});

test("many that never end are given up on", () => {
  expect(hasBoxed("\\boxed{".repeat(200_000))).toBe(false);
});
