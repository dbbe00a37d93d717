/** Tests of comparing answers by meaning: pairs of each kind, properties, and hostile strings. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sameAnswer } from "./compare.ts";

test("algebra is the same whatever the seed of the points at which it is compared", () => {
  const pairs = [
    ["x^2 \\cdot x^3", "x^5"],
    ["x^{-2}", "\\frac{1}{x^2}"],
    ["\\frac{a^3 b}{a b^2}", "a^2 b^{-1}"],
  ] as const;
  for (let seed = 0; seed < 100; seed += 1) {
    for (const [a, b] of pairs) expect(sameAnswer(a, b, { seed }), `${a}, seed ${seed}`).toBe(true);
    expect(sameAnswer("x^2", "x^3", { seed })).toBe(false);
  }
});

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
    ["1 (pieces of pepperoni)", "1 piece of pepperoni"],
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
    ["1 (pieces of pepperoni)", "1 (card)"],
  ])("%s and %s", (a, b) => {
    expect([sameAnswer(a, b), sameAnswer(b, a)]).toEqual([false, false]);
  });
});

describe("numbers in words, units, times, bases and choices", () => {
  test.each([
    ["5 million", "5000000"],
    ["5.5 million", "5,500,000"],
    ["\\$2 million", "2000000"],
    ["\\$2 million", "\\$2,000,000"],
    ["2 million dollars", "\\$2,000,000"],
    ["3 dozen", "36"],
    ["3 dozen eggs", "36 eggs"],
    ["3 dozen eggs", "36"],
    ["3 hundred", "300"],
    ["a dozen", "12"],
    ["two million", "2000000"],
    ["twelve", "12"],
    ["twenty-one", "21"],
    ["one hundred and five", "105"],
    ["two hundred fifty", "250"],
    ["one thousand two hundred thirty-four", "1234"],
    ["three quarters", "3/4"],
    ["two-thirds", "\\frac{2}{3}"],
    ["one half", "0.5"],
    ["half", "1/2"],
    ["a third", "1/3"],
    ["five apples", "5"],
    ["4 pm", "4 p.m."],
    ["4:30 PM", "16:30"],
    ["4:30 PM", "4:30 pm"],
    ["4:30", "4:30 PM"],
    ["4 pm", "4"],
    ["noon", "12 pm"],
    ["\\text{6:15 a.m.}", "6:15 \\text{ AM}"],
    ["7 \\text{ N}", "7 \\text{ newtons}"],
    ["7 newtons", "7"],
    ["9 apples", "9 red apples"],
    ["9 apple", "9 apples"],
    ["9 apples left", "9 apples"],
    ["9 left", "9 apples"],
    ["9 people", "9 persons"],
    ["9 children", "9 child"],
    ["9 in", "9 inches"],
    ["9 inches long", "9 in"],
    ["5 cm long", "50 mm"],
    ["20^\\circ C", "20 \\text{ degrees Celsius}"],
    ["20^\\circ F", "20"],
    ["20 degrees", "20 degrees Celsius"],
    ["(C)", "C"],
    ["(C) 12", "C"],
    ["\\text{(C)}", "C"],
    ["C. 12", "C"],
    ["C) 12", "C"],
    ["option C", "C"],
    ["(C) 12", "12"],
    ["(c)", "C"],
    ["A: 50", "50"],
    ["D: x+1", "D"],
    ["1011_2", "1011"],
    ["1011_2", "11"],
    ["1011 base 2", "1011_2"],
    ["1011 (base 2)", "1011_2"],
    ["1011_{\\text{two}}", "1011_2"],
    ["\\text{1011}_2", "1011_2"],
    ["1F_{16}", "31"],
    ["A3_{16}", "a3_{16}"],
    ["3rd", "3"],
    ["3rd", "third"],
    ["3^{\\text{rd}}", "3rd"],
    ["21st", "21"],
    ["2,5", "2.5"],
    ["2,50", "2.5"],
    ["0,125", "0.125"],
    ["-2,5", "-2.5"],
    ["1.234,56", "1234.56"],
    ["(2,500)", "(2, 500)"],
    ["\\emptyset", "no solution"],
    ["\\varnothing", "No real solutions."],
    ["\\{\\}", "no solutions"],
    ["yes", "true"],
    ["false", "No"],
    ["2 / 8 * 100% = 25%", "25"],
    ["2/8*100\\% = 25\\%", "0.25"],
    ["3 + 4 = 7", "7"],
    ["x = 2\\sqrt{3} \\approx 3.46", "2\\sqrt{3}"],
    ["2\\sqrt{3} \\approx 3.46", "2\\sqrt{3}"],
    ["x \\approx 3.46", "3.46"],
    ["AB = 5", "5"],
    ["€5", "5"],
    ["€5", "5 euros"],
    ["5€", "€5"],
    ["$5", "5 dollars"],
    ["$5", "500 cents"],
    ["5 m", "5 meters"],
    ["5 m^2", "5 square meters"],
    ["50% of the students", "50%"],
    ["50 percent", "0.5"],
    ["40 km per hour", "40 kmh"],
    ["7 1/2", "7.5"],
    ["7½", "7.5"],
    ["3 pieces of fruit", "3 pieces"],
    ["x=1, 2, 3", "1,2,3"],
    ["2 hours", "2 hrs"],
    ["Monday", "monday."],
    ["**73**", "73"],
    ["\\(73\\)", "73"],
  ])("%s is %s", (a, b) => {
    expect([sameAnswer(a, b), sameAnswer(b, a)]).toEqual([true, true]);
  });

  test.each([
    ["2 thousand", "2"],
    ["3 dozen", "3"],
    ["one solution", "no solution"],
    ["one", "two"],
    ["10 million", "10 billion"],
    ["4 pm", "4 am"],
    ["4:30 PM", "4:31 PM"],
    ["noon", "midnight"],
    ["12 am", "12 pm"],
    ["7 newtons", "7 joules"],
    ["7 N", "7 J"],
    ["7 \\text{ N}", "7 \\text{ J}"],
    ["9 apples", "9 oranges"],
    ["9 cm", "9 apples"],
    ["9 in", "9 cm"],
    ["20 °C", "20 °F"],
    ["20^\\circ\\text{C}", "20^\\circ\\text{F}"],
    ["\\textbf{(B)}\\ 12", "C"],
    ["(C) 12", "(B) 12"],
    ["1011_2", "1012"],
    ["1011_{2}", "1011_3"],
    ["A3_{16}", "A4_{16}"],
    ["3rd", "4th"],
    ["third", "fourth"],
    ["2, 5", "2.5"],
    ["1,234", "1.234"],
    ["(2,500)", "2,500"],
    ["\\left(2,500\\right)", "2500"],
    ["\\emptyset", "0"],
    ["no", "true"],
    ["3 + 4 = 7", "8"],
    ["2\\sqrt{3} \\approx 3.46", "3\\sqrt{3}"],
    ["£5", "€5"],
    ["5 pounds", "£5"],
    ["5 km", "5 m"],
    ["10 days", "10 weeks"],
    ["7-1/2", "7.5"],
  ])("%s is not %s", (a, b) => {
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
    `\\{${Array.from({ length: 199 }, (_, index) => `x+${index}`).join()}\\}`,
    `\\sqrt{${"\\frac{1}{1+".repeat(50)}`,
  ])
    expect(sameAnswer(hostile, "1")).toBe(false);
});
