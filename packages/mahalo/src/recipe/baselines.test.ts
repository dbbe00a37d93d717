/** The methods that MAH-DPO is compared with, through the real stages over a tiny model. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { silenceProgress } from "../core/progress.ts";
import { readResults } from "../evaluate/results.ts";
import { loadModel } from "../model/folder/load.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { type MetricsRow, readMetrics } from "../train/metrics.ts";
import { parseRecipe } from "./load.ts";
import { runRecipe } from "./run.ts";
import { statedWeights } from "./stages/prompted.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-baselines-"));
  const rows = (good: string, bad: string, count: number): string =>
    Array.from({ length: count }, (_, index) =>
      JSON.stringify({ prompt: `say ${index}`, chosen: `${good} ${index}`, rejected: `${bad} ${index}` }),
    ).join("\n");
  await writeFile(join(folder, "a.jsonl"), rows("yes", "no", 10));
  await writeFile(join(folder, "b.jsonl"), rows("go", "stop", 6));
  for (const name of ["a", "b"])
    await runRecipe(recipe(`dpo-${name}`, `method: dpo, objective: ${name}`), { until: "align" });
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const answerSchema = z.looseObject({ label: z.string(), response: z.string() });

const recipe = (name: string, align: string, set: string[] = []) =>
  parseRecipe(
    `name: ${name}
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives:
  a: { pairs: { path: a.jsonl }, judge: { kind: rule, minWords: 1 } }
  b: { pairs: { path: b.jsonl }, judge: { kind: rule, maxWords: 3 } }
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0.2 }
sft: false
align: { learningRate: 1e-3, batchSize: 4, precision: f32, ${align} }
evaluate: { mixes: 3, prompts: 2, maxNewTokens: 4 }
`,
    "recipe.yaml",
    { folder, set },
  );

const modelOf = (name: string): string => join(folder, name, "align", "model");
const metricsOf = (name: string): Promise<MetricsRow[]> =>
  readMetrics(join(folder, name, "align", "metrics.jsonl"));
const rewards = (): string => `rewards: { a: ${modelOf("dpo-a")}, b: ${modelOf("dpo-b")} }`;
/** Metrics without the norm, which is of all gradients in an order that heads change. */
const numbers = (rows: readonly MetricsRow[]): MetricsRow[] => rows.map((row) => ({ ...row, grad_norm: 0 }));

describe("methods of one head", () => {
  test("dpo sees one objective's pairs, in as many steps as all methods take, and leaves a plain model", async () => {
    const [a, mixed] = [await metricsOf("dpo-a"), recipe("dpo-mixed", "method: dpo-mixed")];
    await runRecipe(mixed);
    const all = await metricsOf("dpo-mixed");
    expect(a.at(-1)?.step).toBe(all.at(-1)?.step);
    expect(a[0]).toHaveProperty("a/loss");
    expect(a[0]).not.toHaveProperty("b/loss");
    expect(all[0]).toMatchObject({ "a/loss": expect.any(Number), "b/loss": expect.any(Number) });
    const model = await loadModel(modelOf("dpo-mixed"));
    expect(model.heads.objectives).toEqual([]);
    model.dispose();
    const results = await readResults(join(folder, "dpo-mixed", "report", "results.json"));
    expect(results.sweep?.points.map(({ label }) => label)).toEqual(["dpo-mixed", "base"]);
    expect(results.pairAccuracy?.heads).toEqual(["base", "dpo-mixed"]);
  });

  test("modpo with weight 1 on one objective is dpo on it, weight for weight", async () => {
    await runRecipe(
      recipe("modpo-one", `method: modpo, objective: a, weights: { a: 1, b: 0 }, ${rewards()}`),
      {
        until: "align",
      },
    );
    expect(await metricsOf("modpo-one")).toEqual(await metricsOf("dpo-a"));
  });

  test("modpo trains one policy on the pairs of all objectives for given weights", async () => {
    await runRecipe(recipe("modpo", `method: modpo, weights: { a: 3, b: 1 }, ${rewards()}`), {
      until: "align",
    });
    const [modpo, mixed] = [await metricsOf("modpo"), await metricsOf("dpo-mixed")];
    expect(modpo).toHaveLength(mixed.length);
    expect(modpo[0]?.["a/loss"]).not.toBe(mixed[0]?.["a/loss"]);
    // At the start every margin against the reference is 0; what is left is the other objective's reward.
    expect(modpo[0]?.["logps/chosen"]).toBe(mixed[0]?.["logps/chosen"]);
  });

  test("dpo-scalarized ranks pairs by the weighted rewards and keeps the batches", async () => {
    await runRecipe(recipe("scalarized", `method: dpo-scalarized, weights: { a: 1, b: 0 }, ${rewards()}`), {
      until: "align",
    });
    const [ranked, mixed] = [await metricsOf("scalarized"), await metricsOf("dpo-mixed")];
    expect(ranked.map(({ step }) => step)).toEqual(mixed.map(({ step }) => step));
    // The model of objective a was trained on these very pairs, and ranks them as they are.
    expect(ranked[0]?.["a/logps/chosen"]).toBe(mixed[0]?.["a/logps/chosen"]);
    expect(numbers(ranked)).not.toEqual(numbers(mixed));
  });
});

test.each([
  ["mah-dpo", ""],
  ["dpo", "objective: a"],
  ["dpo-mixed", ""],
  ["modpo", "weights: { a: 3, b: 1 }"],
  ["dpo-scalarized", "weights: { a: 1, b: 1 }"],
])("%s has a low-rank variant, which begins where all weights do", async (method, more) => {
  const needs = /modpo|scalarized/.test(method) ? rewards() : "";
  const options = [`method: ${method}`, more, needs].filter((one) => one !== "").join(", ");
  const low = "train: { lora: { rank: 2 } }";
  await runRecipe(recipe(`lora-${method}`, `${options}, ${low}`), { until: "align" });
  await runRecipe(recipe(`full-${method}`, options), { until: "align" });
  const [lora, full] = [await metricsOf(`lora-${method}`), await metricsOf(`full-${method}`)];
  expect(lora.map(({ step }) => step)).toEqual(full.map(({ step }) => step));
  expect(numbers(lora)[0]).toEqual(numbers(full)[0]);
  expect(numbers(lora)).not.toEqual(numbers(full));
  const model = await loadModel(modelOf(`lora-${method}`));
  expect(model.heads.objectives).toEqual(method === "mah-dpo" ? ["a", "b"] : []);
  model.dispose();
});

describe("methods that merge models", () => {
  const models = (): string => `models: { a: ${modelOf("dpo-a")}, b: ${modelOf("dpo-b")} }`;
  /** What policies answered, by label. */
  const answersOf = async (name: string): Promise<Map<string, string[]>> => {
    const lines = (await readFile(join(folder, name, "evaluate", "answers.jsonl"), "utf8"))
      .trim()
      .split("\n");
    const found = new Map<string, string[]>();
    for (const line of lines) {
      const { label, response } = parseJson(line, answerSchema, "answers.jsonl");
      found.set(label, [...(found.get(label) ?? []), response]);
    }
    return found;
  };

  test("soup saves the soup of its weights and answers under every mix by its own", async () => {
    await runRecipe(recipe("dpo-a", "method: dpo, objective: a"));
    await runRecipe(recipe("soup", `method: soup, ${models()}, weights: { a: 1, b: 0 }`));
    const [soup, alone] = [await loadModel(modelOf("soup")), await loadModel(modelOf("dpo-a"))];
    expect(soup.heads.base.value.toFloat32Array()).toEqual(alone.heads.base.value.toFloat32Array());
    soup.dispose();
    alone.dispose();
    const results = await readResults(join(folder, "soup", "report", "results.json"));
    expect(results.sweep?.points.map(({ label }) => label)).toEqual([
      "a=1,b=0",
      "a=0.5,b=0.5",
      "a=0,b=1",
      "base",
    ]);
    expect(results.pairAccuracy?.heads).toEqual(["base", "soup"]);
    expect((await answersOf("soup")).get("a=1,b=0")).toEqual((await answersOf("dpo-a")).get("dpo"));
  });

  test("mod trains nothing and mixes logits; with one model's weight alone it answers like it", async () => {
    const { stages } = await runRecipe(recipe("mod", `method: mod, ${models()}`));
    expect(stages.map(({ name }) => name)).toEqual(["data", "evaluate", "report"]);
    const answers = await answersOf("mod");
    expect([...answers.keys()]).toEqual(["a=1,b=0", "a=0.5,b=0.5", "a=0,b=1", "base"]);
    expect(answers.get("a=1,b=0")).toEqual((await answersOf("soup")).get("a=1,b=0"));
    expect(answers.get("a=0,b=1")).toEqual((await answersOf("soup")).get("a=0,b=1"));
  });

  test("evaluate.prompted asks the base model to weigh objectives", async () => {
    const asked = recipe("prompted", "maxSteps: 1", ["evaluate.prompted=true", "evaluate.mixes=2"]);
    await runRecipe(asked);
    const labels = [...(await answersOf("prompted")).keys()];
    expect(labels).toEqual(["a=1,b=0", "a=0,b=1", "base", "prompted a=1,b=0", "prompted a=0,b=1"]);
    expect(statedWeights({ a: 0.25, b: 0.75 }, { ...asked.objectives })).toBe(
      "Weigh these goals in your reply. a: 25 percent. b: 75 percent.",
    );
  });
});

describe("losses", () => {
  const references = async (name: string): Promise<string[]> => {
    const cache = join(folder, name, "cache");
    const files = existsSync(cache) ? await readdir(cache) : [];
    return files.filter((file) => file.startsWith("reference-"));
  };

  test("simpo trains without computing a reference, and has its own beta unless one is given", async () => {
    const simpo = recipe("simpo", "loss: simpo");
    await runRecipe(simpo, { until: "align" });
    expect(await references("simpo")).toEqual([]);
    expect(simpo.align).toMatchObject({ loss: "simpo", beta: 2 });
    expect(recipe("x", "loss: simpo, beta: 1.5").align).toMatchObject({ beta: 1.5 });
    const [first] = await metricsOf("simpo");
    // Heads begin nearly alike, so a reward is twice the mean log-probability that both responses have.
    const reward = (side: string): number => first?.[`a/rewards/${side}`] ?? Number.NaN;
    expect(Math.max(reward("chosen"), reward("rejected"))).toBeLessThan(-2);
    expect(first?.["a/loss"]).toBeGreaterThan(0);
  });

  test("ipo-norm computes a reference, and begins where no margin is", async () => {
    await runRecipe(recipe("ipo-norm", "loss: ipo-norm, headNoise: 0, beta: 0.5"), { until: "align" });
    expect(await references("ipo-norm")).toHaveLength(2);
    const [first] = await metricsOf("ipo-norm");
    expect(first?.loss).toBeCloseTo(1, 4);
  });
});

describe("align.train: heads", () => {
  const states = (): Promise<string[]> => readdir(join(folder, ".states")).catch(() => []);
  const weights = (name: string, file: string): Promise<Buffer> => readFile(join(modelOf(name), file));

  test("trains heads and nothing else, over states that other runs over the same rows read too", async () => {
    await rm(join(folder, ".states"), { recursive: true, force: true });
    await runRecipe(recipe("heads", "train: heads"), { until: "align" });
    expect(await states()).toHaveLength(1);
    const others: [string, string][] = [
      ["heads-beta", "train: heads, beta: 0.5"],
      ["heads-dpo", "train: heads, method: dpo, objective: a"],
      ["heads-simpo", "train: heads, loss: simpo"],
    ];
    for (const [name, align] of others) await runRecipe(recipe(name, align), { until: "align" });
    expect(await states()).toHaveLength(1);
    await runRecipe(recipe("full", ""), { until: "align" });
    const backbone = async (name: string): Promise<Float32Array[]> => {
      const model = await loadModel(modelOf(name));
      const values = model.backbone.parameters().map(({ value }) => value.toFloat32Array());
      model.dispose();
      return values;
    };
    const before = await loadModel(tinyFolder("tiny-llama"));
    const kept = before.backbone.parameters().map(({ value }) => value.toFloat32Array());
    before.dispose();
    for (const name of ["heads", "heads-beta", "heads-dpo"]) expect(await backbone(name), name).toEqual(kept);
    expect(await backbone("full")).not.toEqual(kept);
    expect(await weights("heads", "heads.safetensors")).not.toEqual(
      await weights("heads-beta", "heads.safetensors"),
    );
  });

  test("gives the same bytes whether its states were read or computed", async () => {
    await runRecipe(recipe("heads-read", "train: heads"), { until: "align" });
    process.env.MAHALO_STATES_GB = "0";
    try {
      await runRecipe(recipe("heads-computed", "train: heads"), { until: "align" });
    } finally {
      delete process.env.MAHALO_STATES_GB;
    }
    for (const file of ["model.safetensors", "heads.safetensors"])
      expect(await weights("heads-read", file), file).toEqual(await weights("heads-computed", file));
    expect(numbers(await metricsOf("heads-read")).map(({ loss }) => loss)).toEqual(
      numbers(await metricsOf("heads-computed")).map(({ loss }) => loss),
    );
  });
});

describe("a recipe is refused", () => {
  test.each([
    ["method: dpo", /align.objective: is missing/],
    ["method: dpo, objective: c", /unknown objective "c"/],
    ["method: modpo, weights: { a: 1 }", /align.rewards: is missing/],
    ["method: dpo-mixed, weights: { a: 1 }", /align.weights: has no meaning for dpo-mixed/],
    ["method: soup", /align.models: is missing/],
    ["models: { a: ./x }", /align.models: has no meaning for mah-dpo/],
    ["objective: a", /align.objective: has no meaning for mah-dpo/],
    ["loss: ipo-norm, smoothing: 0.1", /align.smoothing: .*; ipo-norm has none/],
    ["gamma: 1", /align.gamma: .*; sigmoid has none/],
    ["method: modpo, rewards: { a: ./x }, loss: simpo", /align.loss: has no meaning for modpo/],
    ["method: modpo, rewards: { a: ./x }, weights: { a: 0 }", /at least one weight above 0/],
  ])("that says %s", (align, message) => {
    expect(() => recipe("refused", align)).toThrow(message);
  });

  test("that would measure conflicts of heads, which share nothing", () => {
    expect(() => recipe("heads-conflict", "train: heads, conflict: { every: 1 }")).toThrow(
      /align\.conflict: has no meaning for train: heads/,
    );
  });

  test("whose rewards are a model of several heads, or are missing", async () => {
    await runRecipe(recipe("heads", "maxSteps: 1"), { until: "align" });
    const wrong = `rewards: { a: ${modelOf("heads")}, b: ${modelOf("dpo-b")} }`;
    await expect(runRecipe(recipe("x", `method: modpo, ${wrong}`), { until: "align" })).rejects.toMatchObject(
      {
        code: "E_REWARD_MODEL",
      },
    );
    const few = `rewards: { b: ${modelOf("dpo-b")} }`;
    await expect(runRecipe(recipe("y", `method: modpo, ${few}`), { until: "align" })).rejects.toMatchObject({
      code: "E_REWARD_GAP",
    });
  });
});
