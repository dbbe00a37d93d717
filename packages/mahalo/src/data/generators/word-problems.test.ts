/** Tests of the word-problem generator: repeatable, right where it says so, wrong where it must be, split without leaks. */
import { MahaloError } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PreferenceRow } from "../rows/rows.ts";
import { generateRows } from "./registry.ts";
import { step, told } from "./word-problem-replies.ts";
import { templates } from "./word-problem-templates.ts";
import {
  generateWordProblems,
  isHeldOut,
  type WordProblem,
  wordProblemOptions,
  wordProblemSets,
} from "./word-problems.ts";

const options = (change: object = {}) => wordProblemOptions.parse({ problems: 200, heldOut: 60, ...change });
const text = (side: PreferenceRow["prompt"]): string =>
  typeof side === "string" ? side : side.map(({ content }) => content).join("\n");
const value = (reply: PreferenceRow["chosen"]): string | undefined =>
  /The answer is (-?\d+)\./.exec(text(reply))?.[1];

describe("word problems", () => {
  test("the same options and seed give the same rows, another seed gives others", () => {
    expect(generateWordProblems(options(), 7)).toEqual(generateWordProblems(options(), 7));
    expect(generateWordProblems(options(), 7)).not.toEqual(generateWordProblems(options(), 8));
  });

  test("each of the four kinds of problem has at least twelve templates", () => {
    const count = (kind: (family: string) => boolean) =>
      templates.filter(({ family }) => kind(family)).length;
    for (const family of ["add", "subtract", "multiply"]) {
      expect(count((one) => one === family)).toBeGreaterThanOrEqual(12);
    }
    expect(count((one) => one.includes("-"))).toBeGreaterThanOrEqual(12);
  });

  test("no slot or alternative is left in any text", () => {
    for (const { prompt } of generateWordProblems(options({ problems: 800, twoStep: 0.5 }), 1).train) {
      expect(text(prompt)).not.toMatch(/[{}[\]|]|undefined/);
      expect(text(prompt)).toMatch(/\?$|dollars\?$/);
    }
  });

  test("accuracy prefers the right worked answer; what it rejects never states the right one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e6 }), (seed) => {
        const rows = generateWordProblems(options({ problems: 40, heldOut: 0, twoStep: 0.5 }), seed).train;
        for (const row of rows.filter(({ objective }) => objective === "accuracy")) {
          expect(value(row.chosen)).toBe(row.answer);
          expect(value(row.rejected)).not.toBe(row.answer);
          expect(text(row.rejected)).not.toMatch(/= -|undefined/);
        }
      }),
      { numRuns: 20 },
    );
  });

  test("engagement prefers a reply that ends in a question and rejects the flat answer", () => {
    const rows = generateWordProblems(options(), 3).train.filter(
      ({ objective }) => objective === "engagement",
    );
    for (const row of rows) {
      expect(text(row.chosen)).toMatch(/\?$|practise\.$/);
      expect(text(row.rejected)).toMatch(/The answer is \d+\.$/);
      expect(value(row.rejected)).toBe(row.answer);
    }
    const asking = rows.filter((row) => value(row.chosen) === undefined).length / rows.length;
    expect(asking).toBeGreaterThan(0.45);
    expect(asking).toBeLessThan(0.75);
  });

  test("every worked step is true arithmetic and stays within the limits", () => {
    const rows = generateWordProblems(options({ twoStep: 0.6, problems: 500 }), 5).train;
    for (const row of rows.filter(({ objective }) => objective === "accuracy")) {
      for (const [, left, operator, right, result] of text(row.chosen).matchAll(
        /(\d+) ([+*-]) (\d+) = (-?\d+)/g,
      )) {
        const [a, b, c] = [Number(left), Number(right), Number(result)];
        expect(operator === "+" ? a + b : operator === "-" ? a - b : a * b).toBe(c);
        expect(c).toBeGreaterThanOrEqual(1);
        expect(c).toBeLessThanOrEqual(50);
      }
    }
  });

  test("no held-out combination of template and numbers is ever trained on, whatever the seeds", () => {
    const key = ({ template, numbers }: WordProblem) => `${template}:${numbers.join(",")}`;
    const train = [1, 2, 3].flatMap((seed) =>
      wordProblemSets(options({ problems: 600 }), seed).train.map(key),
    );
    const held = wordProblemSets(options({ heldOut: 200, twoStep: 0.5 }), 4).heldOut.map(key);
    expect(new Set(held).size).toBe(200);
    expect(held.filter((one) => new Set(train).has(one))).toEqual([]);
  });

  test("about one combination in eight is held out, for every template", () => {
    for (const { id } of templates) {
      let held = 0;
      for (let a = 2; a < 22; a++) {
        for (let b = 2; b < 22; b++) {
          held += Number(isHeldOut(`${id}:${a},${b}`));
        }
      }
      expect(held / 400).toBeGreaterThan(0.06);
      expect(held / 400).toBeLessThan(0.2);
    }
  });

  test("prompts are user messages, rows say where they come from", () => {
    const { train, heldOut, problems } = generateWordProblems(options({ problems: 2, heldOut: 2 }), 0);
    expect(train.map(({ objective }) => objective)).toEqual([
      "accuracy",
      "engagement",
      "accuracy",
      "engagement",
    ]);
    expect(heldOut).toHaveLength(4);
    expect(train[0]?.prompt).toMatchObject([{ role: "user" }]);
    expect(train[3]?.origin).toEqual({ file: "generator:word-problems/train", line: 2 });
    expect(problems[1]?.origin).toEqual({ file: "generator:word-problems/held-out", line: 2 });
    expect(heldOut[2]?.prompt).toEqual(problems[1]?.prompt);
  });

  test("more problems than there are is an error that says what to raise", () => {
    expect(() =>
      generateWordProblems(options({ problems: 20_000, largest: 10, largestFactor: 2 }), 0),
    ).toThrow(expect.objectContaining({ code: "E_GENERATOR_EXHAUSTED" }));
  });

  test("the direct style is fixed", () => {
    expect(told([step(12, "+", 7), step(19, "-", 4)])).toBe(
      "12 + 7 = 19\n\n19 - 4 = 15\n\nThe answer is 15.",
    );
  });

  test("the registry checks options and suggests names", () => {
    expect(generateRows("word-problems", { problems: 3, heldOut: 1 }, 0, "recipe.yaml").train).toHaveLength(
      6,
    );
    const failing = (name: string, given: object) => {
      try {
        generateRows(name, given, 0, "recipe.yaml");
      } catch (error) {
        return error instanceof MahaloError ? `${error.message} ${error.hint}` : String(error);
      }
      return "no error";
    };
    expect(failing("word-problem", {})).toContain('"word-problems"');
    expect(failing("word-problems", { problem: 3 })).toContain('Did you mean "problems"');
  });
});
