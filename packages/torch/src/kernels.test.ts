/** Fused kernels against libtorch's composed operators: values, gradients, and calls that make no sense. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noGrad } from "./autograd.ts";
import { MahaloError } from "./error.ts";
import * as ops from "./ops.generated.ts";
import { getThreads, setThreads } from "./runtime.ts";
import { scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";
import {
  type Body,
  derivativeExcess,
  differentiate,
  normal,
  numericError,
  spread,
} from "./testing/compare.ts";

const EPS = 1e-5;
/** Between two ways to sum in float32. */
const FLOAT = { relative: 1e-5, absolute: 1e-5 };
/** A bfloat16 kernel computes in float32 and rounds once: half a unit of bfloat16's last place, and float32's rounding. */
const ROUNDED = { relative: 2 ** -8 + 1e-5, absolute: 1e-5 };

const columns = (x: Tensor, ...widths: number[]): Tensor[] => ops.splitWithSizes(x, widths, -1);

const plainNorm: Body = (x, w) => [ops.rmsNorm(x as Tensor, [(w as Tensor).numel], w, EPS)];
const fusedNorm: Body = (x, w) => [ops.fusedNorm(x as Tensor, w as Tensor, EPS)];
const plainSwiglu: Body = (x) => {
  const width = (x as Tensor).size(1) / 2;
  const [gate, up] = columns(x as Tensor, width, width) as [Tensor, Tensor];
  return [ops.silu(gate).mul(up)];
};
const fusedSwiglu: Body = (x) => [ops.fusedSwiglu(x as Tensor)];

/** x cos + [-b, a] sin for every head [a, b]. */
const plainRotate =
  (cosine: Tensor, sine: Tensor, heads: number, kvHeads: number): Body =>
  (x) => {
    const width = cosine.size(1);
    const parts = columns(x as Tensor, heads * width, kvHeads * width, kvHeads * width);
    const [q, k, v] = parts.map((part) => part.reshape(part.size(0), part.size(1) / width, width));
    const turn = (part: Tensor): Tensor => {
      const [a, b] = columns(part, width / 2, width / 2) as [Tensor, Tensor];
      const [c, s] = [cosine, sine].map((one) => one.to(part.dtype).unsqueeze(1)) as [Tensor, Tensor];
      return part.mul(c).add(ops.cat([ops.neg(b), a], -1).mul(s));
    };
    return [turn(q as Tensor), turn(k as Tensor), v as Tensor];
  };
const fusedRotate =
  (cosine: Tensor, sine: Tensor, heads: number, kvHeads: number): Body =>
  (x) => {
    const { dtype } = x as Tensor;
    return ops.fusedSplitRotate(x as Tensor, cosine.to(dtype), sine.to(dtype), heads, kvHeads);
  };

/** One kernel of some size: its fused and its composed form, and inputs. */
type Sized = { fused: Body; plain: Body; inputs: Tensor[] };

const normOf = (shape: readonly number[], seed: number): Sized => ({
  fused: fusedNorm,
  plain: plainNorm,
  inputs: [normal(seed, shape), normal(seed + 1, [shape.at(-1) ?? 0])],
});
const swigluOf = (rows: number, width: number, seed: number): Sized => ({
  fused: fusedSwiglu,
  plain: plainSwiglu,
  inputs: [normal(seed, [rows, 2 * width], 3)],
});
const rotateOf = (rows: number, heads: number, kvHeads: number, half: number, seed: number): Sized => {
  // Rounded to bfloat16, which float32 holds as well: both dtypes turn by the same angles.
  const angles = normal(seed + 1, [rows, half], 5);
  const [cosine, sine] = [ops.cos(angles), ops.sin(angles)].map((x) =>
    ops.cat([x, x], -1).to("bfloat16").to("float32"),
  );
  return {
    fused: fusedRotate(cosine as Tensor, sine as Tensor, heads, kvHeads),
    plain: plainRotate(cosine as Tensor, sine as Tensor, heads, kvHeads),
    inputs: [normal(seed, [rows, (heads + 2 * kvHeads) * 2 * half])],
  };
};

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const seeds = fc.integer({ min: 0, max: 1e6 });
const kernels: Record<string, fc.Arbitrary<() => Sized>> = {
  "rms_norm of rows": fc.tuple(size(9), size(67), seeds).map(
    ([t, d, seed]) =>
      () =>
        normOf([t, d], seed),
  ),
  "rms_norm of heads": fc.tuple(size(5), size(4), size(33), seeds).map(
    ([t, h, e, seed]) =>
      () =>
        normOf([t, h, e], seed),
  ),
  swiglu: fc.tuple(size(9), size(67), seeds).map(
    ([t, i, seed]) =>
      () =>
        swigluOf(t, i, seed),
  ),
  split_rotate: fc.tuple(size(6), size(3), size(3), size(19), seeds).map(
    ([t, share, g, half, seed]) =>
      () =>
        rotateOf(t, share * g, g, half, seed),
  ),
};

describe.each(Object.entries(kernels))("%s", (_, sized) => {
  const always = (check: (one: Sized) => void): void =>
    fc.assert(
      fc.property(sized, (make) => scope(() => check(make()))),
      { numRuns: 40 },
    );

  test("in float32 equals the composed operators, values and gradients", () => {
    always(({ fused, plain, inputs }) => {
      const gap = derivativeExcess(differentiate(fused, inputs), differentiate(plain, inputs), FLOAT);
      expect(gap).toBeLessThan(1);
    });
  });

  test("in bfloat16 equals the float32 operators rounded once, values and gradients", () => {
    always(({ fused, plain, inputs }) => {
      const own = differentiate(fused, inputs, { dtype: "bfloat16" });
      const exact = differentiate(plain, inputs, { rounded: "bfloat16" });
      expect(derivativeExcess(own, exact, ROUNDED)).toBeLessThan(1);
    });
  });

  test("takes inputs that are not contiguous", () => {
    always(({ fused, inputs }) => {
      const own = differentiate((...all) => fused(...all.map(spread)), inputs);
      expect(own).toEqual(differentiate(fused, inputs));
    });
  });

  test("gives the gradient of each input alone, and the same values without any", () => {
    always(({ fused, inputs }) => {
      const all = differentiate(fused, inputs);
      for (let i = 0; i <= inputs.length; i += 1) {
        const wanted = inputs.map((_, j) => i === j);
        const gradients = all.gradients.map((gradient, j) => (i === j ? gradient : null));
        expect(differentiate(fused, inputs, { wanted })).toEqual({ ...all, gradients });
      }
      expect(noGrad(() => fused(...inputs).map((y) => y.toFloat32Array()))).toEqual(all.outputs);
    });
  });
});

test.each<[string, Sized]>([
  ["rms_norm of rows", normOf([3, 7], 1)],
  ["rms_norm of heads", normOf([2, 3, 5], 2)],
  ["swiglu", swigluOf(3, 5, 3)],
  ["split_rotate", rotateOf(3, 4, 2, 2, 4)],
])("%s has the gradient that differences of its values show", (_, { fused, inputs }) => {
  expect(numericError(fused, inputs)).toBeLessThan(1e-3);
});

test("gradients do not depend on the number of threads, but for rounding", () => {
  const threads = getThreads();
  const { fused, inputs } = normOf([37, 1024], 1);
  const one = differentiate(fused, inputs);
  setThreads(threads + 1);
  try {
    expect(derivativeExcess(differentiate(fused, inputs), one, FLOAT)).toBeLessThan(1);
  } finally {
    setThreads(threads);
  }
});

test("an output of split_rotate that takes no part in the loss counts as zero", () => {
  const { fused, inputs } = rotateOf(3, 4, 2, 3, 1);
  const [x] = inputs as [Tensor];
  const parts = [0, 1, 2].map((i) => differentiate((qkv) => [fused(qkv as Tensor)[i] as Tensor], [x]));
  // 3 tokens of 4 query heads, 2 key heads and 2 value heads of 6.
  const columnsOf = (gradient: Float32Array): boolean[] =>
    Array.from({ length: 8 }, (_, head) =>
      gradient.subarray(6 * head, 6 * head + 6).some((one) => one !== 0),
    );
  expect(parts.map(({ gradients }) => columnsOf(gradients[0] ?? new Float32Array()))).toEqual([
    [true, true, true, true, false, false, false, false],
    [false, false, false, false, true, true, false, false],
    [false, false, false, false, false, false, true, true],
  ]);
});

test("swiglu saturates where the exponential leaves float32, as silu does, and keeps NaN", () => {
  const gate = [-1e4, -1000, -88.5, -87.5, -1e-30, 0, 1e-30, 87.5, 88.5, 1000, 1e30, Number.NaN];
  const x = tensor([...gate, ...gate.map(() => 1)], { shape: [1, 2 * gate.length] });
  const allowed = { relative: 1e-5, absolute: 1e-30 };
  const gap = derivativeExcess(differentiate(fusedSwiglu, [x]), differentiate(plainSwiglu, [x]), allowed);
  expect(gap).toBeLessThan(1);
});

describe("nothing to do", () => {
  const empty = (...shape: number[]): Tensor => ops.zeros(shape);
  test.each<[string, number[][], Body, Tensor[]]>([
    ["rms_norm of no rows", [[0, 3]], fusedNorm, [empty(0, 3), normal(1, [3])]],
    ["rms_norm of no columns", [[3, 0]], fusedNorm, [empty(3, 0), empty(0)]],
    ["swiglu of no rows", [[0, 3]], fusedSwiglu, [empty(0, 6)]],
    ["swiglu of no columns", [[3, 0]], fusedSwiglu, [empty(3, 0)]],
    [
      "split_rotate of no tokens",
      [
        [0, 2, 4],
        [0, 1, 4],
        [0, 1, 4],
      ],
      fusedRotate(empty(0, 4), empty(0, 4), 2, 1),
      [empty(0, 16)],
    ],
  ])("%s gives empty results, and gradients of zero", (_, shapes, body, inputs) => {
    expect(body(...inputs).map((output) => output.shape)).toEqual(shapes);
    const { gradients } = differentiate(body, inputs);
    for (const [i, gradient] of gradients.entries()) {
      expect(gradient).toEqual(new Float32Array(inputs[i]?.numel ?? -1));
    }
  });
});

describe("calls that make no sense are errors", () => {
  const ones = (...shape: number[]): Tensor => ops.ones(shape);
  const half = (...shape: number[]): Tensor => ops.ones(shape, { dtype: "bfloat16" });
  const rotate = (qkv: Tensor, angles: Tensor, heads = 2, kvHeads = 1): unknown =>
    ops.fusedSplitRotate(qkv, angles, angles, heads, kvHeads);
  test.each<[string, RegExp, () => unknown]>([
    ["a norm of a number", /fit the last dimension/, () => ops.fusedNorm(ones(), ones(1), EPS)],
    ["a weight of another width", /fit the last dimension/, () => ops.fusedNorm(ones(2, 3), ones(4), EPS)],
    ["a weight with two dimensions", /fit the last/, () => ops.fusedNorm(ones(2, 4), ones(2, 2), EPS)],
    ["a weight of another dtype", /share a dtype/, () => ops.fusedNorm(half(2, 3), ones(3), EPS)],
    [
      "a norm in int64",
      /float32 or bfloat16/,
      () => {
        const whole = (...shape: number[]): Tensor => ops.ones(shape, { dtype: "int64" });
        return ops.fusedNorm(whole(2, 3), whole(3), EPS);
      },
    ],
    ["an odd number of columns", /even number of columns/, () => ops.fusedSwiglu(ones(2, 3))],
    ["swiglu of a vector", /a matrix/, () => ops.fusedSwiglu(ones(4))],
    [
      "swiglu in float64",
      /float32 or bfloat16/,
      () => ops.fusedSwiglu(ops.ones([2, 4], { dtype: "float64" })),
    ],
    ["rotations of other tokens", /rotations \[T, E\]/, () => rotate(ones(2, 16), ones(3, 4))],
    ["an odd head width", /even head width/, () => rotate(ones(2, 12), ones(2, 3))],
    ["no head", /above 0/, () => rotate(ones(2, 8), ones(2, 4), 0)],
    ["fewer than no heads", /above 0/, () => rotate(ones(2, 8), ones(2, 4), -2, 2)],
    ["columns that are not the heads", /columns of qkv/, () => rotate(ones(2, 20), ones(2, 4))],
    ["rotations of another dtype", /share a dtype/, () => rotate(ones(2, 16), half(2, 4))],
    // (2^53 + 2) 2048 is 4096 in 64 bits.
    ["heads whose product overflows", /./, () => rotate(ones(2, 4096), ones(2, 2048), 2 ** 53, 1)],
  ])("%s", (_, says, call) => {
    expect(call).toThrow(MahaloError);
    expect(call).toThrow(says);
  });
});
