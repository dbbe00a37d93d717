/** Autograd: gradients given and accumulated, modes, and safety of what backward will need. */
import { describe, expect, test } from "vitest";
import { backward, enableGrad, grad, noGrad } from "./autograd.ts";
import * as ops from "./ops.generated.ts";
import { liveTensors, scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";

const leaf = (...numbers: number[]): Tensor => tensor(numbers, { requiresGrad: true });
const read = (x: Tensor | null): number[] => [...(x?.toFloat32Array() ?? [])];

describe("backward", () => {
  test("takes the gradient of an output, one when it is left out for a scalar", () => {
    const x = leaf(1, 2);
    backward(x.mul(x), tensor([10, 1]));
    expect(read(x.grad)).toEqual([20, 4]);
    const y = leaf(3);
    backward(y.mul(y).sum());
    expect(read(y.grad)).toEqual([6]);
  });

  test("accumulates over calls and over outputs", () => {
    const x = leaf(1, 2);
    backward(x.sum());
    backward([x.sum(), x.mul(3)], [null, tensor([1, 1])]);
    expect(read(x.grad)).toEqual([5, 5]);
    x.grad = null;
    expect(x.grad).toBeNull();
    backward(x.sum());
    expect(read(x.grad)).toEqual([1, 1]);
  });

  test("runs twice over one graph only with retainGraph", () => {
    const x = leaf(2);
    const loss = x.mul(x).sum();
    backward(loss, null, { retainGraph: true });
    backward(loss);
    expect(read(x.grad)).toEqual([8]);
    expect(() => backward(loss)).toThrow(/^backward: .*second time/);
  });

  test("refuses what has no gradient, a missing one, and one of another shape", () => {
    const x = leaf(1, 2);
    expect(() => backward(tensor([1]).sum())).toThrow("does not require grad");
    expect(() => backward(x.mul(2))).toThrow("scalar");
    expect(() => backward(x.mul(2), tensor([1, 2, 3]))).toThrow("gradient 0 is float32[3]");
    expect(() => backward([x.sum(), x.sum()], [null])).toThrow("2 outputs, but 1 gradients");
    expect(() => backward([], [])).not.toThrow();
  });

  test("frees the graph: no native tensor is left but the leaves and their gradients", () => {
    const x = leaf(1, 2);
    const before = liveTensors();
    scope(() => {
      const hidden = x.mul(2);
      const loss = hidden.mul(hidden).sum();
      hidden.dispose();
      backward(loss);
    });
    expect(liveTensors()).toBe(before);
    expect(read(x.grad)).toEqual([8, 16]);
  });
});

describe("grad", () => {
  test("gives gradients of chosen inputs and touches no .grad", () => {
    const [a, b] = [leaf(2), leaf(3)];
    const [da, db] = grad([a.mul(b)], [a, b], [tensor([10])]);
    expect([read(da ?? null), read(db ?? null)]).toEqual([[30], [20]]);
    expect([a.grad, b.grad]).toEqual([null, null]);
  });

  test("an input that took no part is an error, or null when that is allowed", () => {
    const [a, b] = [leaf(2), leaf(3)];
    const y = a.mul(2).sum();
    expect(() => grad([y], [b], undefined, { retainGraph: true })).toThrow(
      /^grad: .*unused|^grad: .*not have been used/,
    );
    expect(grad([y], [b], undefined, { allowUnused: true })).toEqual([null]);
  });
});

describe("modes", () => {
  test("noGrad and enableGrad nest, and an exception restores the mode", () => {
    const x = leaf(1);
    const records = (): boolean => x.mul(2).requiresGrad;
    expect(records()).toBe(true);
    noGrad(() => {
      expect(records()).toBe(false);
      noGrad(() => expect(records()).toBe(false));
      enableGrad(() => expect(records()).toBe(true));
      expect(() =>
        enableGrad(() => {
          throw new Error("mine");
        }),
      ).toThrow("mine");
      expect(records()).toBe(false);
      expect(() => noGrad(() => x.matmul(tensor([1, 2])))).toThrow("aten::matmul");
      expect(records()).toBe(false);
    });
    expect(records()).toBe(true);
  });

  test("an asynchronous body is refused, for its later part would run in another mode", () => {
    expect(() => noGrad(async () => undefined)).toThrow("must not be asynchronous");
    expect(() => enableGrad(() => Promise.reject(new Error("never unhandled")))).toThrow("asynchronous");
  });

  test("detach cuts the history and shares the memory", () => {
    const x = leaf(1, 2);
    const cut = x.mul(2).detach();
    expect([cut.requiresGrad, cut.isLeaf]).toEqual([false, true]);
    const y = x.detach();
    y.mul(2);
    ops.mulScalar_(y, 5);
    expect(read(x.detach())).toEqual([5, 10]);
  });

  test("requiresGrad: only floating leaves", () => {
    expect(() => tensor([1], { dtype: "int64", requiresGrad: true })).toThrow(/^requiresGrad/);
    const x = leaf(1);
    const y = x.mul(2);
    expect(y.isLeaf).toBe(false);
    expect(() => {
      y.requiresGrad = false;
    }).toThrow("leaf");
  });
});

describe("what backward will need", () => {
  test("a saved tensor that was changed in place is an error, not a wrong gradient", () => {
    const x = leaf(1, 2);
    const y = ops.exp(x);
    const loss = y.mul(y).sum();
    ops.mulScalar_(y.detach(), 3);
    expect(() => backward(loss)).toThrow(/modified by an inplace operation/);
  });

  test("a leaf that requires a gradient changes in place under noGrad only", () => {
    const x = leaf(1, 2);
    expect(() => ops.mulScalar_(x, 2)).toThrow("leaf Variable");
    noGrad(() => ops.mulScalar_(x, 2));
    expect(read(x)).toEqual([2, 4]);
  });

  test("handles may go before backward: autograd keeps what it needs", () => {
    const x = leaf(1, 2, 3);
    const loss = scope(() => ops.silu(x.mul(2)).mul(x).sum());
    const steps = x.mul(2);
    const kept = steps.mul(steps).sum();
    steps.dispose();
    backward(loss);
    backward(kept);
    expect(x.grad?.shape).toEqual([3]);
  });

  test("a leaf freed before backward takes part all the same; its own gradient is out of reach", () => {
    const [x, y] = [leaf(2), leaf(3)];
    const loss = x.mul(y).sum();
    x.dispose();
    backward(loss);
    expect(read(y.grad)).toEqual([2]);
    expect(() => x.grad).toThrow("grad: tensor was freed");
    expect(() => {
      x.grad = null;
    }).toThrow("grad: tensor was freed");
    expect(() => backward(x)).toThrow("backward: tensor was freed");
  });

  test("a gradient outlives its leaf, and the leaf its gradient's handle", () => {
    const x = leaf(2);
    backward(x.mul(x).sum());
    const { grad: slope } = x;
    x.dispose();
    expect(read(slope)).toEqual([4]);
    const y = leaf(1);
    backward(y.sum());
    y.grad?.dispose();
    expect(read(y.grad)).toEqual([1]);
  });

  test("a gradient set by hand must fit its leaf in shape, dtype and device", () => {
    const x = leaf(1, 2);
    x.grad = tensor([3, 4]);
    expect(read(x.grad)).toEqual([3, 4]);
    expect(() => {
      x.grad = tensor([1]);
    }).toThrow("grad: gradient float32[1] does not fit float32[2]");
    expect(() => {
      x.grad = tensor([1, 2], { dtype: "float64" });
    }).toThrow("grad: gradient float64[2] does not fit float32[2]");
    expect(() => {
      x.grad = x;
    }).toThrow("its own gradient");
  });

  test("through views, and through a graph 30,000 operators deep", () => {
    const x = leaf(1, 2, 3, 4);
    backward(x.view(2, 2).narrow(0, 1, 1).sum());
    expect(read(x.grad)).toEqual([0, 0, 1, 1]);
    const y = leaf(1);
    scope(() => {
      let deep = y.add(0);
      for (let i = 0; i < 30_000; i += 1) {
        const next = ops.neg(deep);
        deep.dispose();
        deep = next;
      }
      backward(deep.sum());
    });
    expect(read(y.grad)).toEqual([1]);
  });
});
