/** Boxed answers: whole ones, half ones, and braces within. */
import { expect, test } from "vitest";
import { hasBoxed } from "./boxed.ts";

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
