/** Gradients of the operators that models use, against central differences in double precision. */
import { expect, test } from "vitest";
import { backward } from "./autograd.ts";
import * as ops from "./ops.generated.ts";
import { Generator } from "./random.ts";
import { scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";

const generator = new Generator(7);
const draw = (...shape: number[]): Tensor => ops.randn(shape, { generator, dtype: "float64" });

/** Largest difference of backward's gradient from (f(x + h) - f(x - h)) / 2h, over every element of every input. */
const largestError = (inputs: readonly Tensor[], output: (...inputs: Tensor[]) => Tensor): number => {
  const step = 1e-5;
  // A fixed random weighting makes one number of the output, so that no symmetry can hide a wrong gradient.
  const weights = scope(() => draw(...output(...inputs).shape));
  const value = (of: readonly Tensor[]): Tensor =>
    output(...of)
      .mul(weights)
      .sum();
  const leaves = inputs.map((input) => input.clone());
  for (const leaf of leaves) leaf.requiresGrad = true;
  scope(() => backward(value(leaves)));
  let worst = 0;
  for (const [i, input] of inputs.entries()) {
    const slopes = leaves[i]?.grad?.toTypedArray() as Float64Array;
    const base = input.toTypedArray() as Float64Array;
    for (let j = 0; j < base.length; j += 1) {
      const at = (offset: number): number =>
        scope(() => {
          const moved = base.slice();
          moved[j] = (moved[j] ?? 0) + offset;
          return value(inputs.with(i, tensor(moved, { shape: input.shape }))).item();
        });
      worst = Math.max(worst, Math.abs((at(step) - at(-step)) / (2 * step) - (slopes[j] ?? Number.NaN)));
    }
  }
  return worst;
};

const mask = tensor([0, 0, 0, 0, Number.NEGATIVE_INFINITY, 0, 0, 0, 0.5, 0, 0, -1], {
  shape: [1, 1, 3, 4],
  dtype: "float64",
});
const words = tensor([2, 0, 2, 1], { shape: [2, 2], dtype: "int64" });
const classes = tensor([1, 0, 2], { dtype: "int64" });

test.each<[string, Tensor[], (...inputs: Tensor[]) => Tensor]>([
  ["linear", [draw(2, 3), draw(4, 3), draw(4)], (x, w, b) => ops.linear(x as Tensor, w as Tensor, b)],
  ["matmul", [draw(2, 2, 3), draw(3, 2)], (a, b) => ops.matmul(a as Tensor, b as Tensor)],
  ["rmsNorm", [draw(2, 5), draw(5)], (x, w) => ops.rmsNorm(x as Tensor, [5], w, 1e-5)],
  ["silu", [draw(6)], (x) => ops.silu(x as Tensor)],
  ["sigmoid", [draw(6)], (x) => ops.sigmoid(x as Tensor)],
  ["logSigmoid", [draw(6)], (x) => ops.logSigmoid(x as Tensor)],
  ["softmax", [draw(2, 4)], (x) => ops.softmax(x as Tensor, -1)],
  ["logSoftmax", [draw(2, 4)], (x) => ops.logSoftmax(x as Tensor, -1)],
  ["logsumexp", [draw(2, 4)], (x) => ops.logsumexp(x as Tensor, [-1])],
  ["crossEntropy", [draw(3, 4)], (x) => ops.crossEntropy(x as Tensor, classes)],
  ["embedding, a row twice", [draw(3, 4)], (w) => ops.embedding(w as Tensor, words)],
  ["gather", [draw(3, 4)], (x) => ops.gather(x as Tensor, 1, classes.view(3, 1))],
  [
    "cat and narrow",
    [draw(2, 3), draw(2, 1)],
    (a, b) => ops.cat([a as Tensor, b as Tensor], 1).narrow(1, 1, 3),
  ],
  ["indexSelect, a row twice", [draw(3, 2)], (x) => (x as Tensor).indexSelect(0, words.view(4))],
  [
    "scaledDotProductAttention, causal",
    [draw(1, 2, 3, 4), draw(1, 2, 3, 4), draw(1, 2, 3, 4)],
    (q, k, v) => ops.scaledDotProductAttention(q as Tensor, k as Tensor, v as Tensor, null, 0, true),
  ],
  [
    "scaledDotProductAttention, mask and shared key-value heads",
    [draw(1, 4, 3, 4), draw(1, 2, 4, 4), draw(1, 2, 4, 4)],
    (q, k, v) =>
      ops.scaledDotProductAttention(q as Tensor, k as Tensor, v as Tensor, mask, 0, false, {
        scale: 0.7,
        enableGqa: true,
      }),
  ],
])("%s", (_, inputs, output) => {
  expect(largestError(inputs, output)).toBeLessThan(1e-7);
});
