/** Optimisers and clipping: 20 steps equal to PyTorch's, and a run that goes on from its saved state as if never stopped. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { backward } from "../autograd.ts";
import * as ops from "../ops.generated.ts";
import { openSafetensors, writeSafetensors } from "../safetensors/index.ts";
import { liveTensors, scope } from "../scope.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { adamW, clipGradNorm, gradNorm, Optimizer, rmsProp, sgd, type UpdateRule } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-optim-"));
afterAll(() => rmSync(folder, { recursive: true }));

const values = z.record(z.string(), z.array(z.number()));
const golden = z
  .object({
    shapes: z.record(z.string(), z.array(z.number())),
    start: values,
    gradients: z.array(values),
    runs: z.array(
      z.object({
        rule: z.enum(["adamw", "rmsprop", "sgd"]),
        options: z.object({
          betas: z.tuple([z.number(), z.number()]).optional(),
          eps: z.number().optional(),
          alpha: z.number().optional(),
          momentum: z.number().optional(),
          dampening: z.number().optional(),
          nesterov: z.boolean().optional(),
          weight_decay: z.number().optional(),
        }),
        learningRates: z.array(z.number()),
        after: z.array(values),
      }),
    ),
    clip: z.object({
      maxNorm: z.number(),
      steps: z.array(z.object({ norm: z.number(), gradients: values })),
    }),
  })
  .parse(
    JSON.parse(readFileSync(new URL("../../../../test/golden/data/optim.json", import.meta.url), "utf8")),
  );
type Values = z.infer<typeof values>;

const tensorsOf = (source: Values, requiresGrad = false): Map<string, Tensor> =>
  new Map(
    Object.entries(source).map(([name, numbers]) => [
      name,
      tensor(numbers, { shape: golden.shapes[name] ?? [numbers.length], requiresGrad }),
    ]),
  );

/** Numbers in [-1, 1] that a seed decides. */
const numbersOf = (seed: number) => {
  let state = seed;
  return (): number => {
    state = (state * 48_271) % 2_147_483_647;
    return (state / 2_147_483_647) * 2 - 1;
  };
};

const setGradients = (parameters: ReadonlyMap<string, Tensor>, gradients: Values): void => {
  for (const [name, parameter] of parameters) {
    const given = gradients[name];
    parameter.grad = given === undefined ? null : tensor(given, { shape: parameter.shape });
  }
};

const expectClose = (found: ReadonlyMap<string, Tensor>, wanted: Values, tolerance = 1e-6): void => {
  for (const [name, numbers] of Object.entries(wanted)) {
    const array = found.get(name)?.toFloat32Array() ?? new Float32Array();
    expect(array.length).toBe(numbers.length);
    numbers.forEach((number, i) => {
      expect(Math.abs((array[i] ?? Number.NaN) - number), `${name}[${i}]`).toBeLessThanOrEqual(
        tolerance * Math.max(1, Math.abs(number)),
      );
    });
  }
};

/** Options without the fields that are undefined. */
const given = <T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

const ruleOf = ({ rule, options }: (typeof golden.runs)[number], fused = true): UpdateRule => {
  const { betas, eps: epsilon, weight_decay: weightDecay, ...rest } = options;
  if (rule === "adamw")
    return adamW(given({ beta1: betas?.[0], beta2: betas?.[1], epsilon, weightDecay, fused }));
  if (rule === "rmsprop")
    return rmsProp(given({ alpha: rest.alpha, momentum: rest.momentum, epsilon, weightDecay, fused }));
  const { momentum, dampening, nesterov } = rest;
  return sgd(given({ momentum, dampening, nesterov, weightDecay }));
};

describe.each(golden.runs)("$rule $options", (run) => {
  const walk = (
    optimizer: Optimizer,
    parameters: ReadonlyMap<string, Tensor>,
    from: number,
    to: number,
  ): void => {
    for (let step = from; step < to; step++) {
      scope(() => setGradients(parameters, golden.gradients[step] ?? {}));
      optimizer.learningRate = run.learningRates[step] ?? 0;
      optimizer.step();
    }
  };

  test.each([true, false])("equals PyTorch over 20 steps, fused %s", (fused) => {
    const parameters = tensorsOf(golden.start, true);
    const optimizer = new Optimizer(parameters, ruleOf(run, fused), { learningRate: 0 });
    run.after.forEach((wanted, step) => {
      walk(optimizer, parameters, step, step + 1);
      expectClose(parameters, wanted);
    });
  });

  test("takes a scale of a parameter as a learning rate of its own, byte for byte", () => {
    const [scaled] = Object.keys(golden.start);
    const scales = (name: string): number => (name === scaled ? 0.5 : 1);
    const together = tensorsOf(golden.start, true);
    walk(new Optimizer(together, ruleOf(run), { learningRate: 0, scales }), together, 0, 20);
    for (const [name, parameter] of tensorsOf(golden.start, true)) {
      const alone = new Map([[name, parameter]]);
      const optimizer = new Optimizer(alone, ruleOf(run), { learningRate: 0 });
      for (const [step, rate] of run.learningRates.slice(0, 20).entries()) {
        scope(() => setGradients(alone, golden.gradients[step] ?? {}));
        optimizer.learningRate = rate * scales(name);
        optimizer.step();
      }
      expect(parameter.toFloat32Array(), name).toEqual(together.get(name)?.toFloat32Array());
    }
  });

  test("goes on from its saved state, after any step, byte for byte", () => {
    const whole = tensorsOf(golden.start, true);
    walk(new Optimizer(whole, ruleOf(run), { learningRate: 0 }), whole, 0, 20);
    for (let stop = 0; stop <= 20; stop++) {
      const first = tensorsOf(golden.start, true);
      const before = new Optimizer(first, ruleOf(run), { learningRate: 0 });
      walk(before, first, 0, stop);
      const path = join(folder, "state.safetensors");
      writeSafetensors(path, before.state());
      const file = openSafetensors(path);
      const after = new Optimizer(first, ruleOf(run), { learningRate: 0 });
      after.loadState(new Map(file.names.map((name) => [name, file.tensor(name)])));
      walk(after, first, stop, 20);
      for (const [name, parameter] of first) {
        expect(parameter.toFloat32Array()).toEqual(whole.get(name)?.toFloat32Array());
      }
    }
  });
});

test.each([
  ["AdamW", (fused: boolean) => adamW({ weightDecay: 0.1, fused })],
  ["RMSprop", (fused: boolean) => rmsProp({ weightDecay: 0.1, fused })],
] as const)("%s in one pass equals foreach operators, at every length and number of threads", (_, rule) => {
  const sizes = [1, 15, 16, 17, 1000, 70_001];
  const random = numbersOf(7);
  const values = (): Float32Array[] => sizes.map((size) => Float32Array.from({ length: size }, random));
  const [start, ...gradients] = [values(), values(), values()];
  const after = [true, false].map((fused) => {
    const parameters = new Map(start?.map((one, i) => [String(i), tensor(one)]));
    const optimizer = new Optimizer(parameters, rule(fused), {
      learningRate: 1e-2,
      decays: (name) => name !== "3",
    });
    for (const step of gradients) {
      [...parameters.values()].forEach((parameter, i) => {
        parameter.grad = tensor(step[i] ?? new Float32Array());
      });
      optimizer.step();
    }
    return [...parameters.values()].map((parameter) => parameter.toFloat32Array());
  });
  after[0]?.forEach((one, i) => {
    one.forEach((value, index) => {
      expect(Math.abs(value - (after[1]?.[i]?.[index] ?? Number.NaN))).toBeLessThanOrEqual(1e-6);
    });
  });
});

test("a fused update refuses what does not belong together", () => {
  const [one, two] = [tensor([1, 2]), tensor([1, 2, 3])];
  expect(() => ops.fusedRmsprop_([one], [two], [one], 0.1, 0.9, 1e-8)).toThrow(/of one shape/);
  expect(() => ops.fusedRmsprop_([one], [], [one], 0.1, 0.9, 1e-8)).toThrow(/of one length/);
  expect(() => ops.fusedAdamw_([one], [one], [one], [two], 0.1, 0, 0.9, 0.99, 1e-8, 1)).toThrow(
    /of one shape/,
  );
});

test("clipping equals PyTorch's, norms and gradients", () => {
  golden.clip.steps.forEach(({ norm, gradients }, step) => {
    const start = golden.gradients[step] ?? {};
    const parameters = tensorsOf(start);
    setGradients(parameters, start);
    expect(Math.abs(gradNorm(parameters) - norm)).toBeLessThanOrEqual(1e-6 * Math.max(1, norm));
    expect(clipGradNorm(parameters, golden.clip.maxNorm)).toBe(
      clipGradNorm(tensorsWithGradients(start), 1e30),
    );
    const clipped = new Map<string, Tensor>();
    for (const [name, parameter] of parameters) if (parameter.grad) clipped.set(name, parameter.grad);
    expectClose(clipped, gradients);
  });
});

const tensorsWithGradients = (gradients: Values): Map<string, Tensor> => {
  const parameters = tensorsOf(gradients);
  setGradients(parameters, gradients);
  return parameters;
};

test("gradients below the norm are left bit for bit; above it, their norm becomes the limit", () => {
  const numbers = fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(numbers, fc.double({ min: 0.01, max: 200, noNaN: true }), (gradient, limit) => {
      const parameters = tensorsWithGradients({ w: gradient });
      const norm = clipGradNorm(parameters, limit);
      const after = [...parameters.values()][0]?.grad?.toFloat32Array();
      if (norm + 1e-6 <= limit) expect(after).toEqual(Float32Array.from(gradient));
      else expect(gradNorm(parameters)).toBeLessThanOrEqual(limit * (1 + 1e-5));
    }),
  );
});

test("a gradient that is not finite is an error that names its parameter, and changes nothing", () => {
  const parameters = tensorsWithGradients({ good: [1, 2], bad: [3, Number.NaN] });
  expect(() => clipGradNorm(parameters, 0.1)).toThrow(/gradient of bad is not finite/);
  expect(() => clipGradNorm(parameters.values(), 0.1)).toThrow(/gradient of parameter 1 is not finite/);
  expect([...(parameters.get("good")?.grad?.toFloat32Array() ?? [])]).toEqual([1, 2]);
  expect(gradNorm(tensorsOf({ w: [1] }))).toBe(0);
});

test("weight decay applies to the parameters it is meant for", () => {
  for (const rule of [
    adamW({ weightDecay: 0.5 }),
    rmsProp({ weightDecay: 0.5 }),
    sgd({ weightDecay: 0.5 }),
  ]) {
    const parameters = tensorsWithGradients({ weight: [1], bias: [1] });
    for (const parameter of parameters.values()) parameter.grad = tensor([0]);
    const decays = (name: string): boolean => name === "weight";
    new Optimizer(parameters, rule, { learningRate: 0.1, decays }).step();
    expect(parameters.get("bias")?.item()).toBe(1);
    expect(parameters.get("weight")?.item()).toBeLessThan(1);
  }
});

test("a real backward pass descends, and steps leave no native tensor behind", () => {
  const w = tensor([3, -4], { requiresGrad: true });
  const optimizer = new Optimizer(new Map([["w", w]]), adamW({ weightDecay: 0 }), { learningRate: 0.1 });
  const step = (): number =>
    scope(() => {
      const loss = w.mul(w).sum();
      backward(loss);
      optimizer.step();
      optimizer.zeroGrad();
      return loss.item();
    });
  const first = step();
  const before = liveTensors();
  let last = first;
  for (let i = 0; i < 100; i++) last = step();
  expect(last).toBeLessThan(first / 100);
  expect(liveTensors()).toBe(before);
  optimizer.dispose();
  expect(optimizer.state().size).toBe(0);
});

test("options out of range are errors that name them", () => {
  expect(() => adamW({ beta2: 1 })).toThrow(/AdamW: beta2 must be a number from 0 to below 1, not 1/);
  expect(() => rmsProp({ alpha: -1 })).toThrow(/RMSprop: alpha/);
  expect(() => sgd({ momentum: Number.NaN })).toThrow(/SGD: momentum/);
  expect(() => sgd({ nesterov: true })).toThrow(/nesterov needs momentum/);
  expect(() => clipGradNorm([], 0)).toThrow(/maxNorm/);
  const optimizer = new Optimizer(new Map(), sgd(), { learningRate: Number.NaN });
  expect(() => optimizer.step()).toThrow(/learningRate/);
});

test("state of other parameters or another rule is refused, and nothing changes", () => {
  const parameters = tensorsWithGradients({ w: [1, 2] });
  const optimizer = new Optimizer(parameters, adamW(), { learningRate: 0.1 });
  optimizer.step();
  const state = optimizer.state();
  expect([...state.keys()].sort()).toEqual(["w.exp_avg", "w.exp_avg_sq", "w.step"]);
  const moment = tensor([1, 2]);
  const cases: [ReadonlyMap<string, Tensor>, RegExp][] = [
    [new Map([...state, ["x.step", tensor([1], { dtype: "int64" })]]), /"x\.step" belongs to no parameter/],
    [new Map([...state].filter(([name]) => name !== "w.exp_avg")), /"w\.exp_avg" is missing/],
    [new Map([...state, ["w.exp_avg", tensor([1])]]), /"w\.exp_avg" is float32 \[1\]/],
    [new Map([...state, ["w.exp_avg", moment.to("bfloat16")]]), /is bfloat16/],
    [new Map([...state, ["w.step", tensor([0], { dtype: "int64" })]]), /not a count of updates/],
    [new Map([...state, ["w.momentum_buffer", moment]]), /belongs to no parameter/],
  ];
  for (const [broken, says] of cases) expect(() => optimizer.loadState(broken)).toThrow(says);
  expect(optimizer.state().get("w.step")?.item()).toBe(1);
});
