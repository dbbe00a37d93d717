/** Linear maps of bfloat16 computed in float32: values and gradients are those of float32, rounded once. */
import { describe, expect, it } from "vitest";
import { backward } from "./autograd.ts";
import { ops, scope, tensor } from "./index.ts";
import type { Tensor } from "./tensor.ts";

const leaf = (shape: number[], dtype: "float32" | "bfloat16", seed: number): Tensor => {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 1.7 * i));
  const x = tensor(values, { shape }).to("bfloat16").to(dtype).detach();
  x.requiresGrad = true;
  return x;
};

/** Output and gradients of y = x W^T + b under a fixed slope, as bfloat16 would store them. */
const run = (dtype: "float32" | "bfloat16", apply: (x: Tensor, w: Tensor, b: Tensor) => Tensor): number[][] =>
  scope(() => {
    const [x, w, b] = [leaf([5, 37], dtype, 1), leaf([11, 37], dtype, 2), leaf([11], dtype, 3)];
    const y = apply(x, w, b);
    const slope = leaf([5, 11], dtype, 4).detach();
    backward(y, slope);
    return [y, x.grad, w.grad, b.grad].map((t) => Array.from(t?.to("bfloat16").toFloat32Array() ?? []));
  });

describe("products of bfloat16 in float32", () => {
  it("give the values and gradients of float32, rounded once", () => {
    expect(run("bfloat16", ops.wideLinear)).toEqual(run("float32", ops.linear));
  });

  it("take no bias, and give no gradient that nobody asks for", () => {
    scope(() => {
      const [x, w] = [leaf([5, 37], "bfloat16", 1).detach(), leaf([11, 37], "bfloat16", 2)];
      backward(ops.wideLinear(x, w, null).sum());
      expect([x.grad, w.grad?.shape]).toEqual([null, [11, 37]]);
    });
  });

  it("multiply matrices as float32 does", () => {
    scope(() => {
      const [a, b] = [leaf([6, 29], "bfloat16", 5).detach(), leaf([29, 7], "bfloat16", 6).detach()];
      const exact = ops.mm(a.to("float32"), b.to("float32")).to("bfloat16");
      expect(ops.wideMm(a, b).toFloat32Array()).toEqual(exact.toFloat32Array());
    });
  });

  it("refuse shapes that do not fit", () => {
    scope(() => {
      expect(() => ops.wideLinear(leaf([2, 3], "bfloat16", 1), leaf([2, 4], "bfloat16", 1), null)).toThrow(
        /weight \[M, K\]/,
      );
    });
  });
});
