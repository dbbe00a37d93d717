/** Labelled steps straight from files, through all stages: what learns from them, what is held out, and what shows them. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { run } from "../cli/testing/run.ts";
import { parseJson, readJsonFile } from "../core/json.ts";
import { silenceProgress } from "../core/progress.ts";
import { readResults } from "../evaluate/results.ts";
import { loadModel } from "../model/folder/load.ts";
import { loadRewardModel } from "../model/reward/reward-model.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { parseRecipe } from "./load.ts";
import { planRecipe } from "./plan.ts";
import { runRecipe } from "./run.ts";
import { dataStage } from "./stages/data.ts";
import { readHeldOutSteps, readSteps, readSummary } from "./stages/data-files.ts";
import { fixedMachine } from "./testing/machine.ts";

let folder = "";
const numbers = Array.from({ length: 10 }, (_, index) => index);
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-steps-pipeline-"));
  const write = (name: string, rows: readonly unknown[]): Promise<void> =>
    writeFile(join(folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  // As the relabel stage of another run writes them: several objectives in one file, and held-out rows in another.
  const relabelled = (objective: string, from: number) =>
    numbers.map((at) => ({
      objective,
      kind: "verifiable",
      prompt: `${from + at} and 1?`,
      completions: [`${from + at} + 1\n`, `It is ${from + at + 1}.`],
      labels: objective === "right" ? [0.9, at % 2] : [at % 2, null],
      source: { file: "problems.jsonl", line: at + 1 },
    }));
  await write("train.jsonl", [...relabelled("right", 0), ...relabelled("wit", 0)]);
  await write("held-out.jsonl", relabelled("right", 8).slice(0, 4));
  const tagged = (end: string) => (at: number) => `Say ${at}. Step 1: Now ${end}\nStep 2: ${at} ${end}`;
  await write(
    "tagged.jsonl",
    numbers.map((at) => ({ input: tagged("ки")(at), label: tagged(at % 2 ? "+" : "-")(at), task: "GSM8K" })),
  );
  await write(
    "pairs.jsonl",
    numbers.map((at) => ({
      objective: "helpful",
      prompt: `Say ${at}.`,
      chosen: `yes ${at}`,
      rejected: "no",
    })),
  );
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const text = (name: string) => `name: ${name}
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives:
  accuracy:
    steps: { path: train.jsonl, objective: right, heldOut: { path: held-out.jsonl, objective: right } }
  wit: { steps: [{ path: train.jsonl }] }
  shepherd: { steps: { path: tagged.jsonl, format: math-shepherd } }
  kind: { pairs: { path: pairs.jsonl, objective: helpful } }
data: { maxPromptTokens: 64, maxTokens: 160, heldOut: 0.2 }
sft: { maxSteps: 1, batchSize: 4, precision: f32 }
reward: { maxSteps: 2, batchSize: 4, precision: f32, train: frozen }
align: { maxSteps: 1, batchSize: 4, precision: f32 }
evaluate: { prompts: 2, maxNewTokens: 4, baseline: false }
`;
const recipe = (name: string, set: string[] = []) => parseRecipe(text(name), "recipe.yaml", { folder, set });
const at = (...parts: string[]): string => join(folder, ...parts);
const metrics = z.record(z.string(), z.record(z.string(), z.number()));

describe("steps from files", () => {
  test("train a reward model for each objective, and give the policy no head", async () => {
    const outcome = await runRecipe(recipe("apart"));
    expect(outcome.stages.map(({ name }) => name)).toEqual([
      "data",
      "sft",
      "reward",
      "align",
      "evaluate",
      "report",
    ]);
    const steps = await readSteps(at("apart", "data"));
    const held = await readHeldOutSteps(at("apart", "data"));
    const of = (rows: typeof steps, name: string) => rows.filter(({ objective }) => objective === name);
    // Two of the four held-out prompts are in the other file, too: they are not trained on, for `wit` either.
    expect([of(steps, "accuracy").length, of(held, "accuracy").length]).toEqual([8, 4]);
    expect([of(steps, "wit").length, of(held, "wit").length]).toEqual([8, 2]);
    expect([of(steps, "shepherd").length, of(held, "shepherd").length]).toEqual([8, 2]);
    const seen = new Set(steps.map(({ prompt }) => prompt));
    expect(held.some(({ prompt }) => seen.has(prompt))).toBe(false);
    expect(steps[0]).toMatchObject({ kind: "verifiable", labels: [0.9, 0], steps: ["0 + 1\n", "It is 1."] });
    const { objectives } = await readSummary(at("apart", "data"));
    expect(objectives.accuracy).toMatchObject({ train: 0, heldOut: 0, steps: { train: 8, heldOut: 4 } });

    const kinds = { accuracy: "value", wit: "hard", shepherd: "hard", kind: "bradley-terry" };
    expect(Object.keys(await readJsonFile(at("apart", "reward", "metrics.json"), metrics))).toEqual(
      Object.keys(kinds),
    );
    for (const [name, kind] of Object.entries(kinds)) {
      const model = await loadRewardModel(at("apart", "reward", name, "model"));
      expect(model.rewards.all.map((head) => head.kind)).toEqual([kind]);
      model.dispose();
    }
    const policy = await loadModel(at("apart", "align", "model"));
    expect(policy.heads.objectives).toEqual(["kind"]);
    policy.dispose();
  });

  test.each([
    ["prompt", ["hard"]],
    ["heads", ["value", "hard", "hard", "bradley-terry"]],
  ] as const)("train one reward model for all: %s", async (unified, kinds) => {
    const set = [`reward.unified=${unified}`, "sft=false", "align=false"];
    await runRecipe(recipe(`unified-${unified}`, set), { until: "reward" });
    const stage = at(`unified-${unified}`, "reward");
    const measured = (await readJsonFile(join(stage, "metrics.json"), metrics)).unified;
    for (const name of ["accuracy", "wit", "shepherd", "kind"])
      expect(measured).toHaveProperty(`${name}/loss`);
    const model = await loadRewardModel(join(stage, "unified", "model"));
    expect(model.rewards.objectives.toSorted()).toEqual(["accuracy", "kind", "shepherd", "wit"]);
    expect(model.rewards.all.map((head) => head.kind)).toEqual(kinds);
    model.dispose();
  });

  test("are enough for a recipe, which then trains a reward model alone", async () => {
    const only = ["objectives={wit: {steps: {path: train.jsonl}}}", "sft=false", "align=false"];
    const alone = recipe("alone", only);
    const plan = await planRecipe(alone, fixedMachine());
    const { stages } = await runRecipe(alone);
    expect(stages.map(({ name }) => name)).toEqual(["data", "reward", "evaluate", "report"]);
    expect(plan.stages.map(({ name }) => name)).toEqual(stages.map(({ name }) => name));
    const { rewardModels } = await readResults(at("alone", "evaluate", "results.json"));
    expect(Object.keys(rewardModels ?? {})).toEqual(["wit"]);
  });

  test("are planned, and make the data stale when they change and only then", async () => {
    const plan = await planRecipe(recipe("apart"), fixedMachine());
    expect(plan.stages.every(({ state }) => state === "fresh")).toBe(true);
    const inputs = (...set: string[]) => JSON.stringify(dataStage.inputs(recipe("apart", set)));
    expect(inputs("objectives.accuracy.steps.path=other.jsonl")).toBe(inputs());
    for (const change of ["objective=wit", "above=0.5", 'separator=""', "heldOut.limit=3"])
      expect(inputs(`objectives.accuracy.steps.${change}`)).not.toBe(inputs());
  });
});

describe("inspect", () => {
  test("marks the end of every step with its label, as text and as JSON", async () => {
    const file = at("recipe.yaml");
    await writeFile(file, text("shown"));
    const { out } = await run(["inspect", file, "--objective", "accuracy"]);
    expect(out).toContain("1│⏎⟦1: 0.9⟧\n");
    expect(out).toMatch(/⟦2: [01]⟧/);
    expect(out).toContain("accuracy: 8 rows");
    expect(out).toContain("16 steps, 16 with a label");

    const shape = z.looseObject({
      rows: z.array(
        z.looseObject({
          objective: z.string(),
          parts: z.array(
            z.looseObject({
              name: z.string(),
              tokens: z.array(z.unknown()),
              steps: z.array(z.strictObject({ end: z.int(), label: z.number().nullish() })).optional(),
            }),
          ),
        }),
      ),
    });
    const json = await run(["inspect", file, "--json", "--step", "sentence:1"]);
    const { rows } = parseJson(json.out, shape, "inspect");
    const part = (objective: string, name: string) =>
      rows.find((row) => row.objective === objective)?.parts.find((part) => part.name === name);
    expect(part("accuracy", "response")?.steps?.map(({ label }) => label)).toEqual([0.9, 0]);
    expect(part("wit", "response")?.steps?.at(-1)).toMatchObject({ label: null });
    const chosen = part("kind", "chosen");
    expect(chosen?.steps).toEqual([{ end: chosen?.tokens.length }]);
    expect(part("kind", "prompt")).not.toHaveProperty("steps");
    expect((await run(["inspect", file, "--step", "lines"])).err).toContain('Did you mean "line"?');
  });
});

test("a recipe whose steps nothing can learn from says so, with the field", async () => {
  const error = (...set: string[]) => {
    try {
      recipe("wrong", set);
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : "";
    }
    return "";
  };
  expect(error("reward=false")).toContain("objectives.accuracy.steps: are for a reward model");
  expect(error("objectives={a: {steps: {path: train.jsonl}}}")).toContain("align: needs pairs");
  expect(error("objectives.accuracy.steps.labels=1")).toContain('unknown key "labels"');
  expect(error("objectives.accuracy.steps.heldOut={}")).toContain("objectives.accuracy.steps.heldOut");
  expect(error("evaluate.from={path: pairs.jsonl, objective: a}")).toContain("evaluate.from.objective");
  await expect(
    runRecipe(recipe("bare", ["objectives.wit.steps=[{path: train.jsonl, objective: charm}]"]), {
      until: "data",
    }),
  ).rejects.toThrow(/it has right, wit/);
  const only = ["sft=false", "align=false", "reward.heads={wit: bradley-terry}"];
  await expect(
    runRecipe(recipe("only", ["objectives={wit: {steps: {path: train.jsonl}}}", ...only]), {
      until: "reward",
    }),
  ).rejects.toThrow(/wit has no rows/);
  expect(await readFile(at("train.jsonl"), "utf8")).toContain("wit");
});
