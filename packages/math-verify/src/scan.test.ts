/** Tests of the scanner: LaTeX, plain text and Unicode give the same tokens; ambiguities are reported; length is bounded. */
import { describe, expect, test } from "vitest";
import { newWork } from "./rational.ts";
import { braced, type Reading, scan } from "./scan.ts";

const usual: Reading = { commas: true, bareUnits: true };

/** Tokens as `text:type`, signs and numbers by their text alone. */
const tokens = (text: string, reading = usual): string | undefined =>
  scan(text, reading, newWork())
    ?.tokens.map(({ type, text: token }) =>
      type === "sign" || type === "number" ? token : `${token}:${type}`,
    )
    .join(" ");

describe("numbers", () => {
  test.each([
    ["1,234,567", "1234567"],
    ["1{,}234", "1234"],
    ["10\\,000", "10000"],
    ["12 345", "12345"],
    ["1,23", "1 , 23"],
    ["0,123", "0 , 123"],
    [".5", "0.5"],
    ["3.", "3 ."],
    ["0.1\\overline{6}", "0.1"],
    ["0.333...", "0.333"],
  ])("%s", (text, wanted) => {
    expect(tokens(text)).toBe(wanted);
  });

  test("their values", () => {
    const value = (text: string) => {
      const [token] = scan(text, usual, newWork())?.tokens ?? [];
      return `${token?.value?.n}/${token?.value?.d}${token?.cut ? " cut" : ""} ${token?.digits ?? ""}`.trim();
    };
    expect(value("1,234.50")).toBe("2469/2 2");
    expect(value("0.1\\overline{6}")).toBe("1/6");
    expect(value("0.(3)")).toBe("0/1");
    expect(value("0.333...")).toBe("333/1000 cut 3");
    expect(value("1.5e3")).toBe("1500/1 -2");
    expect(value("1e-6")).toBe("1/1000000");
  });

  test("a comma before three digits may also divide numbers, and the scan says so", () => {
    expect(tokens("1,234", { ...usual, commas: false })).toBe("1 , 234");
    expect(scan("1,234", usual, newWork())?.commas).toBe(true);
    expect(scan("1{,}234", usual, newWork())?.commas).toBe(false);
  });
});

describe("letters, words and signs", () => {
  test.each([
    ["2xy", "2 x:letter y:letter"],
    ["\\alpha+β", "alpha:letter + beta:letter"],
    ["π", "pi:letter"],
    ["sinx", "sin:function x:letter"],
    ["\\sin x", "sin:function x:letter"],
    ["√2", "sqrt:command 2"],
    ["2×3÷4−1", "2 * 3 ÷ 4 - 1"],
    ["x²", "x:letter ^ 2"],
    ["x₁₀", "x:letter _ 10"],
    ["x**2", "x:letter ^ 2"],
    ["a <= b != c", "a:letter ≤ b:letter ≠ c:letter"],
    ["\\left(1\\right.", "( 1"],
    ["1\\;\\quad 2", "1 2"],
    ["\\mathbb{R}", "ℝ"],
    ["\\text{five apples}", "five:word apples:word"],
    ["50 percent", "50 %"],
    ["5\\%", "5 %"],
    ["3 \\text{ or } 4", "3 or 4"],
    ["½", "vulgar:command"],
    ["\\mathrm{d}", "d:letter"],
    ["mother-in-law", "mother-in-law:word"],
  ])("%s", (text, wanted) => {
    expect(tokens(text)).toBe(wanted);
  });

  test("a letter after a number may be a unit, and the scan says so", () => {
    expect(tokens("5 m")).toBe("5 m:word");
    expect(tokens("5 m", { ...usual, bareUnits: false })).toBe("5 m:letter");
    expect(scan("5 m", usual, newWork())?.bareUnits).toBe(true);
    expect(scan("5 cm", usual, newWork())?.bareUnits).toBe(false);
    expect(tokens("5 cm", { ...usual, bareUnits: false })).toBe("5 cm:word");
  });

  test("environments", () => {
    expect(tokens("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}")).toBe(
      "pmatrix:begin 1 & 2 \\\\:row 3 & 4 pmatrix:end",
    );
    expect(tokens("\\begin{array}{cc}1&2\\end{array}")).toBe("array:begin 1 & 2 array:end");
  });
});

test("braces are found with what they hold", () => {
  expect(braced("  {a{b}\\}c}d", 0)).toEqual({ content: "a{b}\\}c", end: 11 });
  expect(braced("{a", 0)).toBeUndefined();
  expect(braced("a{b}", 0)).toBeUndefined();
});

test("what cannot be read, or is too long, gives nothing", () => {
  expect(tokens("\\text{open")).toBeUndefined();
  expect(tokens("\\mathbb{Y}")).toBeUndefined();
  expect(tokens("x+".repeat(3000))).toBeUndefined();
  expect(tokens("7".repeat(5000))).toBeUndefined();
});
