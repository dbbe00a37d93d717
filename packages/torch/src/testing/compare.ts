/** Outputs and gradients of one function computed in two ways, and how far they lie apart. */
import { backward } from "../autograd.ts";
import type { DType } from "../native.ts";
import * as ops from "../ops.generated.ts";
import { Generator } from "../random.ts";
import { scope } from "../scope.ts";
import type { Tensor } from "../tensor.ts";

/** A function of tensors. */
export type Body = (...inputs: Tensor[]) => readonly Tensor[];

/** Normal numbers, the same for the same seed; float32. */
export const normal = (seed: number, shape: readonly number[], scale = 1): Tensor => {
  const generator = new Generator(seed);
  try {
    return scope(() => ops.randn(shape, { generator }).mul(scale));
  } finally {
    generator.dispose();
  }
};

/** The same numbers in memory that is not contiguous: columns of a wider tensor; autograd goes through. */
export const spread = (x: Tensor): Tensor => ops.cat([x, x], -1).narrow(-1, 0, x.size(-1));

/** Outputs and gradients; null for an input that is not to have one. */
export type Derivative = { outputs: Float32Array[]; gradients: (Float32Array | null)[] };

/**
 * Runs `body` in a dtype and back-propagates fixed random slopes of its outputs.
 *
 * @param inputs rounded to `rounded` first, so that two dtypes can be compared on the very same numbers
 * @param wanted which inputs require a gradient; all by default
 */
export const differentiate = (
  body: Body,
  inputs: readonly Tensor[],
  {
    dtype = "float32",
    rounded = dtype,
    wanted = inputs.map(() => true),
    seed = 99,
  }: DifferentiateOptions = {},
): Derivative =>
  scope(() => {
    const leaves = inputs.map((input, i) => {
      const leaf = input.detach().to(rounded).to(dtype).clone();
      leaf.requiresGrad = wanted[i] ?? false;
      return leaf;
    });
    const outputs = body(...leaves);
    const slopes = outputs.map((output, i) =>
      normal(seed + i, output.shape)
        .to(rounded)
        .to(output.dtype),
    );
    if (wanted.includes(true)) backward(outputs, slopes);
    return {
      outputs: outputs.map((output) => output.toFloat32Array()),
      gradients: leaves.map((leaf) => leaf.grad?.toFloat32Array() ?? null),
    };
  });

type DifferentiateOptions = { dtype?: DType; rounded?: DType; wanted?: readonly boolean[]; seed?: number };

/** Most that numbers may differ: `absolute + relative |expected|`. */
export type Tolerance = { relative: number; absolute: number };

/** The largest difference in units of what is allowed; infinite where lengths differ or one number is not finite alone. */
export const excess = (
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { relative, absolute }: Tolerance,
): number => {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < actual.length; i += 1) {
    const [a, b] = [actual[i] ?? Number.NaN, expected[i] ?? Number.NaN];
    if (Object.is(a, b) || a === b) continue;
    const share = Math.abs(a - b) / (absolute + relative * Math.abs(b));
    most = Math.max(most, Number.isNaN(share) ? Number.POSITIVE_INFINITY : share);
  }
  return most;
};

/** {@link excess} over all outputs and gradients. */
export const derivativeExcess = (actual: Derivative, expected: Derivative, allowed: Tolerance): number => {
  const lists = (derivative: Derivative): (Float32Array | null)[] => [
    ...derivative.outputs,
    ...derivative.gradients,
  ];
  const [left, right] = [lists(actual), lists(expected)];
  if (left.length !== right.length) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...left.map((values, i) => {
      const other = right[i] ?? null;
      if (values === null || other === null) return values === other ? 0 : Number.POSITIVE_INFINITY;
      return excess(values, other, allowed);
    }),
  );
};

/**
 * Largest difference between backward's gradients and central differences of fourth order, for float32 bodies.
 *
 * The slopes weigh the outputs in double precision, so that only the body's own rounding enters.
 */
export const numericError = (body: Body, inputs: readonly Tensor[], step = 2 ** -4): number => {
  const seed = 7;
  const { gradients } = differentiate(body, inputs, { seed });
  const value = (of: readonly Tensor[]): number =>
    scope(() =>
      body(...of).reduce((sum, output, i) => {
        const slopes = normal(seed + i, output.shape).toFloat32Array();
        return output.toFloat32Array().reduce((all, y, j) => all + y * (slopes[j] ?? 0), sum);
      }, 0),
    );
  let worst = 0;
  for (const [i, input] of inputs.entries()) {
    for (let j = 0; j < input.numel; j += 1) {
      const shifted = (offset: number): number =>
        scope(() => {
          const moved = input.detach().clone();
          ops.addScalar_(moved.view(-1).narrow(0, j, 1), offset);
          return value(inputs.with(i, moved));
        });
      const slope =
        (8 * (shifted(step) - shifted(-step)) - (shifted(2 * step) - shifted(-2 * step))) / (12 * step);
      worst = Math.max(worst, Math.abs(slope - (gradients[i]?.[j] ?? Number.NaN)));
    }
  }
  return worst;
};
