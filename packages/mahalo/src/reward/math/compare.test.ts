/** Tests of comparing answers by meaning: pairs of each kind, properties, and hostile strings. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sameAnswer } from "./compare.ts";

describe("equal", () => {
  test.each([
    ["18", "18.0"],
    ["1,234", "1234"],
    ["$1,234.50", "1234.5"],
    ["\\frac{1}{2}", "0.5"],
    ["\\frac12", "1/2"],
    ["1\\frac{1}{2}", "3/2"],
    ["2 1/3", "\\dfrac{7}{3}"],
    ["50\\%", "0.5"],
    ["50%", "50"],
    ["5 \\text{ cm}", "5"],
    ["1 m", "100 cm"],
    ["18 apples", "18"],
    ["\\sqrt{8}", "2\\sqrt{2}"],
    ["2^{10}", "1024"],
    ["2\\pi", "\\pi\\cdot 2"],
    ["x = 5", "5"],
    ["(1, 2)", "\\left(1,2\\right)"],
    ["\\{1, 2\\}", "\\{2, 1\\}"],
    ["[0, 1) \\cup (2, \\infty)", "(2,\\infty)\\cup[0,1)"],
    ["\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix}1 & 2 \\\\ 3 & \\frac{8}{2}\\end{bmatrix}"],
    ["(x+1)^2", "x^2+2x+1"],
    ["y = 2x + 1", "2x - y + 1 = 0"],
    ["x < 3", "3 > x"],
    ["\\sin^2 x + \\cos^2 x", "1"],
    ["1, -1", "\\pm 1"],
    ["\\text{Monday}", "monday"],
  ])("%s and %s", (a, b) => {
    expect([sameAnswer(a, b), sameAnswer(b, a)]).toEqual([true, true]);
  });
});

describe("unequal", () => {
  test.each([
    ["18", "19"],
    ["0.33", "1/3"],
    ["1 m", "1 cm"],
    ["(1,2)", "(2,1)"],
    ["[0,1)", "(0,1)"],
    ["\\{1,2\\}", "\\{1,3\\}"],
    ["\\sqrt{2}", "1.41"],
    ["x^2", "x^3"],
    ["x < 3", "x > 3"],
    ["x+1", "x-1"],
    ["\\text{Monday}", "Tuesday"],
    ["10^{20}", "10^{20}+1"],
  ])("%s and %s", (a, b) => {
    expect([sameAnswer(a, b), sameAnswer(b, a)]).toEqual([false, false]);
  });
});

test("formatting never changes a fraction's verdict", () => {
  const whole = fc.integer({ min: 1, max: 99 });
  fc.assert(
    fc.property(whole, whole, whole, whole, (a, b, c, d) => {
      const equal = a * d === b * c;
      expect(sameAnswer(`${a}/${b}`, `\\frac{${c}}{${d}}`)).toBe(equal);
      expect(sameAnswer(`\\dfrac{${a}}{${b}}`, `$${c}/${d}$`)).toBe(equal);
      expect(sameAnswer(`\\frac{${c}}{${d}}`, `${a}/${b}`)).toBe(equal);
    }),
  );
});

test("any string is the same as itself, and comparing is symmetric", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."12x+-*/^(){}\\,.%$ ") }), fc.string(), (a, b) => {
      expect(sameAnswer(a, a)).toBe(true);
      expect(sameAnswer(a, b)).toBe(sameAnswer(b, a));
    }),
  );
});

test("hostile strings are answered", () => {
  for (const hostile of [
    "(".repeat(4000),
    "{".repeat(2000) + "}".repeat(2000),
    "9^{9^{9^{9}}}",
    "((((9^99)^99)^99)^99)^99",
    "1000000000!",
    "\\frac".repeat(700),
    "-".repeat(4000),
    "1".repeat(10_000_000),
    "x^".repeat(2000),
    `\\sqrt{${"\\frac{1}{1+".repeat(50)}`,
  ])
    expect(sameAnswer(hostile, "1")).toBe(false);
});
