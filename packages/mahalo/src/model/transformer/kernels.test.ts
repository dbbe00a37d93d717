/** Fused layer kernels equal the composed operators, alone and in whole models of every family. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Body, derivativeExcess, differentiate, normal } from "../../../../torch/src/testing/compare.ts";
import { rng } from "../../core/random.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import { clearGradients, gradientsOf, normDistance, trainAll } from "../testing/gradients.ts";
import { hiddenOf, packed, type TinyName, tinyModel, tinyNames, tokensOf } from "../testing/tiny.ts";
import { packedAttention } from "./attention.ts";
import { fusedKernels, kernelsFor } from "./fused-kernels.ts";
import { type Kernels, plainKernels, splitHeads } from "./kernels.ts";
import { addLora } from "./lora.ts";
import { RopeTable, type Rotation } from "./rope.ts";

// Shapes: T tokens, H query heads, G key-value heads, E head width.

const FLOAT = { relative: 1e-5, absolute: 1e-5 };
/** Fused kernels compute bfloat16 in float32 and round once. */
const ROUNDED = { relative: 2 ** -8 + 1e-5, absolute: 1e-5 };
/** Composed operators round to bfloat16 after each of up to five operators. */
const COMPOSED = { relative: 2 ** -6, absolute: 2 ** -5 };

type Case = { rows: number; groups: number; share: number; half: number; width: number; seed: number };
const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const cases: fc.Arbitrary<Case> = fc.record({
  rows: small(7),
  groups: small(3),
  share: small(3),
  half: small(9),
  width: small(40),
  seed: fc.integer({ min: 0, max: 1e6 }),
});

/** Rotations of random positions, rounded to bfloat16 so that both dtypes turn by the same angles. */
const rotationOf = ({ rows, half, seed }: Case, dtype: "float32" | "bfloat16"): Rotation => {
  const shape = { headDim: 2 * half, ropeTheta: 10_000, ropeScaling: undefined };
  const table = new RopeTable(shape as unknown as ModelConfig, "bfloat16");
  const positions = Array.from({ length: rows }, (_, i) => (seed + 13 * i) % 700);
  const { cos_TE, sin_TE } = table.at(tensor(positions, { dtype: "int64" }), Math.max(...positions));
  const rotation = { cos_TE: cos_TE.to(dtype), sin_TE: sin_TE.to(dtype) };
  table.dispose();
  return rotation;
};

/** Each kernel as a function of tensors, and its inputs. */
const uses: Record<string, (one: Case) => { body: (kernels: Kernels) => Body; inputs: Tensor[] }> = {
  rmsNorm: ({ rows, width, seed }) => ({
    body: (kernels) => (x, w) => [kernels.rmsNorm(x as Tensor, w as Tensor, 1e-6)],
    inputs: [normal(seed, [rows, width]), normal(seed + 1, [width])],
  }),
  "rmsNorm of each head": ({ rows, groups, half, seed }) => ({
    body: (kernels) => (x, w) => [kernels.rmsNorm(x as Tensor, w as Tensor, 1e-6)],
    inputs: [normal(seed, [rows, groups, 2 * half]), normal(seed + 1, [2 * half])],
  }),
  swiglu: ({ rows, width, seed }) => ({
    body: (kernels) => (x) => [kernels.swiglu(x as Tensor)],
    inputs: [normal(seed, [rows, 2 * width], 3)],
  }),
  rotate: (one) => ({
    body: (kernels) => (x) => {
      const { dtype } = x as Tensor;
      return [kernels.rotate(x as Tensor, rotationOf(one, dtype === "bfloat16" ? dtype : "float32"))];
    },
    inputs: [normal(one.seed, [one.rows, one.groups, 2 * one.half])],
  }),
  splitRotate: (one) => ({
    body: (kernels) => (x) => {
      const { dtype } = x as Tensor;
      const rotation = rotationOf(one, dtype === "bfloat16" ? dtype : "float32");
      return kernels.splitRotate(x as Tensor, rotation, one.groups * one.share, one.groups);
    },
    inputs: [normal(one.seed, [one.rows, (one.share + 2) * one.groups * 2 * one.half])],
  }),
};

describe.each(Object.keys(uses))("%s", (name) => {
  const always = (check: (use: { body: (kernels: Kernels) => Body; inputs: Tensor[] }) => void): void =>
    fc.assert(
      fc.property(cases, (one) =>
        scope(() => {
          const use = uses[name]?.(one);
          if (use === undefined) throw new Error(name);
          check(use);
        }),
      ),
      { numRuns: 25 },
    );

  test("fused equals composed in float32, values and gradients", () => {
    always(({ body, inputs }) => {
      const own = differentiate(body(fusedKernels), inputs);
      const plain = differentiate(body(plainKernels), inputs);
      expect(derivativeExcess(own, plain, FLOAT)).toBeLessThan(1);
    });
  });

  test("both equal float32 in bfloat16, fused up to one rounding, composed up to some", () => {
    always(({ body, inputs }) => {
      const exact = differentiate(body(plainKernels), inputs, { rounded: "bfloat16" });
      const own = differentiate(body(fusedKernels), inputs, { dtype: "bfloat16" });
      const plain = differentiate(body(plainKernels), inputs, { dtype: "bfloat16" });
      expect(derivativeExcess(own, exact, name === "rotate" ? COMPOSED : ROUNDED)).toBeLessThan(1);
      expect(derivativeExcess(plain, exact, COMPOSED)).toBeLessThan(1);
    });
  });
});

test("heads lie in the order of queries, keys, values, and rows that do not split are refused", () => {
  const qkv = ops.arange(0, 2 * 16).view(2, 16);
  const parts = splitHeads(qkv, 2, 4, 2);
  expect(parts.map((part) => part.shape)).toEqual([
    [2, 4, 2],
    [2, 2, 2],
    [2, 2, 2],
  ]);
  expect(parts.map((part) => [...part.narrow(0, 1, 1).toFloat32Array()])).toEqual([
    [16, 17, 18, 19, 20, 21, 22, 23],
    [24, 25, 26, 27],
    [28, 29, 30, 31],
  ]);
  expect(() => splitHeads(qkv, 3, 4, 2)).toThrow(MahaloError);
});

test("kernels are fused on the CPU and composed elsewhere", () => {
  expect(kernelsFor("cpu")).toBe(fusedKernels);
  expect(kernelsFor("cuda:0")).toBe(plainKernels);
});

/** Hidden states and all gradients of a model over a packed pair and a second row. */
const passOf = async (
  name: TinyName,
  kernels: Kernels,
  compute: "float32" | "bfloat16",
): Promise<{ hidden: Float32Array; gradients: Map<string, Float32Array> }> => {
  const model = await tinyModel(name, { compute });
  const parameters = trainAll(model);
  model.backbone.kernels = kernels;
  const batch = packed([
    { prompt: [5, 17, 200], completions: [[42, 7], [9]] },
    { prompt: [3], completions: [[250, 1, 8]] },
  ]);
  try {
    return scope(() => {
      const pass = model.backbone.train(tokensOf(batch), packedAttention(batch));
      pass.backward(normal(5, pass.hidden_TD.shape).to(compute));
      for (const parameter of parameters) parameter.syncGradient();
      return { hidden: hiddenOf(model, batch).toFloat32Array(), gradients: gradientsOf(model) };
    });
  } finally {
    clearGradients(model);
    model.dispose();
  }
};

describe.each(tinyNames)("%s", (name) => {
  test.each([
    ["float32", 1e-5],
    ["bfloat16", 0.05],
  ] as const)("answers and learns alike with fused and composed kernels in %s", async (compute, most) => {
    const own = await passOf(name, fusedKernels, compute);
    const plain = await passOf(name, plainKernels, compute);
    expect(normDistance(own.hidden, plain.hidden)).toBeLessThan(most);
    for (const [parameter, gradient] of plain.gradients) {
      expect(normDistance(own.gradients.get(parameter) ?? [], gradient), parameter).toBeLessThan(most);
    }
    expect(
      [...own.gradients.values()].filter((gradient) => gradient.some((g) => g !== 0)).length,
    ).toBeGreaterThan(10);
  });

  test.each([
    ["float32", 1e-5],
    ["bfloat16", 0.05],
  ] as const)("answers row by row in two calls a layer as it does in many, in %s", async (compute, most) => {
    const model = await tinyModel(name, { compute, training: false });
    const answer = (kernels: Kernels, seen: string[]): Float32Array => {
      const { rowwise } = kernels;
      const counted = rowwise && {
        ...rowwise,
        back: (...given: Parameters<typeof rowwise.back>) => {
          seen.push("back");
          return rowwise.back(...given);
        },
      };
      model.backbone.kernels = { ...kernels, rowwise: counted };
      const batch = packed([{ prompt: [5, 17], completions: [[42]] }]);
      return noGrad(() => scope(() => hiddenOf(model, batch, { rowwise: true }).toFloat32Array()));
    };
    try {
      const used: string[] = [];
      const own = answer(fusedKernels, used);
      expect(used.length).toBe(model.config.layers);
      const unused: string[] = [];
      const plain = answer({ ...fusedKernels, rowwise: undefined }, unused);
      expect(unused).toEqual([]);
      expect(normDistance(own, plain)).toBeLessThan(most);
    } finally {
      model.dispose();
    }
  });
});

test("rows with gradients, or with adapters, go the way that knows them", async () => {
  const model = await tinyModel("tiny-llama");
  const never = (): never => {
    throw new Error("not for these");
  };
  model.backbone.kernels = {
    ...fusedKernels,
    rowwise: { front: never, back: never, linear: never },
  };
  const batch = packed([{ prompt: [5, 17], completions: [[42]] }]);
  const answer = (): Float32Array => scope(() => hiddenOf(model, batch, { rowwise: true }).toFloat32Array());
  try {
    trainAll(model);
    expect(answer().length).toBeGreaterThan(0);
    expect(() => noGrad(answer)).toThrow("not for these");
    const adapters = addLora(model.backbone, { rank: 2, alpha: 4 }, rng(0, "lora"));
    expect(noGrad(answer).length).toBeGreaterThan(0);
    expect(adapters.length).toBeGreaterThan(0);
  } finally {
    model.dispose();
  }
});
