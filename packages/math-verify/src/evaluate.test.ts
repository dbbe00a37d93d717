/** Tests of values: exact where rational, complex doubles elsewhere, both the same where both exist. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { evaluateExact, evaluateNumeric, type Point } from "./evaluate.ts";
import { parse } from "./parse.ts";
import { newWork, type Rational, toDouble, whole } from "./rational.ts";
import type { Node } from "./tree.ts";

const read = (text: string): Node => {
  const found = parse(text, { commas: true, bareUnits: false }, newWork());
  if (found === undefined) throw new Error(`${text} cannot be read`);
  return found.node;
};

const point: Point = new Map([["x", { n: 3n, d: 2n }]]);
const exact = (text: string): Rational | undefined => evaluateExact(read(text), point, newWork());
const numeric = (text: string): readonly [number, number] | undefined =>
  evaluateNumeric(read(text), point, newWork());

describe("exact values", () => {
  test.each([
    ["1/2 + 1/3", 5n, 6n],
    ["x^2 - 1", 5n, 4n],
    ["1/2x", 3n, 4n],
    ["1/(2x)", 1n, 3n],
    ["\\sqrt{\\frac{9}{4}}", 3n, 2n],
    ["8^{2/3}", 4n, 1n],
    ["\\sqrt[3]{-27}", -3n, 1n],
    ["2^{-2}", 1n, 4n],
    ["|{-x}|", 3n, 2n],
    ["\\lfloor x \\rfloor", 1n, 1n],
    ["\\lceil x \\rceil", 2n, 1n],
    ["5! / 3!", 20n, 1n],
    ["\\binom{10}{3}", 120n, 1n],
    ["2^{200} - 2^{200} + 1", 1n, 1n],
  ])("%s", (text, n, d) => {
    expect(exact(text)).toEqual({ n, d });
  });

  test.each(["\\sqrt{2}", "\\pi", "1/0", "(-8)^{1/3}", "(1/2)!", "y", "\\sin x"])("none of %s", (text) => {
    expect(exact(text)).toBeUndefined();
  });
});

describe("numeric values", () => {
  test.each([
    ["\\sqrt{2}", Math.SQRT2, 0],
    ["\\sqrt{-4}", 0, 2],
    ["2\\pi", 2 * Math.PI, 0],
    ["e^{\\ln 2}", 2, 0],
    ["\\log 1000", 3, 0],
    ["\\log_2 8", 3, 0],
    ["\\sin\\frac{\\pi}{6}", 0.5, 0],
    ["\\cos 60^\\circ", 0.5, 0],
    ["\\arctan 1", Math.PI / 4, 0],
    ["(1+i)^2", 0, 2],
    ["|3+4i|", 5, 0],
    ["1/i", 0, -1],
    ["e^{i\\pi}", -1, 0],
    ["\\sqrt[3]{-8}", -2, 0],
    ["\\sin^2 x + \\cos^2 x", 1, 0],
    ["4!", 24, 0],
  ])("%s", (text, re, im) => {
    const value = numeric(text);
    expect(value?.[0]).toBeCloseTo(re, 12);
    expect(value?.[1]).toBeCloseTo(im, 12);
  });

  test("an unknown letter and a set have none", () => {
    expect(numeric("y")).toBeUndefined();
    expect(numeric("\\{1, 2\\}")).toBeUndefined();
  });
});

test("where both values exist they are the same", () => {
  const leaf = fc.oneof(
    fc.integer({ min: 1, max: 20 }).map((n): Node => ({ kind: "number", value: whole(n) })),
    fc.constant<Node>({ kind: "variable", name: "x" }),
  );
  const { tree } = fc.letrec<{ tree: Node }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc
        .tuple(fc.constantFrom("+", "-", "*", "/"), tie("tree"), tie("tree"))
        .map(([name, ...args]): Node => ({ kind: "call", name, args })),
      tie("tree").map((inner): Node => ({ kind: "call", name: "neg", args: [inner] })),
    ),
  }));
  fc.assert(
    fc.property(tree, (node) => {
      const [a, b] = [evaluateExact(node, point, newWork()), evaluateNumeric(node, point, newWork())];
      if (a === undefined || b === undefined) return;
      const wanted = toDouble(a);
      expect(Math.abs(b[0] - wanted)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(wanted)));
      expect(b[1]).toBeCloseTo(0, 9);
    }),
  );
});

test("hostile expressions are given up within their work", () => {
  for (const text of [
    "9^{9^{9^9}}",
    "(((9^{99})^{99})^{99})^{99}",
    "(9999!)!",
    "\\binom{10000}{5000}",
    "2^{20000}",
  ]) {
    const work = newWork();
    expect(evaluateExact(read(text), point, work)).toBeUndefined();
    expect(evaluateNumeric(read(text), point, work)?.every(Number.isFinite) ?? false).toBe(false);
  }
});
