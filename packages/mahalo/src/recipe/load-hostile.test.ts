/** Recipes that are odd or mean harm: each is refused with few words, soon, and without running out of stack or memory. */
import { MahaloError } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { parseRecipe } from "./load.ts";

const begin = "name: odd\nmodel: m\n";
const rows = "{ pairs: { path: rows.jsonl } }";
const objectives = `objectives:\n  fine: ${rows}\n`;

const refusal = (text: string, set: string[] = []): MahaloError => {
  try {
    parseRecipe(text, "recipe.yaml", { set });
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
};

describe("a name that the language keeps for itself is refused", () => {
  test.each(["__proto__", "constructor", "toString", "valueOf", "hasOwnProperty"])(
    "%s as an objective",
    (name) => {
      const error = refusal(`${begin}${objectives}  ${name}: ${rows}\n`);
      expect(error).toMatchObject({ code: "E_RECIPE_FIELD", exitStatus: 2 });
      expect(error.message).toContain(`recipe.yaml:5: objectives.${name}: `);
    },
  );

  test.each([
    ["in a mix", "evaluate: { mixes: [{ fine: 1 }, { __proto__: 1 }] }\n", "evaluate.mixes[1].__proto__"],
    [
      "in weights",
      "align: { method: dpo-scalarized, weights: { __proto__: 1 } }\n",
      "align.weights.__proto__",
    ],
    ["as a key of the recipe", "__proto__: { seed: 1 }\n", "__proto__"],
  ])("%s", (_, more, field) => {
    expect(refusal(`${begin}${objectives}${more}`).message).toContain(
      `: ${field}: is a name reserved by JavaScript`,
    );
  });

  test("in an override", () => {
    const error = refusal(`${begin}${objectives}`, [`objectives.__proto__=${rows}`]);
    expect(error.message).toContain("objectives.__proto__: is a name reserved by JavaScript");
  });
});

describe("of very many faults the first ten are told", () => {
  const many = (count: number, line: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => line(index)).join("");

  test("of unknown keys", () => {
    const lines = refusal(`${begin}${objectives}${many(20_000, (i) => `key${i}: 1\n`)}`).message.split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[0]).toContain('recipe.yaml:5: key0: unknown key "key0"');
    expect(lines[10]).toBe("recipe.yaml: and 19,990 more");
  });

  test("of objectives that are wrong", () => {
    const lines = refusal(`${begin}objectives:\n${many(200, (i) => `  o${i}: 1\n`)}`).message.split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[10]).toBe("recipe.yaml: and 190 more");
  });

  test("of a key as long as a book a part is told", () => {
    expect(refusal(`${begin}${objectives}? ${"x".repeat(100_000)}\n: 1\n`).message.length).toBeLessThan(
      1_000,
    );
  });

  test("objectives beyond what a model can hold are one fault", () => {
    const error = refusal(`${begin}objectives:\n${many(20_000, (i) => `  o${i}: ${rows}\n`)}`);
    expect(error.message).toMatch(/objectives: .*at most 256/);
  });
});

test("a key that stands twice is refused at its second place, at any depth", () => {
  expect(refusal("name: a\nalign: { beta: 1,\n  beta: 2 }\n").message).toMatch(
    /^recipe\.yaml:3: is not valid YAML .*"beta" is there twice/,
  );
});

describe("a recipe that is", () => {
  const syntax = { code: "E_RECIPE_SYNTAX", exitStatus: 2 };
  test.each([
    ["nested very deeply", `name: ${"[".repeat(100_000)}${"]".repeat(100_000)}`],
    ["nested in blocks", Array.from({ length: 3_000 }, (_, i) => `${" ".repeat(i)}a:\n`).join("")],
    ["longer than any", `name: ${"x".repeat(5_000_000)}`],
    [
      "aliases that unfold without end",
      `a0: &a0 [x, x]\n${Array.from({ length: 30 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}]\n`).join("")}`,
    ],
  ])("%s", (_, text) => {
    expect(refusal(text)).toMatchObject(syntax);
  });
});
