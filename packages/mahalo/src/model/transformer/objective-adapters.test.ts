/** Objectives' adapters: off they are nothing, a mix by row is the merged mix, and saved ones come back bit for bit. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { noGrad, ops, scope } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import type { LanguageModel } from "../folder/load.ts";
import { loadModel } from "../folder/load.ts";
import { exportMix, saveModel } from "../folder/save.ts";
import type { Mix } from "../heads/heads.ts";
import { ADAPTED, adaptedModel, allMaps } from "../testing/adapted.ts";
import {
  distance,
  IDS,
  logitsOf,
  packed,
  tinyModel,
  tinyNames,
  tokensOf,
  withFolder,
} from "../testing/tiny.ts";
import { packedAttention } from "./attention.ts";
import { sharedAdapter } from "./map-adapters.ts";
import { addAdapters, ObjectiveAdapters } from "./objective-adapters.ts";

const MIXES: readonly Mix[] = [
  { accuracy: 1, engagement: 0 },
  { accuracy: 0, engagement: 1 },
  { accuracy: 0.3, engagement: 0.7 },
];

/** Largest difference of logits, as a share of the largest of them. */
const unlike = (logits: Float32Array | undefined, expected: Float32Array): number =>
  distance(logits ?? [], expected) / expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Logits of rows of the same tokens, each under its own mix, in one pass. */
const logitsByRow = (
  model: LanguageModel,
  mixes: readonly (Mix | undefined)[],
  options: { rowwise?: boolean } = {},
): Float32Array[] =>
  noGrad(() =>
    scope(() => {
      const batch = packed(mixes.map(() => ({ prompt: IDS.slice(0, -1), completions: [IDS.slice(-1)] })));
      const gains_TS = model.backbone.adapters?.gains(mixes.map((mix) => ({ length: IDS.length, mix })));
      const tokens = { ...tokensOf(batch), gains_TS };
      const hidden_TD = model.backbone.forward(tokens, packedAttention(batch), options);
      return mixes.map((mix, row) => {
        const head_VD = mix === undefined ? model.heads.base.value : model.heads.mix(mix);
        const rows = hidden_TD.narrow(0, row * IDS.length, IDS.length);
        return ops.linear(rows, head_VD).to("float32").toFloat32Array();
      });
    }),
  );

/** Logits of a mix, written as an ordinary model and read again. */
const exported = (model: LanguageModel, mix: Mix): Promise<Float32Array> =>
  withFolder(async (folder) => {
    await exportMix(model, mix, join(folder, "mix"));
    const plain = await loadModel(join(folder, "mix"));
    expect(plain.backbone.adapters).toBeUndefined();
    const logits = logitsOf(plain, IDS);
    plain.dispose();
    return logits;
  });

describe.each(tinyNames)("%s", (name) => {
  test("new adapters change nothing, and adapters without a mix are off", async () => {
    const model = await tinyModel(name);
    const before = logitsOf(model, IDS);
    model.heads.addNoisyCopies(ADAPTED, { seed: 1, std: 0, compute: "float32" });
    addAdapters(model.backbone, allMaps, ADAPTED, 1);
    for (const logits of logitsByRow(model, MIXES)) expect(distance(logits, before)).toBeLessThan(1e-6);
    const adapted = await adaptedModel(name);
    expect(logitsByRow(adapted, [undefined])[0]).toEqual(before);
    expect(logitsOf(adapted, IDS)).toEqual(before);
    const [off, on] = logitsByRow(adapted, [undefined, MIXES[2]]);
    expect(distance(off ?? [], before)).toBeLessThan(1e-5);
    expect(distance(on ?? [], before)).toBeGreaterThan(0.01);
    for (const used of [model, adapted]) used.dispose();
  });

  test.each([false, true])(
    "a mix by row equals the mix merged and exported (row by row: %s)",
    async (rowwise) => {
      const model = await adaptedModel(name);
      const together = logitsByRow(model, MIXES, { rowwise });
      for (const [index, mix] of MIXES.entries())
        expect(unlike(together[index], await exported(model, mix))).toBeLessThan(1e-5);
      expect(distance(together[0] ?? [], together[1] ?? [])).toBeGreaterThan(0.01);
      model.dispose();
    },
  );
});

test("only the chosen layers and maps are adapted, and without a shared adapter a mix is its objectives' alone", async () => {
  const adapters = { ...allMaps, lastLayers: 1, modules: ["o_proj" as const], shared: false };
  const model = await adaptedModel("tiny-llama", { adapters });
  const names = model.backbone.adapters?.maps.map((map) => map.adapters.name);
  expect(names).toEqual([`model.layers.${model.config.layers - 1}.o_proj`]);
  const [first] = MIXES;
  if (first === undefined) throw new Error("no mix");
  expect(unlike(logitsByRow(model, [first])[0], await exported(model, first))).toBeLessThan(1e-5);
  model.dispose();
});

test("a saved model's adapters come back bit for bit, beside the weights as they were before", () =>
  withFolder(async (folder) => {
    const dir = join(folder, "model");
    const model = await adaptedModel("tiny-qwen2");
    const before = await tinyModel("tiny-qwen2");
    await saveModel(model, dir);
    const loaded = await loadModel(dir);
    const exact = ({ backbone }: LanguageModel) =>
      (backbone.adapters?.parameters() ?? []).map((matrix) => [matrix.name, matrix.float().toFloat32Array()]);
    expect(exact(loaded)).toEqual(exact(model));
    expect(loaded.backbone.adapters?.shape).toEqual(model.backbone.adapters?.shape);
    expect(loaded.backbone.adapters?.names).toEqual([sharedAdapter, ...ADAPTED]);
    expect(logitsByRow(loaded, MIXES)).toEqual(logitsByRow(model, MIXES));
    expect(logitsOf(loaded, IDS)).toEqual(logitsOf(before, IDS));
    await saveModel(loaded, join(folder, "again"));
    rmSync(join(dir, "adapters.safetensors"));
    await expect(loadModel(dir)).rejects.toThrow(/adapters.safetensors/);
    for (const used of [model, before, loaded]) used.dispose();
  }));

test("adapters that do not fit are refused", async () => {
  const model = await adaptedModel("tiny-llama");
  const { backbone } = model;
  const add = (shape: Partial<typeof allMaps>) => () =>
    addAdapters(backbone, { ...allMaps, ...shape }, ["harmlessness"], 1);
  expect(add({ rank: 4 })).toThrow(/another shape/);
  expect(() => addAdapters(backbone, allMaps, ["accuracy"], 1)).toThrow(/already/);
  expect(() => new ObjectiveAdapters(backbone.weights, { ...allMaps, layers: [99] })).toThrow(/layer 99/);
  expect(() => new ObjectiveAdapters(backbone.weights, { ...allMaps, layers: [] })).toThrow(/no linear map/);
  expect(() => new ObjectiveAdapters(backbone.weights, { ...allMaps, layers: [1, 1] })).toThrow(
    /named twice/,
  );
  expect(() => new ObjectiveAdapters(backbone.weights, { ...allMaps, layers: [1], rank: 1e6 })).toThrow(
    /hidden size/,
  );
  model.dispose();
});
