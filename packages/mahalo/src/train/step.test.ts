/** A training step: however it is divided, packed, recomputed or frozen, its log-probabilities and gradients are the same. */
import { liveTensors, noGrad, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { normal } from "../core/testing/normal.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { trainAll } from "../model/testing/gradients.ts";
import { distance } from "../model/testing/tiny.ts";
import { layerParameters } from "../model/transformer/layer.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { logProbs, type PassOptions } from "./forward.ts";
import { logProbHead } from "./log-prob-head.ts";
import type { TrainOptions } from "./options.ts";
import { accumulateGradients } from "./step.ts";
import type { TaskRow } from "./task.ts";
import { expectClose, relativeToLargest } from "./testing/compare.ts";
import {
  alignedModel,
  PAIRS,
  pairTask,
  plainGradients,
  REFERENCE,
  stepGradients,
} from "./testing/fixture.ts";
import { setTrainable } from "./trainer.ts";

let model: LanguageModel;
beforeEach(async () => {
  model = await alignedModel();
});
afterEach(() => model.dispose());

const rows = pairTask().rows(0);
const largestRow = Math.max(
  ...PAIRS.map(({ prompt, chosen, rejected }) => prompt.length + chosen.length + rejected.length),
);

/** Gradients of what trains, by name; parameters without one are left out. */
const arrived = (parameters: readonly Parameter[]): Map<string, Float32Array> =>
  new Map(
    parameters.flatMap((parameter) =>
      parameter.gradient ? [[parameter.name, parameter.gradient.toFloat32Array()]] : [],
    ),
  );
const everything = (): Parameter[] => [
  ...model.backbone.parameters(),
  model.heads.base,
  ...model.heads.parameters(),
];

/** Gradients of a step over all pairs for what `train` selects, adapters included. */
const gradientsFor = (trained: readonly Parameter[], options: Partial<PassOptions> = {}) => {
  for (const one of trained) one.clearGradient();
  stepGradients(model, pairTask(), trained, options);
  return arrived(trained);
};

const select = (train: TrainOptions["train"]): Parameter[] =>
  setTrainable(model, train, model.heads.parameters(), 3);

/** Adapters begin at zero, where half of their gradients are zero too: gives every one some value. */
const stir = (parameters: readonly Parameter[]): void => {
  const random = rng(5, "stir");
  for (const { name, value } of parameters) {
    if (!name.startsWith("lora.")) continue;
    const noise = Float32Array.from({ length: value.numel }, () => 0.1 * normal(random));
    noGrad(() => value.copy_(tensor(noise, { shape: value.shape })));
  }
};

describe("the gradients of a step", () => {
  test("in eight passes of one pair are those in one pass of eight, to rounding", () => {
    const trained = trainAll(model);
    const together = stepGradients(model, pairTask(), trained, { maxTokensPerMicrobatch: 10_000 });
    const apart = stepGradients(model, pairTask(), trained, { maxTokensPerMicrobatch: 1 });
    expectClose(apart.gradients, together.gradients, 1e-5);
    expect(apart.metrics.loss).toBeCloseTo(together.metrics.loss ?? Number.NaN, 6);
  });

  test("depend on the tokens of a pass, the chunk and the head's kernels by rounding only", () => {
    const trained = trainAll(model);
    const { gradients } = stepGradients(model, pairTask(), trained);
    const division = fc.record({
      maxTokensPerMicrobatch: fc.integer({ min: 1, max: 3 * largestRow }),
      chunk: fc.integer({ min: 1, max: 40 }),
      fused: fc.boolean(),
      checkpointing: fc.boolean(),
    });
    fc.assert(
      fc.property(division, (options) => {
        expectClose(stepGradients(model, pairTask(), trained, options).gradients, gradients, 1e-5);
      }),
      { numRuns: 25 },
    );
  });

  test("are the same bytes when computed again", () => {
    const trained = trainAll(model);
    const options = { maxTokensPerMicrobatch: 40 };
    const first = stepGradients(model, pairTask(), trained, options);
    expect(stepGradients(model, pairTask(), trained, options)).toEqual(first);
  });

  test("in bfloat16 point where those in float32 point", async () => {
    const rounded = await alignedModel("tiny-llama", { compute: "bfloat16" });
    const found = stepGradients(rounded, pairTask(), trainAll(rounded), { maxTokensPerMicrobatch: 40 });
    const wanted = stepGradients(model, pairTask(), trainAll(model));
    expect(found.metrics.loss).toBeCloseTo(wanted.metrics.loss ?? Number.NaN, 1);
    const dot = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
    for (const [name, own] of wanted.gradients) {
      if (name === "lm_head.weight") continue;
      const ours = found.gradients.get(name) ?? new Float32Array();
      expect(dot(ours, own) / Math.sqrt(dot(ours, ours) * dot(own, own)), name).toBeGreaterThan(0.99);
    }
    rounded.dispose();
  });

  test("leave no native tensor behind", () => {
    const trained = trainAll(model);
    const lossOf = () => ({ gradients: [0.1, -0.1], record: undefined });
    const step = (checkpointing: boolean): unknown =>
      accumulateGradients(model, rows, lossOf, { maxTokensPerMicrobatch: 40, checkpointing, trained });
    step(true);
    const before = liveTensors();
    for (const checkpointing of [false, true, false, true]) step(checkpointing);
    expect(liveTensors()).toBe(before);
  });
});

describe.each([
  ["everything", "full"],
  ["the last layer", { lastLayers: 1 }],
  ["the heads and the last norm", { lastLayers: 0 }],
  ["low-rank updates", { lora: { rank: 3, alpha: 6 } }],
] as const)("training %s", (_, train) => {
  test("gives the same bytes with activations recomputed", () => {
    const trained = select(train);
    stir(trained);
    const kept = gradientsFor(trained);
    expect(kept.size).toBe(trained.length);
    expect(gradientsFor(trained, { checkpointing: true })).toEqual(kept);
    expect(gradientsFor(trained, { checkpointing: true, maxTokensPerMicrobatch: 40 }).size).toBe(
      trained.length,
    );
  });

  test("gives autograd's gradients to what trains, and none to anything else", () => {
    const trained = select(train);
    stir(trained);
    const found = gradientsFor(trained);
    expect([...found.keys()]).toEqual(trained.map(({ name }) => name));
    const others = everything().filter((one) => !trained.includes(one));
    expect([...arrived(others).keys()]).toEqual([]);
    for (const one of trained) one.clearGradient();
    plainGradients(model, { reference: REFERENCE });
    expectClose(arrived(trained), found, 1e-5);
  });
});

test("the last layers' gradients are those they have when all layers train", () => {
  const whole = gradientsFor(select("full"));
  const [, last] = model.backbone.weights.layers;
  const part = gradientsFor(select({ lastLayers: 1 }));
  const names = [...(last ? layerParameters(last) : []), model.backbone.weights.norm].map(({ name }) => name);
  expect([...part.keys()]).toEqual([...names, ...model.heads.parameters().map(({ name }) => name)]);
  for (const [name, values] of part) expect(values, name).toEqual(whole.get(name));
});

describe("log-probabilities", () => {
  /** Every completion as a row of its own. */
  const apart = (all: readonly TaskRow[]): TaskRow[] =>
    all.flatMap((row) => row.completions.map((completion) => ({ ...row, completions: [completion] })));

  test("of packed pairs are those of each response alone behind its prompt, row for row", () => {
    const wanted = apart(rows).map(
      (row) => logProbs(model, [row], { maxTokensPerMicrobatch: 1 })[0]?.[0] ?? [],
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 * largestRow }), (maxTokensPerMicrobatch) => {
        const found = logProbs(model, rows, { maxTokensPerMicrobatch }).flat();
        expect(found.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
        for (const [i, logps] of found.entries()) {
          expect(relativeToLargest(logps, wanted[i] ?? [])).toBeLessThan(1e-5);
        }
      }),
      { numRuns: 20 },
    );
  });

  test("are read by the head of a row's objective, by the base head where it has none, or as told", () => {
    const base = rows.map((row) => ({ ...row, objective: undefined }));
    const options = { maxTokensPerMicrobatch: 40 };
    const engagement = model.heads.get("engagement");
    const told = logProbs(model, base, { ...options, headOf: () => logProbHead(() => engagement) });
    const own = logProbs(model, rows, options);
    const plain = logProbs(model, base, options);
    for (const [i, row] of rows.entries()) {
      const [a, b, c] = [told[i]?.[0] ?? [], own[i]?.[0] ?? [], plain[i]?.[0] ?? []];
      if (row.objective === "engagement") expect(distance(a, b)).toBeLessThan(1e-5);
      else expect(distance(a, b)).toBeGreaterThan(1e-3);
      expect(distance(b, c)).toBeGreaterThan(1e-3);
    }
  });

  test("count their rows as passes end, record nothing for gradients, and free what they made", () => {
    trainAll(model);
    let [counted, passes] = [0, 0];
    const forwardWithoutGrad = (): unknown =>
      logProbs(model, rows, {
        maxTokensPerMicrobatch: 40,
        onPass: (count) => {
          counted += count;
          passes += 1;
        },
      });
    forwardWithoutGrad();
    expect(counted).toBe(rows.length);
    expect(passes).toBeGreaterThan(1);
    const before = liveTensors();
    forwardWithoutGrad();
    expect(liveTensors()).toBe(before);
    expect(arrived(everything()).size).toBe(0);
  });

  test("of no rows are none", () => {
    expect(logProbs(model, [], { maxTokensPerMicrobatch: 40 })).toEqual([]);
  });

  test("of an objective without a head are refused by name", () => {
    const stray = rows.map((row) => ({ ...row, objective: "wit" }));
    expect(() => logProbs(model, stray, { maxTokensPerMicrobatch: 40 })).toThrow(
      expect.objectContaining({
        code: "E_HEAD_UNKNOWN_OBJECTIVE",
        message: expect.stringContaining('"wit"'),
      }),
    );
  });
});
