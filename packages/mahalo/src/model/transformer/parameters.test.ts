/** Parameters: float32 masters and gradients under a compute dtype that may be coarser. */
import { backward, liveTensors, noGrad, ops, scope, tensor } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";

const make = (compute: ComputeDType, training = true, values = [1, 2, 3]): Parameter => {
  const one = parameter("w", tensor(values), { compute, training });
  if (training) one.trainable = true;
  return one;
};

/** Back-propagates d(sum g w)/dw = g through the compute copy. */
const pass = (one: Parameter, gradient: number[]): void =>
  scope(() => backward(one.value.mul(1), tensor(gradient, { dtype: one.value.dtype })));

describe("in float32", () => {
  test("value and master are one tensor, and gradients add up in it over passes", () => {
    const one = make("float32");
    expect(one.master).toBe(one.value);
    pass(one, [1, 2, 3]);
    one.syncGradient();
    one.accumulate(tensor([10, 10, 10]));
    pass(one, [0.5, 0, 0]);
    one.syncGradient();
    expect(one.gradient?.toFloat32Array()).toEqual(Float32Array.of(11.5, 12, 13));
    one.clearGradient();
    expect(one.gradient).toBeNull();
    one.dispose();
  });
});

describe("in bfloat16", () => {
  test("gradients move to float32 after every pass and lose nothing by adding up there", () => {
    const one = make("bfloat16");
    expect(one.value.dtype).toBe("bfloat16");
    for (let i = 0; i < 300; i++) {
      pass(one, [1, 0.5, 0.25]);
      one.syncGradient();
    }
    expect(one.value.grad).toBeNull();
    // In bfloat16 the sum would stand still at 256.
    expect(one.gradient?.dtype).toBe("float32");
    expect(one.gradient?.toFloat32Array()).toEqual(Float32Array.of(300, 150, 75));
    one.dispose();
  });

  test("updates below its resolution are kept in the master and reach the value in time", () => {
    const one = make("bfloat16", true, [1]);
    const { master } = one;
    for (let i = 0; i < 4000; i++) if (master) noGrad(() => scope(() => ops.addScalar_(master, 2 ** -20)));
    one.syncFromMaster();
    expect(one.float().item()).toBe(1 + 4000 / 2 ** 20);
    // The nearest neighbour above 1 is 1.0078; half way to it the value follows.
    expect(one.value.to("float32").item()).toBe(1);
    for (let i = 0; i < 4000; i++) if (master) noGrad(() => scope(() => ops.addScalar_(master, 2 ** -20)));
    one.syncFromMaster();
    expect(one.value.to("float32").item()).toBe(1 + 2 ** -7);
    one.dispose();
  });

  test("the value is the master rounded to nearest", () => {
    const one = make("bfloat16", true, [1.003, -3.1417]);
    expect(one.value.toFloat32Array()).toEqual(
      tensor([1.003, -3.1417], { dtype: "bfloat16" }).toFloat32Array(),
    );
    one.dispose();
  });
});

describe("for inference", () => {
  test.each(["float32", "bfloat16"] as const)(
    "in %s there is no master, and training is refused",
    (compute) => {
      const one = make(compute, false);
      expect(one.master).toBeUndefined();
      expect(one.value.dtype).toBe(compute);
      expect(one.float().dtype).toBe("float32");
      expect(() => {
        one.trainable = true;
      }).toThrowError(/loaded for inference/);
      one.trainable = false;
      one.dispose();
    },
  );
});

test("a frozen parameter gets no gradient", () => {
  const one = make("float32");
  one.trainable = false;
  expect(one.value.requiresGrad).toBe(false);
  one.dispose();
});

test.each(["float32", "bfloat16"] as const)(
  "dispose frees everything that a %s parameter holds",
  (compute) => {
    const before = liveTensors();
    const one = make(compute);
    pass(one, [1, 2, 3]);
    one.syncGradient();
    one.dispose();
    expect(liveTensors()).toBe(before);
  },
);
