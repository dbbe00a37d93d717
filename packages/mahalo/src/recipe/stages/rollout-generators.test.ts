/** What answers in the rollout stage is what the recipe says, cut as the recipe cuts prompts. */
import { expect, test } from "vitest";
import { tinyFolder, tinyModel } from "../../model/testing/tiny.ts";
import { parseRecipe } from "../load.ts";
import { rolloutStage } from "./rollout.ts";
import { openContinuer } from "./rollout-generators.ts";

const recipe = (set: string[] = []) =>
  parseRecipe(
    `name: a
model: ${tinyFolder("tiny-llama")}
objectives:
  accuracy:
    prompts: { path: problems.jsonl }
    rollout: { samples: 2 }
    pairs: { from: rollout }
    judge: { kind: sum }
data: { maxPromptTokens: 48, maxTokens: 96 }
sft: false
`,
    "recipe.yaml",
    { set },
  );

test("prompts are cut to data.maxPromptTokens by the run's model and by an endpoint that gets tokens", async () => {
  const model = await tinyModel("tiny-llama", { training: false });
  const prompt = "How many are these all together? ".repeat(300);
  const endpoint =
    'objectives.accuracy.rollout.endpoint={baseUrl: "http://h/v1", model: m, api: completions}';
  const prepared = [];
  for (const set of [[], [endpoint]]) {
    const context = {
      recipe: recipe(set),
      folder: "",
      resumed: false,
      folderOf: () => undefined,
      cache: "",
      ingredients: { stage: "rollout", version: "1", seed: 0, recipe: null, dependencies: {}, sources: {} },
      signal: new AbortController().signal,
      log: () => undefined,
    };
    const generator = await openContinuer("accuracy", model, context);
    prepared.push(generator?.prepare(prompt, undefined).promptIds);
  }
  // Whole words are cut, so a word's tokens may be free.
  expect(prepared[0]?.length).toBeLessThanOrEqual(48);
  expect(prepared[0]?.length).toBeGreaterThan(40);
  expect(prepared[1]).toEqual(prepared[0]);
  model.dispose();
});

test("another cut makes rollouts stale", () => {
  const inputs = (set: string[]) => JSON.stringify(rolloutStage.inputs(recipe(set)));
  expect(inputs(["data.maxPromptTokens=32"])).not.toBe(inputs([]));
});
