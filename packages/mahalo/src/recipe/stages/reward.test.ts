/** The reward stage over a tiny model: a model for each objective or one for all, saved with held-out metrics. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { readJsonFile } from "../../core/json.ts";
import { silenceProgress } from "../../core/progress.ts";
import { Problems } from "../../data/rows/problems.ts";
import { loadRewardModel } from "../../model/reward/reward-model.ts";
import { tinyFolder, tinyModel, withFolder } from "../../model/testing/tiny.ts";
import { parseRecipe } from "../load.ts";
import { runRecipe } from "../run.ts";
import { labelsFor, readLabelledSteps } from "./reward-rows.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

const text = (folder: string, reward: string): string => `name: run
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives: { a: { pairs: { path: a.jsonl } }, b: { pairs: { path: a.jsonl } } }
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0.2 }
sft: false
align: false
reward: ${reward}
`;

test.each([
  ["{ maxSteps: 2, batchSize: 4, precision: f32, train: frozen }", ["a", "b"], "heads", "bradley-terry"],
  ["{ maxSteps: 2, batchSize: 4, precision: f32, unified: prompt }", ["unified"], "prompt", "hard"],
] as const)("%s", (reward, names, objectivesIn, kind) =>
  withFolder(async (folder) => {
    const rows = Array.from({ length: 10 }, (_, index) =>
      JSON.stringify({ prompt: `say ${index}`, chosen: `yes ${index}`, rejected: `no ${index}` }),
    );
    writeFileSync(join(folder, "a.jsonl"), rows.join("\n"));
    const outcome = await runRecipe(parseRecipe(text(folder, reward), "recipe.yaml", { folder }), {
      until: "reward",
    });
    expect(outcome.stages.map(({ name }) => name)).toEqual(["data", "reward"]);
    const stage = join(folder, "run", "reward");
    const schema = z.record(z.string(), z.record(z.string(), z.number()));
    const metrics = await readJsonFile(join(stage, "metrics.json"), schema);
    expect(Object.keys(metrics)).toEqual(names);
    for (const name of names) {
      expect(metrics[name]).toHaveProperty("loss");
      const model = await loadRewardModel(join(stage, name, "model"));
      expect(model.rewards.objectivesIn).toBe(objectivesIn);
      expect(model.rewards.all.map((head) => head.kind)).toEqual([kind]);
      model.dispose();
    }
  }),
);

test("labelled steps become tokens with their ends, and one that does not fit is counted, never cut", () =>
  withFolder(async (folder) => {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "train.jsonl");
    const row = { objective: "a", prompt: "2 + 2?", completions: ["two\n\n", "is 4"], labels: [0.7, null] };
    writeFileSync(file, `${JSON.stringify(row)}\n`);
    const model = await tinyModel("tiny-llama");
    const options = {
      tokenizer: model.tokenizer,
      template: model.template,
      maxPromptTokens: 64,
      maxTokens: 128,
    };
    const [steps] = await readLabelledSteps(file, options, new Problems());
    expect(steps?.labels).toEqual([0.7, null]);
    expect(model.tokenizer.decode(steps?.response.slice(0, steps.ends[0]) ?? [])).toBe("two\n\n");
    expect(steps?.ends.at(-1)).toBe(steps?.response.length);
    const problems = new Problems();
    const short = { ...options, maxTokens: (steps?.prompt.length ?? 0) + 3 };
    expect(await readLabelledSteps(file, short, problems)).toEqual([]);
    expect(problems.summary()).toContain("longer than data.maxTokens");
    model.dispose();
  }));

test("targets become classes for a hard head only", () => {
  expect(labelsFor([1.9, null, 1.7, 0.9], "hard", 0.85)).toEqual([1, null, 1, 0]);
  expect(labelsFor([0, 1, null], "hard", 0.85)).toEqual([0, 1, null]);
  expect(labelsFor([1.9, 0.9], "value", 0.85)).toEqual([1.9, 0.9]);
});
