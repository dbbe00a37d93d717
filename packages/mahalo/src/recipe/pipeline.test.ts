/** A small recipe through the real stages: what it makes, keeps and resumes. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hashFile } from "../core/files.ts";
import { silenceProgress } from "../core/progress.ts";
import { loadModel } from "../model/folder/load.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { readMetrics } from "../train/metrics.ts";
import { parseRecipe } from "./load.ts";
import { planRecipe } from "./plan.ts";
import { runRecipe } from "./run.ts";
import { fixedMachine } from "./testing/machine.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-pipeline-"));
  const rows = (good: string, bad: string): string =>
    Array.from({ length: 10 }, (_, index) =>
      JSON.stringify({ prompt: `say ${index}`, chosen: `${good} ${index}`, rejected: `${bad} ${index}` }),
    ).join("\n");
  await writeFile(join(folder, "a.jsonl"), rows("yes", "no"));
  await writeFile(join(folder, "b.jsonl"), rows("go", "stop"));
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

/** A recipe over a model of a few thousand weights. */
const recipe = (name: string, set: string[] = []) =>
  parseRecipe(
    `name: ${name}
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives: { a: { pairs: { path: a.jsonl } }, b: { pairs: { path: b.jsonl }, weight: 2 } }
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0.2 }
sft: { learningRate: 1e-3, batchSize: 4, precision: f32, saveEvery: 1 }
align: { learningRate: 1e-3, batchSize: 4, precision: f32, saveEvery: 1 }
evaluate: { mixes: 3, prompts: 2, maxNewTokens: 8 }
`,
    "recipe.yaml",
    { folder, set },
  );

const weightsOf = async (run: string): Promise<string[]> => {
  const model = join(folder, run, "align", "model");
  const files = (await readdir(model)).filter((name) => name.endsWith(".safetensors")).sort();
  return Promise.all(files.map((name) => hashFile(join(model, name))));
};

describe("a recipe run over a tiny model", () => {
  test("trains a head for each objective and keeps what is fresh", async () => {
    const first = await runRecipe(recipe("whole"), { until: "align" });
    expect(first.stages.map(({ name, did }) => [name, did])).toEqual([
      ["data", "ran"],
      ["sft", "ran"],
      ["align", "ran"],
    ]);
    const model = await loadModel(join(folder, "whole", "align", "model"));
    expect(model.heads.objectives).toEqual(["a", "b"]);
    model.dispose();
    const metrics = await readMetrics(join(folder, "whole", "align", "metrics.jsonl"));
    expect(metrics[0]).toMatchObject({
      step: 1,
      loss: expect.closeTo(Math.LN2, 1),
      "a/loss": expect.any(Number),
      "b/loss": expect.any(Number),
    });
    expect(metrics.at(-1)).toHaveProperty("eval_rewards/accuracies");

    const changed = await runRecipe(recipe("whole", ["align.beta=0.2"]), { until: "align" });
    expect(changed.stages.map(({ did }) => did)).toEqual(["kept", "kept", "ran"]);
    expect(await readFile(join(folder, "whole", "recipe.yaml"), "utf8")).toContain("beta: 0.2");
  });

  test("ends in the same weights when it is stopped again and again", async () => {
    await runRecipe(recipe("straight"), { until: "align" });
    for (let sitting = 0; ; sitting++) {
      // Aborted from the start: every sitting that trains does one step.
      const controller = new AbortController();
      const until = sitting === 0 ? "data" : "align";
      const attempt = runRecipe(recipe("broken"), {
        until,
        signal: controller.signal,
        log: (line) => {
          if (/begins|resumes/.test(line)) controller.abort();
        },
      });
      const ended = await attempt.then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: "E_INTERRUPTED" });
          return false;
        },
      );
      if (ended && until === "align") break;
      expect(sitting).toBeLessThan(40);
    }
    expect(await weightsOf("broken")).toEqual(await weightsOf("straight"));
    for (const stage of ["sft", "align"]) {
      const metrics = (run: string): Promise<string> =>
        readFile(join(folder, run, stage, "metrics.jsonl"), "utf8");
      expect(await metrics("broken")).toBe(await metrics("straight"));
    }
  });

  test("begins from the base model where sft is left out, and trains what it is told to", async () => {
    const outcome = await runRecipe(
      recipe("parts", ["sft=false", "align.train={lora: {rank: 2}}", "align.maxSteps=1"]),
      { until: "align" },
    );
    expect(outcome.stages.map(({ name }) => name)).toEqual(["data", "align"]);
    expect(await readMetrics(join(folder, "parts", "align", "metrics.jsonl"))).toHaveLength(2);
  });

  test("is planned from measured counts once the data are there", async () => {
    const before = await planRecipe(recipe("planned"), fixedMachine());
    expect(before.counts).toBe("sampled");
    await runRecipe(recipe("planned"), { until: "data" });
    const after = await planRecipe(recipe("planned"), fixedMachine());
    expect(after.counts).toBe("measured");
    expect(after.stages[2]?.cost?.seconds).toBeGreaterThan(0);
    // All rows of files so small are sampled, so that nothing is learnt by running the stage.
    expect(after.stages.slice(1).map(({ cost }) => cost)).toEqual(
      before.stages.slice(1).map(({ cost }) => cost),
    );
  });
});
