/** Adding an objective to a trained model: a new head over a frozen backbone, and nothing of the others moves. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { readResults } from "../evaluate/results.ts";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { IDS, logitsOf, tinyFolder } from "../model/testing/tiny.ts";
import { readMetrics } from "../train/metrics.ts";
import { parseRecipe } from "./load.ts";
import { runRecipe } from "./run.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-add-head-"));
  const rows = (good: string, bad: string): string =>
    Array.from({ length: 8 }, (_, index) =>
      JSON.stringify({ prompt: `say ${index}`, chosen: `${good} ${index}`, rejected: `${bad} ${index}` }),
    ).join("\n");
  await writeFile(join(folder, "a.jsonl"), rows("yes", "no"));
  await writeFile(join(folder, "b.jsonl"), rows("go", "stop"));
  await writeFile(join(folder, "c.jsonl"), rows("well", "ill"));
  await runRecipe(recipe("first", tinyFolder("tiny-llama"), ["a", "b"], "conflict: { every: 1 }"), {
    until: "align",
  });
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const recipe = (name: string, model: string, objectives: string[], align: string, set: string[] = []) =>
  parseRecipe(
    `name: ${name}
model: ${model}
out: ${folder}
objectives:
${objectives.map((objective) => `  ${objective}: { pairs: { path: ${objective}.jsonl }, judge: { kind: rule, minWords: 1 } }`).join("\n")}
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0.2 }
sft: false
align: { learningRate: 1e-3, batchSize: 4, precision: f32, ${align} }
evaluate: { mixes: 3, prompts: 2, maxNewTokens: 4 }
`,
    "recipe.yaml",
    { folder, set },
  );

const modelOf = (name: string): string => join(folder, name, "align", "model");
const added = "method: add-head";

/** Logits of a model under a mix. */
const answers = (model: LanguageModel, mix: Record<string, number>): Float32Array =>
  logitsOf(model, IDS, model.heads.mix(mix));

describe("add-head", () => {
  test("adds a head that learns, and the others answer as before, bit for bit", async () => {
    await runRecipe(recipe("second", modelOf("first"), ["a", "b", "c"], added));
    const [before, after] = [await loadModel(modelOf("first")), await loadModel(modelOf("second"))];
    expect(after.heads.objectives).toEqual(["a", "b", "c"]);
    for (const mix of [{ a: 1 }, { b: 1 }, { a: 0.3, b: 0.7 }])
      expect(answers(after, mix)).toEqual(answers(before, mix));
    expect(logitsOf(after, IDS)).toEqual(logitsOf(before, IDS));
    for (const [index, one] of before.backbone.parameters().entries())
      expect(after.backbone.parameters()[index]?.value.toFloat32Array(), one.name).toEqual(
        one.value.toFloat32Array(),
      );
    before.dispose();
    after.dispose();
    const metrics = await readMetrics(join(folder, "second", "align", "metrics.jsonl"));
    expect(metrics[0]).toHaveProperty("c/loss");
    expect(metrics[0]).not.toHaveProperty("a/loss");
    const losses = metrics.flatMap(({ loss }) => loss ?? []);
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
    const { sweep } = await readResults(join(folder, "second", "report", "results.json"));
    expect(sweep?.points.map(({ label }) => label)).toContain("a=0,b=0,c=1");
  });

  test("needs a model with heads, and an objective that it has none for", async () => {
    const none = recipe("none", tinyFolder("tiny-llama"), ["a", "c"], added);
    await expect(runRecipe(none, { until: "align" })).rejects.toMatchObject({ code: "E_ADD_HEAD" });
    const known = recipe("known", modelOf("first"), ["a", "b"], added);
    await expect(runRecipe(known, { until: "align" })).rejects.toMatchObject({ code: "E_ADD_HEAD" });
  });

  test("leaves the backbone as it is, so a recipe must not fine-tune it", () => {
    expect(() => recipe("tuned", modelOf("first"), ["c"], added, ["sft={}"])).toThrow(/sft: must be false/);
  });
});

test("a recipe's align.conflict tells the objectives' cosines in metrics", async () => {
  const metrics = await readMetrics(join(folder, "first", "align", "metrics.jsonl"));
  expect(metrics[0]).toMatchObject({
    "conflict/a~b": expect.any(Number),
    "conflict/a~b/layer_00": expect.any(Number),
  });
});
