/** Adding an objective to a trained model: a new head over a frozen backbone, and nothing of the others moves. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { generateAll } from "../decode/generate.ts";
import { readControl } from "../evaluate/control-file.ts";
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

describe.each([
  ["whole heads", ""],
  ["heads of low rank", ", heads: { rank: 2 }"],
])("a model whose objectives have adapters and %s", (_, heads) => {
  const name = (kind: string): string => `${kind}${heads === "" ? "" : "-low-rank"}`;
  const adapters = "train: { adapters: { rank: 2, lastLayers: 1, shared: true } }";
  const answersOf = async (model: LanguageModel): Promise<unknown[]> =>
    generateAll(
      model,
      [{ a: 1 }, { b: 1 }, { a: 0.3, b: 0.7 }].map((mix) => ({
        ids: IDS,
        mix,
        maxNewTokens: 8,
        logprobs: true,
      })),
    );

  test("is trained, measured, and gets a further objective with an adapter of its own, and one without", async () => {
    const first = recipe(name("adapted"), tinyFolder("tiny-llama"), ["a", "b"], adapters + heads);
    await runRecipe(first);
    const before = await loadModel(modelOf(name("adapted")));
    expect(before.backbone.adapters?.objectives).toEqual(["a", "b"]);
    expect(before.heads.rank).toBe(heads === "" ? undefined : 2);
    const { points } = await readControl(modelOf(name("adapted")));
    expect(points).toHaveLength(3);
    const answered = await answersOf(before);
    for (const [kind, train, own] of [
      ["with", `${adapters.replace(", shared: true", "")}, `, ["a", "b", "c"]],
      ["without", "", ["a", "b"]],
    ] as const) {
      const further = recipe(name(kind), modelOf(name("adapted")), ["a", "b", "c"], train + added, [
        "align.epochs=6",
      ]);
      await runRecipe(further);
      const after = await loadModel(modelOf(name(kind)));
      expect(after.backbone.adapters?.objectives).toEqual(own);
      expect(after.heads.objectives).toEqual(["a", "b", "c"]);
      expect(await answersOf(after)).toEqual(answered);
      const metrics = await readMetrics(join(folder, name(kind), "align", "metrics.jsonl"));
      const losses = metrics.flatMap(({ loss }) => loss ?? []);
      expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
      after.dispose();
    }
    before.dispose();
  });

  test("keeps what was measured beside the model, whatever becomes of it, and is no other model for that", async () => {
    const first = recipe(name("adapted"), tinyFolder("tiny-llama"), ["a", "b"], adapters + heads);
    const model = modelOf(name("adapted"));
    await rm(join(model, "control.json"));
    await runRecipe(first);
    expect((await readControl(model)).points).toHaveLength(3);
    const further = recipe(
      name("with"),
      model,
      ["a", "b", "c"],
      `${adapters.replace(", shared: true", "")}, ${added}`,
      ["align.epochs=6"],
    );
    const { stages } = await runRecipe(further, { until: "align" });
    expect(stages.map(({ did }) => did)).toEqual(stages.map(() => "kept"));
  });

  test("is not trained where its objectives would answer over another backbone", async () => {
    const more = (align: string, set: string[] = []) =>
      runRecipe(recipe(name("over"), modelOf(name("adapted")), ["c"], align, set), { until: "align" });
    for (const align of ["method: dpo, objective: c", "train: full", "train: { lora: { rank: 2 } }"])
      await expect(more(align)).rejects.toMatchObject({ code: "E_HEAD_EXISTS" });
    await expect(more("train: heads", ["sft={}"])).rejects.toMatchObject({ code: "E_HEAD_EXISTS" });
    const shared = "method: add-head, train: { adapters: { rank: 2, shared: true } }";
    const plain = recipe(name("shared"), modelOf("first"), ["a", "b", "c"], shared);
    await expect(runRecipe(plain, { until: "align" })).rejects.toThrow(/share no adapter/);
  });

  test("refuses adapters and heads of another size", async () => {
    const more = (align: string) =>
      runRecipe(recipe(name("other"), modelOf(name("adapted")), ["a", "b", "c"], `${added}, ${align}`), {
        until: "align",
      });
    await expect(more("train: { adapters: { rank: 3, lastLayers: 1 } }")).rejects.toThrow(/another shape/);
    await expect(more("heads: { rank: 3 }")).rejects.toThrow(/align.heads.rank: 3, but the model has/);
  });
});

test("a recipe's align.conflict tells the objectives' cosines in metrics", async () => {
  const metrics = await readMetrics(join(folder, "first", "align", "metrics.jsonl"));
  expect(metrics[0]).toMatchObject({
    "conflict/a~b": expect.any(Number),
    "conflict/a~b/layer_00": expect.any(Number),
  });
});
