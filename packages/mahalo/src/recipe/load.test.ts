/** Recipes are read, overridden and refused with the place of each mistake. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { loadRecipe, type ParseRecipeOptions, parseRecipe, writeResolvedRecipe } from "./load.ts";
import { recipeJsonSchema } from "./schema/json-schema.ts";

const values = `name: values
model: smollm2-135m-instruct
objectives:
  helpful:  { pairs: { hub: openbmb/UltraFeedback, file: binarized-1000.jsonl } }
  harmless: { pairs: { hub: Anthropic/hh-rlhf, file: harmless-base/test.jsonl.gz, format: transcript-pair } }
sft:   { epochs: 1, learningRate: 5e-6 }
align: { method: mah-dpo, beta: 0.1, epochs: 1, learningRate: 5e-6 }
evaluate: { mixes: 5 }
`;

const errorOf = (text: string, options?: ParseRecipeOptions): MahaloError => {
  try {
    parseRecipe(text, "recipe.yaml", options);
  } catch (error) {
    if (error instanceof MahaloError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
};

test("a recipe that fits on a screen is filled in with every default", () => {
  const recipe = parseRecipe(values, "recipe.yaml");
  expect(recipe).toMatchObject({
    seed: 0,
    out: "runs",
    data: { maxTokens: 1024, heldOut: 0.1 },
    sft: { learningRate: 5e-6, optimizer: "adamw", from: "chosen" },
    align: { beta: 0.1, optimizer: "rmsprop", headNoise: 0.001, train: "full" },
    evaluate: { mixes: 5, temperature: 0 },
  });
  expect(recipe.objectives.helpful).toMatchObject({ weight: 1, pairs: { hub: "openbmb/UltraFeedback" } });
});

describe("an error names line, field and what is known", () => {
  test("of an unknown key", () => {
    expect(errorOf(values.replace("beta: 0.1", "betta: 0.1"))).toMatchObject({
      code: "E_RECIPE_UNKNOWN_KEY",
      message: 'recipe.yaml:7: align.betta: unknown key "betta". Did you mean "beta"?',
      exitStatus: 2,
    });
  });
  test("of an unknown objective in a mix", () => {
    expect(errorOf(values.replace("mixes: 5", "mixes: [{ helpful: 1 }, { harmles: 1 }]"))).toMatchObject({
      code: "E_RECIPE_UNKNOWN_OBJECTIVE",
      message:
        'recipe.yaml:8: evaluate.mixes[1].harmles: unknown objective "harmles". Did you mean "harmless"?',
    });
  });
  test("of a wrong value", () => {
    expect(errorOf(values.replace("epochs: 1, learningRate: 5e-6 }", "epochs: none }")).message).toBe(
      'recipe.yaml:6: sft.epochs: must be a number, not "none"',
    );
  });
  test("of weights that are negative, nought altogether or no number", () => {
    const mixes = (text: string): string => errorOf(values.replace("mixes: 5", `mixes: [${text}]`)).message;
    expect(mixes("{ helpful: -1 }")).toBe(
      "recipe.yaml:8: evaluate.mixes[0].helpful: must be at least 0, not -1",
    );
    expect(mixes("{ helpful: 0, harmless: 0 }")).toContain(
      "evaluate.mixes[0]: needs at least one weight above 0",
    );
    expect(mixes("{ helpful: .nan }")).toContain("evaluate.mixes[0].helpful: must be a number, not NaN");
    expect(errorOf(values, { set: ["objectives.helpful.weight=-2"] }).message).toContain(
      "objectives.helpful.weight: must be above 0, not -2",
    );
  });
  test("of a source that is none", () => {
    expect(errorOf(values.replace(", file: binarized-1000.jsonl", "")).message).toContain(
      "objectives.helpful.pairs.file: is missing",
    );
    expect(errorOf("name: a\nmodel: m\nobjectives:\n  x: {}\n").message).toBe(
      "recipe.yaml:4: objectives.x: needs its pairs from exactly one of pairs and generator, or prompts or dialogues to roll out, or steps",
    );
  });
  test("of an objective that the generator makes no pairs for", () => {
    expect(
      errorOf("name: a\nmodel: m\nobjectives:\n  engagment: { generator: { name: word-problems } }\n"),
    ).toMatchObject({
      code: "E_RECIPE_UNKNOWN_OBJECTIVE",
      message:
        'recipe.yaml:4: objectives.engagment.generator: word-problems makes no pairs for an objective "engagment". Did you mean "engagement"?',
    });
  });
  test("of text that is not YAML, and of keys given twice", () => {
    expect(errorOf("name: a\nmodel: [\n")).toMatchObject({ code: "E_RECIPE_SYNTAX" });
    expect(errorOf("name: a\nname: b\n").message).toMatch(/^recipe\.yaml:2: is not valid YAML/);
    expect(errorOf("name: *none\n")).toMatchObject({ code: "E_RECIPE_SYNTAX" });
    expect(errorOf("").message).toBe("recipe.yaml: must be a map, not null");
  });
});

test("a key by its former name is read as the present one, which counts where both are given", () => {
  const former = (lines: string) =>
    parseRecipe(
      `name: a\nmodel: m\nobjectives: { a: { pairs: { path: a.jsonl } } }\n${lines}`,
      "recipe.yaml",
    );
  const { sft, align } = former("sft: { tokensPerPass: 512 }\nalign: { tokensPerPass: 256 }");
  expect([sft, align]).toMatchObject([{ maxTokensPerMicrobatch: 512 }, { maxTokensPerMicrobatch: 256 }]);
  const both = former("sft: { tokensPerPass: 512, maxTokensPerMicrobatch: 256 }");
  expect(both.sft).toMatchObject({ maxTokensPerMicrobatch: 256 });
  expect(both.sft).not.toHaveProperty("tokensPerPass");
});

describe("--set", () => {
  test("overrides fields, whatever stood there", () => {
    const recipe = parseRecipe(values.replace(/sft:.*\n/, "sft: false\n"), "recipe.yaml", {
      set: [
        "align.beta=0.2",
        "align.beta=0.3",
        "sft.epochs=2",
        "evaluate.mixes=[{helpful: 1}]",
        "data.chat=false",
      ],
    });
    expect(recipe).toMatchObject({
      align: { beta: 0.3 },
      sft: { epochs: 2 },
      evaluate: { mixes: [{ helpful: 1 }] },
      data: { chat: false },
    });
    expect(parseRecipe(values, "recipe.yaml", { set: ["align=false"] }).align).toBe(false);
  });
  test("is named by errors about its value", () => {
    expect(errorOf(values, { set: ["align.betta=1"] }).message).toBe(
      '--set align.betta=1: align.betta: unknown key "betta". Did you mean "beta"?',
    );
    expect(errorOf(values, { set: ["align.beta"] })).toMatchObject({ code: "E_RECIPE_SET" });
    expect(errorOf(values, { set: ["align.beta=["] })).toMatchObject({ code: "E_RECIPE_SET" });
  });
});

test("a resolved recipe is read back as the same recipe, from any folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mahalo-recipe-"));
  try {
    const file = join(folder, "recipe.yaml");
    await writeFile(
      file,
      values.replace("hub: openbmb/UltraFeedback, file: binarized-1000.jsonl", "path: ./pairs.jsonl"),
    );
    const { recipe } = await loadRecipe(file, ["evaluate.prompts=7"]);
    expect(recipe.objectives.helpful?.pairs).toMatchObject({ path: join(folder, "pairs.jsonl") });
    const resolved = join(folder, "run", "recipe.yaml");
    await writeResolvedRecipe(resolved, recipe);
    expect((await loadRecipe(resolved)).recipe).toEqual(recipe);
    await expect(loadRecipe(join(folder, "none.yaml"))).rejects.toMatchObject({ code: "E_FILE_READ" });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the JSON schema for editors describes every key and asks for no default", () => {
  const schema = recipeJsonSchema();
  expect(schema).toMatchObject({
    title: "mahalo recipe",
    required: ["name", "model", "objectives"],
    additionalProperties: false,
  });
  expect(JSON.stringify(schema)).toContain("word-problems");
});
