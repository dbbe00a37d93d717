/** Low-rank adapters: they start as nothing, learn alone, equal their merged weights, and are never lost on the way out. */
import { join } from "node:path";
import { liveTensors, MahaloError, noGrad, openSafetensors, ops, scope, type Tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { normal } from "../../../../torch/src/testing/compare.ts";
import { rng } from "../../core/random.ts";
import { type LanguageModel, type LoadOptions, loadModel } from "../folder/load.ts";
import { exportMix, saveModel } from "../folder/save.ts";
import { clearGradients, normDistance, trainAll } from "../testing/gradients.ts";
import { linears, mergeLora, unmergeLora } from "../testing/merge-lora.ts";
import {
  hiddenOf,
  packed,
  type TinyName,
  tinyModel,
  tinyNames,
  tokensOf,
  withFolder,
} from "../testing/tiny.ts";
import type { Adapter } from "./adapter.ts";
import { packedAttention } from "./attention.ts";
import { addLora, type LoraOptions } from "./lora.ts";
import type { Parameter } from "./parameters.ts";

// Shapes: T tokens, D hidden, N inputs, M outputs, R rank.

const BATCH = packed([
  {
    prompt: [5, 17, 200],
    completions: [
      [42, 7],
      [9, 9, 31],
    ],
  },
  { prompt: [3], completions: [[250, 1, 8]] },
]);
const OPTIONS: LoraOptions = { rank: 3, alpha: 6 };

const hidden = (model: LanguageModel): Float32Array =>
  noGrad(() => scope(() => hiddenOf(model, BATCH).toFloat32Array()));
const weights = (model: LanguageModel): Float32Array[] =>
  model.backbone.parameters().map((one) => one.float().toFloat32Array());
const adapters = (model: LanguageModel): Adapter[] =>
  linears(model.backbone).flatMap(({ adapter }) => adapter ?? []);

/** The largest distance between lists of weights. */
const apart = (actual: readonly Float32Array[], expected: readonly Float32Array[]): number =>
  actual.length === expected.length
    ? Math.max(...actual.map((one, i) => normDistance(one, expected[i] ?? [])))
    : Number.POSITIVE_INFINITY;

/** Numbers as training could have left them, so that adapters do something. */
const shake = (parameters: readonly Parameter[], scale = 0.2): void =>
  noGrad(() =>
    scope(() => {
      for (const [i, parameter] of parameters.entries()) {
        ops.add_(parameter.float(), normal(i, parameter.value.shape, scale));
        parameter.syncFromMaster();
      }
    }),
  );

const withModel = async <T>(
  name: TinyName,
  body: (model: LanguageModel) => T | Promise<T>,
  options: LoadOptions = {},
): Promise<T> => {
  const model = await tinyModel(name, options);
  try {
    return await body(model);
  } finally {
    model.dispose();
  }
};

/** Back-propagates fixed slopes of the hidden states. */
const learn = (model: LanguageModel, parameters: readonly Parameter[], checkpoint = false): void =>
  scope(() => {
    const pass = model.backbone.train(tokensOf(BATCH), packedAttention(BATCH), { checkpoint });
    pass.backward(normal(5, pass.hidden_TD.shape).to(model.backbone.compute));
    for (const parameter of parameters) parameter.syncGradient();
  });

const read = (x: Tensor | null | undefined): Float32Array => x?.toFloat32Array() ?? new Float32Array();

describe.each(tinyNames)("%s", (name) => {
  test("with new adapters answers as before, bit for bit", () =>
    withModel(name, (model) => {
      // By the same kernels before and after: those for few rows know no adapters, and sum in another order.
      model.backbone.kernels = { ...model.backbone.kernels, rowwise: undefined };
      const before = hidden(model);
      const parameters = addLora(model.backbone, OPTIONS, rng(1, "lora"));
      expect(normDistance(hidden(model), before)).toBe(0);
      // Three maps for query, key and value, two for gate and up, and two more in each layer; A and B of each.
      expect(parameters).toHaveLength(14 * model.config.layers);
      expect(new Set(parameters.map((parameter) => parameter.name)).size).toBe(parameters.length);
    }));

  test("with merged adapters answers as with them beside, and unmerged gets its weights back", () =>
    withModel(name, (model) => {
      const parameters = addLora(model.backbone, OPTIONS, rng(1, "lora"));
      shake(parameters);
      const [before, beside] = [weights(model), hidden(model)];
      const deltas = adapters(model).map((one) => read(one.delta()));
      const merged = mergeLora(model.backbone);
      expect(adapters(model)).toEqual([]);
      expect(merged.size).toBe(4 * model.config.layers);
      expect(normDistance(hidden(model), beside)).toBeLessThan(1e-5);
      expect(
        weights(model)
          .map((one, i) => normDistance(one, before[i] ?? []))
          .filter((far) => far > 0.01),
      ).toHaveLength(merged.size);

      unmergeLora(merged);
      expect(adapters(model)).toHaveLength(merged.size);
      expect(normDistance(hidden(model), beside)).toBeLessThan(1e-5);
      // Two float32 sums: each rounds to half a unit in the last place of what is not above |W| + |delta|.
      const largest = Math.max(...deltas.map((delta) => Math.max(...delta.map(Math.abs)))) + 1;
      for (const [i, now] of weights(model).entries()) {
        const most = Math.max(...now.map((one, j) => Math.abs(one - (before[i]?.[j] ?? Number.NaN))));
        expect(most).toBeLessThanOrEqual(largest * 2 ** -23);
      }
    }));

  test.each([[false], [true]])(
    "learns in its adapters only, and as its merged weights would; checkpointing %s",
    (checkpoint) =>
      withModel(name, (model) => {
        trainAll(model);
        const parameters = addLora(model.backbone, OPTIONS, rng(1, "lora"));
        shake(parameters);
        learn(model, parameters, checkpoint);
        const all = model.backbone.parameters();
        expect(all.map((one) => one.gradient)).toEqual(all.map(() => null));
        const learnt = parameters.map((parameter) => read(parameter.gradient));
        const own = adapters(model);

        const merged = mergeLora(model.backbone);
        const maps = [...merged.keys()];
        for (const { weight } of maps) weight.trainable = true;
        learn(model, all);
        scope(() => {
          // y = (W + s B A) x, so that dB = s dW A^T and dA = s B^T dW, with the rows of dW that are the map's own.
          const expected = maps.flatMap(({ weight }, i) => {
            let start = 0;
            return (own[i]?.parts ?? []).flatMap(({ outputs, down_RN, up_MR }) => {
              const { gradient } = weight;
              if (gradient === null) throw new Error(`${weight.name} has no gradient`);
              const dW_MN = gradient.narrow(0, start, outputs);
              start += outputs;
              const scale = OPTIONS.alpha / OPTIONS.rank;
              return [
                up_MR.float().t().matmul(dW_MN).mul(scale),
                dW_MN.matmul(down_RN.float().t()).mul(scale),
              ].map((one) => one.detach().toFloat32Array());
            });
          });
          expect(apart(learnt, expected)).toBeLessThan(5e-5);
        });
        clearGradients(model);
        unmergeLora(merged);
      }),
  );

  test("is saved and exported with its adapters in the weights, and stays as it is", () =>
    withFolder((folder) =>
      withModel(name, async (model) => {
        model.heads.addNoisyCopies(["accuracy", "wit"], { seed: 3, std: 0.05, compute: "float32" });
        shake(addLora(model.backbone, OPTIONS, rng(1, "lora")));
        const [before, answer] = [weights(model), hidden(model)];
        await saveModel(model, join(folder, "saved"));
        await exportMix(model, { accuracy: 1, wit: 3 }, join(folder, "mix"));
        expect(normDistance(hidden(model), answer)).toBe(0);
        expect(adapters(model)).toHaveLength(4 * model.config.layers);
        expect(apart(weights(model), before)).toBe(0);

        mergeLora(model.backbone);
        for (const dir of ["saved", "mix"]) {
          expect(openSafetensors(join(folder, dir)).names.filter((name) => /lora/.test(name))).toEqual([]);
          const loaded = await loadModel(join(folder, dir));
          expect(apart(weights(loaded), weights(model))).toBe(0);
          expect(normDistance(hidden(loaded), answer)).toBeLessThan(1e-5);
          loaded.dispose();
        }
      }),
    ));
});

test("merged weights answer like the adapters at any rank and scale", () =>
  withModel("tiny-qwen2", (model) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 70 }),
        fc.double({ min: 0.01, max: 64, noNaN: true }),
        fc.integer({ min: 0, max: 1000 }),
        (rank, alpha, seed) => {
          shake(addLora(model.backbone, { rank, alpha }, rng(seed, "lora")), 0.02);
          const beside = hidden(model);
          const merged = mergeLora(model.backbone);
          expect(normDistance(hidden(model), beside)).toBeLessThan(1e-4);
          unmergeLora(merged);
          for (const linear of linears(model.backbone)) {
            for (const one of linear.adapter?.parameters() ?? []) one.dispose();
            linear.adapter = undefined;
          }
        },
      ),
      { numRuns: 10 },
    );
  }));

describe("new adapters", () => {
  test("depend on the seed alone: A is uniform below 1 / sqrt(N), B zero", () =>
    withModel("tiny-llama", (model) => {
      const draw = (seed: number): Float32Array[] => {
        const parameters = addLora(model.backbone, OPTIONS, rng(seed, "lora"));
        for (const { weight } of linears(model.backbone)) expect(weight.trainable).toBe(false);
        for (const { parts } of adapters(model)) {
          for (const { down_RN, up_MR, outputs } of parts) {
            const [a, inputs] = [read(down_RN.value), down_RN.value.size(1)];
            expect([down_RN.value.shape, up_MR.value.shape]).toEqual([
              [3, inputs],
              [outputs, 3],
            ]);
            const bound = 1 / Math.sqrt(inputs);
            expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(bound);
            expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.8 * bound);
            expect(read(up_MR.value).every((one) => one === 0)).toBe(true);
          }
        }
        const values = parameters.map((parameter) => read(parameter.value));
        mergeLora(model.backbone);
        return values;
      };
      const first = draw(1);
      expect(draw(1)).toEqual(first);
      expect(draw(2)).not.toEqual(first);
    }));

  test("are refused where there are some, which would be lost", () =>
    withModel("tiny-llama", (model) => {
      shake(addLora(model.backbone, OPTIONS, rng(1, "lora")));
      const [answer, live] = [hidden(model), liveTensors()];
      const again = (): unknown => addLora(model.backbone, OPTIONS, rng(2, "lora"));
      expect(again).toThrow(MahaloError);
      expect(again).toThrow(/adapters already/);
      expect([normDistance(hidden(model), answer), liveTensors()]).toEqual([0, live]);
      mergeLora(model.backbone);
      expect(again()).toHaveLength(28);
    }));

  test("that are frozen take no gradient", () =>
    withModel("tiny-llama", (model) => {
      const parameters = addLora(model.backbone, OPTIONS, rng(1, "lora"));
      for (const parameter of parameters) parameter.trainable = false;
      learn(model, parameters);
      learn(model, parameters, true);
      expect(parameters.map((parameter) => parameter.gradient)).toEqual(parameters.map(() => null));
    }));

  test.each(["float32", "bfloat16"] as const)("in %s are freed with their model", async (compute) => {
    const before = liveTensors();
    const model = await tinyModel("tiny-llama", { compute });
    const parameters = addLora(model.backbone, OPTIONS, rng(1, "lora"));
    learn(model, parameters);
    model.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe("in bfloat16", () => {
  test("masters are merged and come back in float32, and the compute copies follow", () =>
    withModel(
      "tiny-qwen3",
      (model) => {
        shake(addLora(model.backbone, OPTIONS, rng(1, "lora")));
        const [before, beside] = [weights(model), hidden(model)];
        const merged = mergeLora(model.backbone);
        for (const { weight } of linears(model.backbone)) {
          expect(normDistance(read(weight.value), read(weight.float().to("bfloat16")))).toBe(0);
        }
        // Adapters beside round their output to bfloat16, merged ones their weights.
        expect(normDistance(hidden(model), beside)).toBeLessThan(0.1);
        unmergeLora(merged);
        expect(apart(weights(model), before)).toBeLessThan(1e-6);
        for (const { weight } of linears(model.backbone)) {
          expect(normDistance(read(weight.value), read(weight.float().to("bfloat16")))).toBe(0);
        }
      },
      { compute: "bfloat16" },
    ));

  test("weights that were loaded for inference come back up to bfloat16's rounding only", () =>
    withModel(
      "tiny-qwen3",
      (model) => {
        shake(addLora(model.backbone, OPTIONS, rng(1, "lora")), 0.05);
        const before = weights(model);
        unmergeLora(mergeLora(model.backbone));
        const far = apart(weights(model), before);
        expect(far).toBeGreaterThan(1e-6);
        expect(far).toBeLessThan(2 ** -6);
      },
      { compute: "bfloat16", training: false },
    ));
});

test("a rank beyond the widest layer is refused before anything is made", () =>
  withModel("tiny-qwen3", (model) => {
    const before = liveTensors();
    const rank = { rank: 1_000_000, alpha: 1 };
    expect(() => addLora(model.backbone, rank, rng(1, "lora"))).toThrow(
      expect.objectContaining({ code: "E_LORA_RANK", exitStatus: 2 }),
    );
    expect(liveTensors()).toBe(before);
  }));
