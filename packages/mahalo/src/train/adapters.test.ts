/** Training of objectives' adapters: gradients are those of merged weights, and a pair moves its own objective's parts only. */
import { join } from "node:path";
import { ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { exportMix } from "../model/folder/save.ts";
import type { Mix } from "../model/heads/heads.ts";
import { ADAPTED, adaptedModel, allMaps, stirAdapters } from "../model/testing/adapted.ts";
import { trainAll } from "../model/testing/gradients.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { sharedAdapter } from "../model/transformer/map-adapters.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { computeReference } from "./reference.ts";
import { accumulateGradients } from "./step.ts";
import type { TaskRow } from "./task.ts";
import { relativeToLargest } from "./testing/compare.ts";
import { alignedModel, PAIRS, pairTask, REFERENCE } from "./testing/fixture.ts";
import { go, STEPS } from "./testing/run.ts";
import { setTrainable } from "./trainer.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

const expectClose = (actual: Float32Array, wanted: Float32Array): void =>
  expect(relativeToLargest(actual, wanted)).toBeLessThan(1e-4);

const gradient = (parameter: Parameter): Float32Array =>
  scope(() => (parameter.gradient ?? ops.zerosLike(parameter.float())).toFloat32Array());

/** Lets heads and adapters train and adds up the gradients of rows. */
const accumulate = (model: LanguageModel, rows: readonly TaskRow[], checkpointing = false): void => {
  const task = pairTask();
  const parameters = [...model.heads.parameters(), ...(model.backbone.adapters?.parameters() ?? [])];
  for (const parameter of model.backbone.parameters()) parameter.trainable = false;
  for (const parameter of parameters) {
    parameter.trainable = true;
    parameter.clearGradient();
  }
  accumulateGradients(model, rows, (row, values) => task.loss(known(row), values, task.rows(0)), {
    maxTokensPerMicrobatch: 60,
    checkpointing,
    trained: parameters,
  });
  function known(row: TaskRow): TaskRow {
    const found = task.rows(0)[row.index];
    if (found === undefined) throw new Error("no such row");
    return found;
  }
};

/** Rows of one objective's pairs, read under a mix. */
const rowsUnder = (objective: string, mix?: Mix): TaskRow[] =>
  pairTask()
    .rows(0)
    .filter((row) => row.objective === objective)
    .map((row) => (mix === undefined ? row : { ...row, mix }));

/** Gradients of a merged model's weights by Hugging Face's name, over the same rows. */
const mergedGradients = (model: LanguageModel, mix: Mix, rows: readonly TaskRow[]) =>
  withFolder(async (folder) => {
    await exportMix(model, mix, join(folder, "mix"));
    const merged = await loadModel(join(folder, "mix"), { training: true });
    const trained = trainAll(merged);
    const task = pairTask();
    const plain = rows.map((row) => ({ ...row, objective: undefined, mix: undefined }));
    accumulateGradients(
      merged,
      plain,
      (row, values) => {
        const known = task.rows(0)[row.index];
        if (known === undefined) throw new Error("no such row");
        return task.loss(known, values, task.rows(0));
      },
      { maxTokensPerMicrobatch: 10_000, trained },
    );
    const gradients = new Map(trained.map((parameter) => [parameter.name, gradient(parameter)]));
    merged.dispose();
    return gradients;
  });

const modules = { qkv_proj: "qkv", o_proj: "attentionOut", gate_up_proj: "gateUp", down_proj: "down" };

/** Compares the gradients of a model's adapters and heads with those of its merged weights, W + sum_k g_k (alpha / R) B_k A_k. */
const expectMerged = async (model: LanguageModel, mix: Mix, rows: readonly TaskRow[]): Promise<void> => {
  const merged = await mergedGradients(model, mix, rows);
  const { adapters } = model.backbone;
  if (adapters === undefined) throw new Error("no adapters");
  const { rank, alpha } = adapters.shape;
  for (const map of adapters.maps) {
    const [, layer, module] = /^model\.layers\.(\d+)\.(.+)$/.exec(map.adapters.name) ?? [];
    const fused = modules[module as keyof typeof modules];
    const ofWeight = merged.get(`model.layers.${layer}.${fused}.weight`);
    if (ofWeight === undefined) throw new Error(`no gradient of ${map.adapters.name}`);
    for (const name of adapters.names) {
      const gain = ((name === sharedAdapter ? 1 : (mix[name] ?? 0)) * alpha) / rank;
      const matrices = map.adapters.get(name);
      if (matrices === undefined) throw new Error("no matrices");
      const [a, b] = [matrices.a_RN, matrices.b_MR];
      const [ofA, ofB] = scope((): [Float32Array, Float32Array] => {
        const w_MN: Tensor = tensor(ofWeight, { shape: map.linear.weight.value.shape });
        return [
          b.float().detach().t().matmul(w_MN).mul(gain).toFloat32Array(),
          w_MN.matmul(a.float().detach().t()).mul(gain).toFloat32Array(),
        ];
      });
      expectClose(gradient(a), ofA);
      expectClose(gradient(b), ofB);
      if (gain === 0) expect([...gradient(a), ...gradient(b)].every((value) => value === 0)).toBe(true);
    }
  }
  const ofHead = merged.get("lm_head.weight");
  for (const name of ADAPTED) {
    const weight = mix[name] ?? 0;
    expectClose(
      gradient(model.heads.get(name)),
      (ofHead ?? new Float32Array(0)).map((value) => value * weight),
    );
  }
};

describe.each([false, true])("gradients of adapters (checkpointing: %s)", (checkpointing) => {
  test.each(ADAPTED)(
    "of %s's pairs are those of its merged weights, and nothing of the other's moves",
    async (name) => {
      const model = await adaptedModel("tiny-qwen3");
      const rows = rowsUnder(name);
      accumulate(model, rows, checkpointing);
      await expectMerged(model, { [name]: 1 }, rows);
      for (const parameter of model.backbone.parameters()) expect(parameter.gradient).toBeNull();
      model.dispose();
    },
  );

  test("of a mix within are shared out by its weights", async () => {
    const model = await adaptedModel("tiny-llama");
    const mix = { accuracy: 0.25, engagement: 0.75 };
    const rows = rowsUnder("accuracy", mix);
    accumulate(model, rows, checkpointing);
    await expectMerged(model, mix, rows);
    model.dispose();
  });
});

test("a step of both objectives is the sum of both, however it is packed", async () => {
  const model = await adaptedModel("tiny-llama");
  const parameters = [...(model.backbone.adapters?.parameters() ?? []), ...model.heads.parameters()];
  const all = (rows: readonly TaskRow[]): Float32Array[] => {
    accumulate(model, rows);
    return parameters.map(gradient);
  };
  const together = all(pairTask().rows(0));
  const [ofOne, ofOther] = ADAPTED.map((name) => all(rowsUnder(name)));
  for (const [index, sum] of together.entries()) {
    const parts = [ofOne?.[index], ofOther?.[index]];
    expectClose(
      sum,
      sum.map((_, place) => (parts[0]?.[place] ?? 0) + (parts[1]?.[place] ?? 0)),
    );
  }
  model.dispose();
});

test("the reference of a model with adapters is the model without them", async () => {
  const [adapted, plain] = [await adaptedModel("tiny-llama"), await alignedModel()];
  const options = { maxTokensPerMicrobatch: 64 };
  expect(computeReference(adapted, PAIRS, options)).toEqual(computeReference(plain, PAIRS, options));
  expect(computeReference(plain, PAIRS, options)).not.toEqual(REFERENCE);
  for (const model of [adapted, plain]) model.dispose();
});

test("a run trains heads and adapters and leaves the backbone as it was, byte for byte", () =>
  withFolder(async (folder) => {
    const before = await alignedModel();
    const { lastLayers: _, ...adapters } = { ...allMaps, lastLayers: undefined };
    const { model, trained, error } = await go({ folder, options: { train: { adapters } } });
    expect(error).toBeUndefined();
    const exact = (parameters: readonly Parameter[]) =>
      parameters.map((each) => each.float().toFloat32Array());
    expect(exact(model.backbone.parameters())).toEqual(exact(before.backbone.parameters()));
    expect(exact([model.heads.base])).toEqual(exact([before.heads.base]));
    const moved = trained.filter(({ name }) => name.endsWith(".b"));
    expect(moved.length).toBe((ADAPTED.length + 1) * 4 * model.config.layers);
    for (const parameter of moved)
      expect(
        parameter
          .float()
          .toFloat32Array()
          .some((value) => value !== 0),
      ).toBe(true);
    expect(STEPS).toBeGreaterThan(1);
    for (const used of [before, model]) used.dispose();
  }));

test("adapters of a further objective leave those that are there as they are", async () => {
  const model = await adaptedModel("tiny-llama");
  const old = model.backbone.adapters?.parameters() ?? [];
  model.heads.addNoisyCopies(["brevity"], { seed: 2, compute: "float32" });
  const trained = setTrainable(
    model,
    { adapters: { ...allMaps, shared: false } },
    [model.heads.get("brevity")],
    1,
    ["brevity"],
  );
  expect(old.some(({ trainable }) => trainable)).toBe(false);
  expect(trained.filter(({ name }) => name.startsWith("adapters.brevity."))).toHaveLength(trained.length - 1);
  stirAdapters(model);
  model.dispose();
});
