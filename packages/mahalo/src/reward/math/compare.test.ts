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
    ["0.333333", "1/3"],
    ["9 (apples)", "9"],
    ["3 pieces of fruit", "3"],
    ["1 (pieces of pepperoni)", "1 (card)"],
    ["12 (inches)", "1 (foot)"],
    ["3:4", "3 : 4"],
    ["Vendor 2", "vendor  2"],
    ["February 3rd", "\\text{February 3rd}"],
    ["120\\pi \\text{ cm}^3", "120\\pi"],
    ["33\\frac{1}{3}\\%", "\\frac{100}{3}\\%"],
    ["\\{-1, 1\\}", "\\{\\pm 1\\}"],
    ["\\{1, 1, 2\\}", "\\{1, 2\\}"],
    ["0 \\le x < 1", "[0, 1)"],
    ["3 < x", "(3, \\infty)"],
    ["x \\le 3", "(-\\infty, 3]"],
    ["\\ln(ab)", "\\ln a + \\ln b"],
    ["\\sqrt{a}\\sqrt{b}", "\\sqrt{ab}"],
    ["x = 2, y = 3", "y = 3, x = 2"],
    ["f(x) = 2x", "y = 2x"],
    ["g(x, y) = xy", "xy"],
    ["\\text{(B)}", "b"],
    ["1/2x", "\\frac{x}{2}"],
    ["\\sin^{-1} 1", "\\frac{\\pi}{2}"],
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
    ["x = 5", "y = 5"],
    ["x + y = 3", "x - y = 3"],
    ["x + y = 3", "3"],
    ["The Cooper wedding", "The first rest stop"],
    ["A man", "A woman"],
    ["10 (g)", "10 (kg)"],
    ["-(x - y)", "-x - y"],
    ["\\frac{ab}{c}", "\\frac{a}{bc}"],
    ["12 (inches)", "12 (feet)"],
    ["3:4", "4:3"],
    ["Vendor 2", "Vendor 1"],
    ["x = 2, y = 3", "x = 3, y = 2"],
    ["0 \\le x < 1", "(0, 1)"],
    ["x > 3", "(-\\infty, 3)"],
    ["\\{1, 2\\}", "\\{1, 1, 3\\}"],
    ["\\sqrt{x^2}", "x"],
    ["1/2x", "\\frac{1}{2x}"],
    ["50%", "0.05"],
    ["\\sin^{-1} x", "\\frac{1}{\\sin x}"],
    ["2^3^2", "64"],
    ["50%", "50 cm"],
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
    "2^".repeat(2000),
    "2(a ".repeat(1000),
    "\\ln(x)+".repeat(500),
    "1000!+".repeat(600),
    `\\{${Array.from({ length: 199 }, (_, at) => `x+${at}`).join()}\\}`,
    `\\sqrt{${"\\frac{1}{1+".repeat(50)}`,
  ])
    expect(sameAnswer(hostile, "1")).toBe(false);
});
