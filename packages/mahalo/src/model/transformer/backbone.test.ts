/** The backbone: packing and checkpointing change nothing, frozen parts cost nothing, and bfloat16 loses no update. */
import { liveTensors, MahaloError, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { normal } from "../../../../torch/src/testing/compare.ts";
import { unpackedRows } from "../../data/testing/unpacked-rows.ts";
import type { PackedBatch, UnpackedRow } from "../../data/tokens/packing.ts";
import type { LanguageModel } from "../folder/load.ts";
import { clearGradients, gradientsOf, normDistance, trainAll } from "../testing/gradients.ts";
import { hiddenOf, packed, type TinyName, tinyModel, tinyNames, tokensOf } from "../testing/tiny.ts";
import { type Attend, packedAttention } from "./attention.ts";
import { layerParameters } from "./layer.ts";
import type { ComputeDType, Parameter } from "./parameters.ts";

// Shapes: T tokens, D hidden.

/** Largest relative distance of two float32 computations that sum in another order. */
const FLOAT = 1e-5;

const ROWS: readonly UnpackedRow[] = [
  { prompt: [5, 17, 200], completions: [[42, 7], [9, 9, 31], [1]] },
  { prompt: [3], completions: [[250, 1, 8]] },
  { prompt: [77, 5, 5, 12], completions: [[6], [64, 65]] },
];
const BATCH = packed(ROWS);

type Passed = { hidden: Float32Array; gradients: Map<string, Float32Array> };
type How = { checkpoint?: boolean; attend?: Attend };

/** Gradients of what trains, by fixed random slopes of every hidden state, or by given ones. */
const learn = (
  model: LanguageModel,
  parameters: readonly Parameter[],
  batch: PackedBatch,
  { checkpoint = false, attend = packedAttention(batch) }: How = {},
  slopes_TD?: Tensor,
): Passed =>
  scope(() => {
    const { backbone } = model;
    const pass = backbone.train(tokensOf(batch), attend, { checkpoint });
    pass.backward((slopes_TD ?? normal(5, pass.hidden_TD.shape)).to(backbone.compute));
    for (const parameter of parameters) parameter.syncGradient();
    const gradients = gradientsOf(model);
    clearGradients(model);
    return { hidden: pass.hidden_TD.toFloat32Array(), gradients };
  });

const expectSame = (actual: Passed, expected: Passed, most = FLOAT): void => {
  expect(normDistance(actual.hidden, expected.hidden)).toBeLessThanOrEqual(most);
  for (const [name, gradient] of expected.gradients) {
    expect(normDistance(actual.gradients.get(name) ?? [], gradient), name).toBeLessThanOrEqual(most);
  }
};

/** The same answers, the whole model's very gradients where something learns, and zeros elsewhere. */
const expectPart = (actual: Passed, whole: Passed, learns: (key: string) => boolean): void => {
  const gradients = [...whole.gradients].map(([key, gradient]): [string, Float32Array] => [
    key,
    learns(key) ? gradient : new Float32Array(gradient.length),
  ]);
  expectSame(actual, { ...whole, gradients: new Map(gradients) }, 0);
};

/** Lets some parameters train and no others. */
const trainOnly = (model: LanguageModel, chosen: readonly Parameter[]): readonly Parameter[] => {
  for (const one of [...model.backbone.parameters(), model.heads.base]) one.trainable = chosen.includes(one);
  return chosen;
};

describe.each(tinyNames)("%s", (name) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await tinyModel(name);
  });
  afterAll(() => model.dispose());

  const token = fc.integer({ min: 0, max: 255 });
  const ids = (max: number): fc.Arbitrary<number[]> => fc.array(token, { minLength: 1, maxLength: max });
  const rows = fc.array(
    fc.record({ prompt: ids(6), completions: fc.array(ids(5), { minLength: 1, maxLength: 3 }) }),
    { minLength: 1, maxLength: 3 },
  );

  test("packed completions answer and learn as each does alone, its prompt before it", () => {
    const parameters = trainAll(model);
    fc.assert(
      fc.property(rows, (list) =>
        scope(() => {
          const whole = packed(list);
          const width = model.config.hiddenSize;
          const slopes_TD = normal(3, [whole.ids.length, width]);
          // Slopes of the completions' tokens alone: a prompt is there once or once for every completion.
          for (const row of whole.rows) slopes_TD.narrow(0, row.start, row.prompt).zero_();
          const together = learn(model, parameters, whole, {}, slopes_TD);

          const sums = new Map<string, Float32Array>();
          for (const { batch, row, completion } of unpackedRows(list)) {
            const from = whole.rows[row]?.completions[completion];
            const prompt = list[row]?.prompt.length ?? 0;
            if (from === undefined) throw new Error("a completion is missing");
            const slopes = ops.cat(
              [ops.zeros([prompt, width]), slopes_TD.narrow(0, from.start, from.length)],
              0,
            );
            const alone = learn(model, parameters, batch, {}, slopes);
            const own = together.hidden.slice(from.start * width, (from.start + from.length) * width);
            expect(normDistance(own, alone.hidden.slice(prompt * width))).toBeLessThan(FLOAT);
            for (const [key, gradient] of alone.gradients) {
              const sum = sums.get(key);
              sums.set(key, sum?.map((one, i) => one + (gradient[i] ?? Number.NaN)) ?? gradient);
            }
          }
          expectSame({ ...together, gradients: sums }, together, 5e-5);
        }),
      ),
      { numRuns: 8 },
    );
  });

  test.each([[true], [false]])("checkpointing changes nothing, with fused attention %s", (fused) => {
    const attend = packedAttention(BATCH, { fused });
    const parameters = trainAll(model);
    const plain = learn(model, parameters, BATCH, { attend });
    const checkpointed = learn(model, parameters, BATCH, { attend, checkpoint: true });
    // libtorch's attention takes another way where nothing is recorded, which sums in another order.
    expectSame(checkpointed, plain, fused ? 0 : FLOAT);
    const forward = noGrad(() => scope(() => hiddenOf(model, BATCH).toFloat32Array()));
    expect(normDistance(plain.hidden, forward)).toBeLessThanOrEqual(fused ? 0 : FLOAT);
    const reached = [...plain.gradients].filter(([, gradient]) => gradient.some((one) => one !== 0));
    // All but the head, which a backbone does not know.
    expect(reached.map(([key]) => key)).toEqual(
      [...plain.gradients.keys()].filter((key) => key !== "lm_head.weight"),
    );
  });

  test.each([[false], [true]])(
    "the last layers learn as in the whole model, and nothing passes below them; checkpointing %s",
    (checkpoint) => {
      const whole = learn(model, trainAll(model), BATCH, { checkpoint });
      const { layers, norm } = model.backbone.weights;
      for (let last = 0; last <= layers.length; last++) {
        const trained = trainOnly(model, [
          ...layers.slice(layers.length - last).flatMap(layerParameters),
          norm,
        ]);
        const recorded: [layer: number, recorded: boolean][] = [];
        const attend = packedAttention(BATCH);
        const watched: Attend = (layer, q, k, v) => {
          recorded.push([layer, q.requiresGrad || k.requiresGrad || v.requiresGrad]);
          return attend(layer, q, k, v);
        };
        const own = learn(model, trained, BATCH, { checkpoint, attend: watched });
        const forward = layers.map((_, i): [number, boolean] => [
          i,
          !checkpoint && i >= layers.length - last,
        ]);
        const again = layers.map((_, i): [number, boolean] => [i, true]).slice(layers.length - last);
        expect(recorded).toEqual([...forward, ...(checkpoint ? again.toReversed() : [])]);
        expectPart(own, whole, (key) => {
          const layer = /^model\.layers\.(\d+)\./.exec(key)?.[1];
          return layer === undefined ? key === "model.norm.weight" : Number(layer) >= layers.length - last;
        });
      }
    },
  );

  test.each([[false], [true]])(
    "an embedding that trains alone learns through the frozen layers; checkpointing %s",
    (checkpoint) => {
      const whole = learn(model, trainAll(model), BATCH, { checkpoint });
      const { embedding } = model.backbone.weights;
      const own = learn(model, trainOnly(model, [embedding]), BATCH, { checkpoint });
      expectPart(own, whole, (key) => key === "model.embed_tokens.weight");
    },
  );

  test.each([[false], [true]])("one weight of a layer is enough to learn; checkpointing %s", (checkpoint) => {
    const whole = learn(model, trainAll(model), BATCH, { checkpoint });
    const { layers } = model.backbone.weights;
    const top = layers.at(-1);
    if (top === undefined) throw new Error("a model has layers");
    for (const one of layerParameters(top)) {
      const own = learn(model, trainOnly(model, [one]), BATCH, { checkpoint });
      const learnt = [...own.gradients].filter(([, gradient]) => gradient.some((value) => value !== 0));
      expect(learnt.length, one.name).toBeGreaterThan(0);
      expect(learnt.length, one.name).toBeLessThanOrEqual(3);
      const keys = learnt.map(([key]) => key);
      expectPart(own, whole, (key) => keys.includes(key));
    }
  });
});

const small: TinyName = "tiny-llama";
const withModel = async (compute: ComputeDType, body: (model: LanguageModel) => void): Promise<void> => {
  const model = await tinyModel(small, { compute });
  try {
    body(model);
  } finally {
    model.dispose();
  }
};

describe("frozen parts", () => {
  test.each([[false], [true]])("cost no gradient of their input; checkpointing %s", (checkpoint) =>
    withModel("float32", (model) => {
      const last = model.backbone.weights.layers.at(-1);
      if (last === undefined) throw new Error("a model has layers");
      const seen: boolean[] = [];
      const attend = packedAttention(BATCH);
      const watched: Attend = (layer, q, k, v) => {
        seen.push(q.requiresGrad);
        return attend(layer, q, k, v);
      };
      learn(model, trainOnly(model, [last.down.weight]), BATCH, { checkpoint, attend: watched });
      expect(seen.every((one) => !one)).toBe(true);
      expect(seen).toHaveLength(model.config.layers + Number(checkpoint));
    }),
  );

  test.each([[false], [true]])(
    "of a backbone with nothing to train take any slopes; checkpointing %s",
    (checkpoint) =>
      withModel("float32", (model) => {
        const { gradients } = learn(model, trainOnly(model, []), BATCH, { checkpoint });
        expect([...gradients.values()].every((gradient) => gradient.every((value) => value === 0))).toBe(
          true,
        );
      }),
  );
});

describe("in bfloat16", () => {
  test.each(tinyNames)("%s answers and learns as in float32, up to rounding", async (name) => {
    const passes: Passed[] = [];
    for (const compute of ["float32", "bfloat16"] as const) {
      const model = await tinyModel(name, { compute });
      passes.push(learn(model, trainAll(model), BATCH));
      model.dispose();
    }
    const [exact, rounded] = passes;
    if (exact === undefined || rounded === undefined) throw new Error("two passes");
    expectSame(rounded, exact, 0.1);
    expect(normDistance(rounded.hidden, exact.hidden)).toBeGreaterThan(1e-4);
  });

  test("checkpointing changes nothing", () =>
    withModel("bfloat16", (model) => {
      const parameters = trainAll(model);
      const plain = learn(model, parameters, BATCH);
      expectSame(learn(model, parameters, BATCH, { checkpoint: true }), plain, 0);
    }));

  test("updates far below its resolution move the masters at once and the answers in time", () =>
    withModel("bfloat16", (model) => {
      const parameters = trainAll(model);
      const answer = (): Float32Array => noGrad(() => scope(() => hiddenOf(model, BATCH).toFloat32Array()));
      const read = (of: (one: Parameter) => Tensor): Float32Array[] =>
        parameters.map((parameter) => of(parameter).toFloat32Array());
      const grow = (): void =>
        noGrad(() =>
          scope(() => {
            for (const parameter of parameters) {
              // A step of 2^-14 of each weight; bfloat16's is 2^-8 at least.
              ops.add_(parameter.float(), parameter.value.to("float32"), { alpha: 2 ** -14 });
              parameter.syncFromMaster();
            }
          }),
        );
      // Masters begin on numbers that bfloat16 holds, far from where it rounds the other way.
      noGrad(() => {
        for (const parameter of parameters) ops.copy_(parameter.float(), parameter.value);
      });
      const [before, masters, values] = [answer(), read((one) => one.float()), read((one) => one.value)];
      const distances = (now: readonly Float32Array[]): number[] =>
        now.map((one, i) => normDistance(one, values[i] ?? []));
      grow();
      expect(distances(read((one) => one.value)).every((one) => one === 0)).toBe(true);
      expect(normDistance(answer(), before)).toBe(0);
      for (const [i, now] of read((one) => one.float()).entries()) {
        expect(now.every((weight, j) => weight === 0 || weight !== masters[i]?.[j])).toBe(true);
      }
      for (let step = 0; step < 80; step++) grow();
      expect(distances(read((one) => one.value)).every((one) => one > 2 ** -9)).toBe(true);
      expect(normDistance(answer(), before)).toBeGreaterThan(0);
      for (const parameter of parameters) {
        const rounded = parameter.float().to("bfloat16").toFloat32Array();
        expect(normDistance(parameter.value.toFloat32Array(), rounded), parameter.name).toBe(0);
      }
    }));
});

test("a token outside the vocabulary is an error", () =>
  withModel("float32", (model) => {
    expect(() => hiddenOf(model, packed([{ prompt: [256], completions: [[1]] }]))).toThrow(MahaloError);
    expect(() => hiddenOf(model, packed([{ prompt: [1], completions: [[-1]] }]))).toThrow(MahaloError);
  }));

test("a pass leaves nothing behind but gradients", () =>
  withModel("bfloat16", (model) => {
    const parameters = trainAll(model);
    learn(model, parameters, BATCH);
    const before = liveTensors();
    learn(model, parameters, BATCH);
    learn(model, parameters, BATCH, { checkpoint: true });
    expect(liveTensors()).toBe(before);
  }));
