/** Tests of the parser: precedence, what stands side by side, groups and relations, and what is no mathematics. */
import { describe, expect, test } from "vitest";
import { parse } from "./parse.ts";
import { newWork } from "./rational.ts";
import type { Node } from "./tree.ts";

/** A tree in prefix form: `(+ 1 (* 2 x))`. */
const show = (node: Node): string => {
  switch (node.kind) {
    case "number":
      return node.value.d === 1n ? `${node.value.n}` : `${node.value.n}/${node.value.d}`;
    case "constant":
    case "variable":
    case "namedSet":
      return node.name;
    case "call":
      return `(${[node.name, ...node.args.map(show)].join(" ")})`;
    case "group":
      return `${node.open || "list"} ${node.items.map(show).join(", ")} ${node.close}`.trim();
    case "relation":
      return node.sides
        .map((side, index) => `${index === 0 ? "" : `${node.ops[index - 1]} `}${show(side)}`)
        .join(" ");
    case "quantity":
      return `${show(node.value)} [${node.unit}]`;
    case "matrix":
      return node.rows.map((row) => row.map(show).join(" ")).join("; ");
    case "text":
      return `"${node.text}"`;
  }
};

const read = (text: string, bareUnits = true): string | undefined => {
  const found = parse(text, { commas: true, bareUnits }, newWork());
  return found === undefined ? undefined : show(found.node);
};

describe("precedence", () => {
  test.each([
    ["1+2\\cdot 3", "(+ 1 (* 2 3))"],
    ["1-2-3", "(- (- 1 2) 3)"],
    ["2^3^2", "(^ 2 (^ 3 2))"],
    ["2^{3^2}", "(^ 2 (^ 3 2))"],
    ["-x^2", "(neg (^ x 2))"],
    ["2^{-1}", "(^ 2 (neg 1))"],
    ["x^-1", "(^ x (neg 1))"],
    ["3!", "(factorial 3)"],
    ["a \\cdot -b", "(* a (neg b))"],
    ["6/2/3", "(/ (/ 6 2) 3)"],
    // From left to right, as a calculator reads it: half of x, not 1/(2x).
    ["1/2x", "(* (/ 1 2) x)"],
    ["1/(2x)", "(/ 1 (* 2 x))"],
    ["\\frac{1}{2x}", "(/ 1 (* 2 x))"],
    ["|x-1|+|y|", "(+ (abs (- x 1)) (abs y))"],
  ])("%s", (text, wanted) => {
    expect(read(text)).toBe(wanted);
  });
});

describe("side by side", () => {
  test.each([
    ["2x", "(* 2 x)"],
    ["2(x+1)", "(* 2 (+ x 1))"],
    ["2\\sqrt{3}", "(* 2 (sqrt 3))"],
    ["1\\frac{1}{2}", "(+ 1 (/ 1 2))"],
    ["2 1/3", "(+ 2 (/ 1 3))"],
    ["3½", "(+ 3 1/2)"],
    ["x\\frac{1}{2}", "(* x (/ 1 2))"],
    ["2\\frac{x}{3}", "(* 2 (/ x 3))"],
    ["\\frac12", "(/ 1 2)"],
    ["\\frac123", "(* (/ 1 2) 3)"],
    ["\\sqrt2", "(sqrt 2)"],
    ["\\sqrt[3]{8}", "(root 8 3)"],
    ["5\\text{ cm}^2", "5 [cm ^ 2]"],
    ["60 \\text{ km/h}", "60 [km / h]"],
    ["9 (apples)", "9 [apples]"],
    ["5 (miles per hour)", "5 [miles per hour]"],
    ["5 (cm)", "5 [cm]"],
    ["3 (pieces of fruit)", "3 [pieces of fruit]"],
    ["3 pieces of fruit", "3 [pieces of fruit]"],
    ["2(sqrt x)", "(* 2 (sqrt x))"],
    ["2(alpha)", "(* 2 alpha)"],
    ["2(m + 1)", "(* 2 (+ m 1))"],
    ["1/2 \\text{ cup}", "(/ 1 2) [cup]"],
    ["120\\pi \\text{ cm}^3", "(* 120 pi) [cm ^ 3]"],
    ["-5\\text{ m}", "(neg 5) [m]"],
    ["2\\frac{1}{3}\\text{ ft}", "(+ 2 (/ 1 3)) [ft]"],
    ["33\\frac{1}{3}\\%", "(+ 33 (/ 1 3)) [%]"],
    ["20\\cdot 50\\%", "(* 20 50 [%])"],
    ["\\$5", "5 [$]"],
    ["50\\%", "50 [%]"],
    ["45^\\circ", "45 [°]"],
    ["45^{\\circ}", "45 [°]"],
    ["5 m", "5 [m]"],
    ["101_2", "5"],
  ])("%s", (text, wanted) => {
    expect(read(text)).toBe(wanted);
  });

  test("a letter that may be a unit is a letter in the other reading", () => {
    expect(read("5 m", false)).toBe("(* 5 m)");
  });
});

describe("functions", () => {
  test.each([
    ["\\sin x", "(sin x)"],
    ["\\sin 2x", "(sin (* 2 x))"],
    ["\\sin x\\cos x", "(* (sin x) (cos x))"],
    ["\\sin^2 x", "(^ (sin x) 2)"],
    ["\\log_2 8", "(log 8 2)"],
    ["\\ln(ab)", "(ln (* a b))"],
    ["\\sin^{-1} x", "(asin x)"],
    ["\\binom{5}{2}", "(binomial 5 2)"],
  ])("%s", (text, wanted) => {
    expect(read(text)).toBe(wanted);
  });
});

describe("groups, relations and matrices", () => {
  test.each([
    ["(1, 2)", "( 1, 2 )"],
    ["[0,1)", "[ 0, 1 )"],
    ["\\{1,2\\}", "{ 1, 2 }"],
    ["1, 2", "list 1, 2"],
    ["3 \\text{ and } 5", "list 3, 5"],
    ["\\{\\}", "empty"],
    ["((x))", "x"],
    ["x = 5", "x = 5"],
    ["1 < x \\le 4", "1 < x ≤ 4"],
    ["x \\approx 3", "x = 3"],
    ["x \\in [0,1]", "x ∈ [ 0, 1 ]"],
    ["[0,1]\\cup[2,3]", "(∪ [ 0, 1 ] [ 2, 3 ])"],
    ["\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "1 2; 3 4"],
    ["x = 1 \\text{ or } x = 2", "list x = 1, x = 2"],
  ])("%s", (text, wanted) => {
    expect(read(text)).toBe(wanted);
  });
});

describe("no mathematics", () => {
  test.each(["", "(", ")", "1 +", "\\frac{1}", "(1,2", "1 2", "\\unknown{3}", "=", "\\text{Monday}"])(
    "%j",
    (text) => {
      expect(read(text)).toBeUndefined();
    },
  );
});

test("depth is bounded, and work is taken", () => {
  for (const deep of [
    "(".repeat(500) + ")".repeat(500),
    "-".repeat(900),
    `${"\\sqrt{".repeat(200)}1${"}".repeat(200)}`,
  ])
    expect(read(deep)).toBeUndefined();
  const work = newWork(20);
  expect(parse("1+1+1+1+1+1+1+1+1+1+1+1", { commas: true, bareUnits: true }, work)).toBeUndefined();
});
