/** A small recipe whose policies are guided by its own reward models: what the guide stage writes, and what is refused. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readJsonFile } from "../core/json.ts";
import { silenceProgress } from "../core/progress.ts";
import { type GuidanceResults, guidanceSchema } from "../evaluate/guidance.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { parseRecipe } from "./load.ts";
import { runRecipe } from "./run.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-guide-pipeline-"));
  const pairs = (objective: string) =>
    Array.from({ length: 10 }, (_, index) => ({
      objective,
      prompt: `${index} and 1?`,
      chosen: `It is ${index + 1}, ${objective}.`,
      rejected: "No.",
    }));
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(join(folder, "asked.jsonl"), lines([{ prompt: "What else?" }, { prompt: "And then?" }]));
  await writeFile(join(folder, "pairs.jsonl"), lines([...pairs("kind"), ...pairs("wit")]));
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const recipe = (name: string, set: string[] = []) =>
  parseRecipe(
    `name: ${name}
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives:
  kind: { pairs: { path: pairs.jsonl }, judge: { kind: rule, pattern: "e" } }
  wit: { pairs: { path: pairs.jsonl }, judge: { kind: rule, minWords: 1 } }
data: { maxPromptTokens: 64, maxTokens: 96, heldOut: 0.3 }
sft: { maxSteps: 1, batchSize: 4, precision: f32 }
reward: { maxSteps: 1, batchSize: 4, precision: f32, train: frozen }
align: { maxSteps: 1, batchSize: 4, precision: f32 }
evaluate: { mixes: 2, prompts: 2, maxNewTokens: 4, baseline: false, pairAccuracy: false }
guide:
  prompts: 2
  maxNewTokens: 8
  search: { candidates: 2, step: line, maxStepTokens: 4 }
`,
    "recipe.yaml",
    { folder, set },
  );
const found = (name: string): Promise<GuidanceResults> =>
  readJsonFile(join(folder, name, "guidance.json"), guidanceSchema);

describe("the guide stage", () => {
  test("measures every policy unguided, under each reward model and under all", async () => {
    const { stages } = await runRecipe(recipe("all"));
    expect(stages.map(({ name }) => name)).toContain("guide");
    const { points, prompts } = await found("all");
    expect(prompts).toBe(2);
    const guidances = [undefined, { kind: 1 }, { wit: 1 }, { kind: 0.5, wit: 0.5 }];
    expect(points.map(({ policy, guidance }) => [policy, guidance])).toEqual(
      ["base", "sft", "aligned"].flatMap((policy) => guidances.map((guidance) => [policy, guidance])),
    );
    for (const { guidance, results, gains, tokens } of points) {
      expect(Object.keys(results)).toEqual(["kind", "wit"]);
      expect(gains === undefined).toBe(guidance === undefined);
      expect(tokens.generated > tokens.answer).toBe(guidance !== undefined);
      expect(tokens.scored > 0).toBe(guidance !== undefined);
    }
    expect(await readFile(join(folder, "all", "report.html"), "utf8")).toContain('<section id="guidance">');
    expect((await runRecipe(recipe("all"))).stages.every(({ did }) => did === "kept")).toBe(true);
  });

  test("sweeps the heads' mixes and the guides' weights as declared, with one model for all objectives too", async () => {
    const set = [
      "reward.unified=prompt",
      "guide.policies=[aligned]",
      "guide.mixes=[{ kind: 1 }, { wit: 1 }]",
      "guide.weights=[{ kind: 0.7, wit: 0.3 }]",
      "guide.search.strategy=best-of-n",
    ];
    await runRecipe(recipe("swept", set));
    const { points } = await found("swept");
    expect(points.map(({ mix, guidance }) => [mix, guidance])).toEqual([
      [{ kind: 1 }, undefined],
      [{ kind: 1 }, { kind: 0.7, wit: 0.3 }],
      [{ wit: 1 }, undefined],
      [{ wit: 1 }, { kind: 0.7, wit: 0.3 }],
    ]);
  });

  test("keeps the answers of every guidance apart, also of weights that differ in sign or in the third place", async () => {
    const set = [
      "guide.policies=[sft]",
      "guide.weights=[{ kind: 1 }, { kind: -1 }, { kind: 0.501 }, { kind: 0.502 }]",
    ];
    await runRecipe(recipe("apart", set));
    expect(await readdir(join(folder, "apart", "guide", "answers"))).toHaveLength(5);
  });

  test("refuses a weight on an objective that has no reward model", async () => {
    const unlabelled =
      "objectives.calm={ prompts: { path: asked.jsonl }, judge: { kind: rule, minWords: 1 } }";
    const set = [unlabelled, "guide.policies=[sft]", "guide.weights=[{ calm: 1 }]"];
    await expect(runRecipe(recipe("lacking", set))).rejects.toMatchObject({
      code: "E_GUIDE",
      message: expect.stringContaining('"calm"'),
    });
    const nothing = recipe("nothing", ["guide.policies=[sft]", "guide.weights=[{ kind: 0 }]"]);
    await expect(runRecipe(nothing)).rejects.toMatchObject({ code: "E_GUIDE" });
  });

  test("needs reward models, and objectives that there are", () => {
    expect(() => recipe("none", ["reward=false"])).toThrow(/guide: needs reward models/);
    expect(() => recipe("typo", ["guide.weights=[{ kin: 1 }]"])).toThrow(/kin.*kind/);
    expect(() => recipe("typo", ["guide.search.candidate=3"])).toThrow(/candidate/);
  });
});
