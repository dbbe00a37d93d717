/** The head's pass without autograd: log-probabilities and both gradients are those of log-softmax under autograd. */
import { backward, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { normal } from "../core/testing/normal.ts";
import { distance } from "../model/testing/tiny.ts";
import { type ComputeDType, type Parameter, parameter } from "../model/transformer/parameters.ts";
import { type HeadPassOptions, headPass } from "./head-pass.ts";
import { relativeToLargest } from "./testing/compare.ts";

// Shapes: N response positions, D hidden, V vocabulary.

/** Hidden states, targets and gradients of N positions, and the head's weights. */
type Case = {
  positions: number;
  width: number;
  words: number;
  hidden: Float32Array;
  weights: Float32Array;
  targets: Int32Array;
  gradients: Float32Array;
};
type Sizes = { positions: number; width: number; words: number; seed: number };

const makeCase = ({ positions, width, words, seed }: Sizes): Case => {
  const random = rng(seed, "head-pass");
  const normals = (length: number) => Float32Array.from({ length }, () => normal(random));
  return {
    positions,
    width,
    words,
    hidden: normals(positions * width),
    // Logits of deviation 1.
    weights: normals(words * width).map((weight) => weight / Math.sqrt(width)),
    targets: Int32Array.from({ length: positions }, () => random.integer(words)),
    gradients: normals(positions),
  };
};

const sizes = fc.record({
  positions: fc.integer({ min: 1, max: 12 }),
  width: fc.integer({ min: 1, max: 20 }),
  words: fc.integer({ min: 2, max: 70 }),
  seed: fc.integer({ min: 0, max: 1e6 }),
});

type Result = { logps: Float32Array; head: Float32Array; hidden: Float32Array };

const weightOf = ({ weights, words, width }: Case, compute: ComputeDType): Parameter =>
  parameter("head", tensor(weights, { shape: [words, width] }), { compute, training: true });

const hiddenOf = ({ hidden, positions, width }: Case, compute: ComputeDType): Tensor =>
  tensor(hidden, { shape: [positions, width] }).to(compute);

const gradientOf = (head: Parameter): Float32Array => head.gradient?.toFloat32Array() ?? new Float32Array();

/** The pass under test. */
const pass = (
  one: Case,
  options: HeadPassOptions = {},
  compute: ComputeDType = "float32",
  gradients: Float32Array = one.gradients,
): Result =>
  scope(() => {
    const head = weightOf(one, compute);
    const { logps, backward: back } = headPass(hiddenOf(one, compute), head, one.targets, options);
    const gradient_ND = back(gradients);
    expect(gradient_ND.shape).toEqual([one.positions, one.width]);
    expect(head.gradient?.dtype).toBe("float32");
    return { logps, head: gradientOf(head), hidden: gradient_ND.toFloat32Array() };
  });

/** The same by autograd, in float32 over the weights and hidden states as the compute dtype holds them. */
const plain = (one: Case, compute: ComputeDType = "float32"): Result =>
  scope(() => {
    const leaf = (values: Tensor): Tensor => {
      const copy = values.detach().to("float32").clone();
      copy.requiresGrad = true;
      return copy;
    };
    const weight_VD = leaf(weightOf(one, compute).value);
    const hidden_ND = leaf(hiddenOf(one, compute));
    const target_N1 = tensor(one.targets, { dtype: "int64" }).unsqueeze(1);
    const logps_N = ops.gather(ops.linear(hidden_ND, weight_VD).logSoftmax(-1), 1, target_N1).squeeze(1);
    backward(logps_N, tensor(one.gradients));
    return {
      logps: logps_N.toFloat32Array(),
      head: weight_VD.grad?.toFloat32Array() ?? new Float32Array(),
      hidden: hidden_ND.grad?.toFloat32Array() ?? new Float32Array(),
    };
  });

const expectClose = (found: Result, wanted: Result, tolerance: number): void => {
  for (const name of ["logps", "head", "hidden"] as const) {
    expect(relativeToLargest(found[name], wanted[name]), name).toBeLessThan(tolerance);
  }
};

/** Relative rounding of bfloat16, which keeps 8 bits. */
const BF16 = 2 ** -8;

describe.each([true, false])("the head's pass, fused: %s", (fused) => {
  test("gives autograd's log-probabilities and gradients of head and hidden states, to 1e-5", () => {
    fc.assert(
      fc.property(sizes, (size) => {
        const one = makeCase(size);
        // A word that is all but certain has a gradient of cancelled numbers; its size is that of the gradients.
        fc.pre(Math.max(...plain(one).hidden.map(Math.abs)) > 1e-2);
        fc.pre(Math.max(...plain(one).head.map(Math.abs)) > 1e-2);
        expectClose(pass(one, { fused }), plain(one), 1e-5);
      }),
      { numRuns: 40 },
    );
  });

  test("gives the same whatever the chunk", () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 13 }), (size, chunk) => {
        const one = makeCase(size);
        const [found, wanted] = [pass(one, { fused, chunk }), pass(one, { fused })];
        for (const name of ["logps", "head", "hidden"] as const) {
          expect(distance(found[name], wanted[name]), name).toBeLessThan(2e-5);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("in bfloat16 is off by the rounding of logits and gradients only", () => {
    for (const seed of [1, 2, 3, 4]) {
      const one = makeCase({ positions: 40, width: 64, words: 200, seed });
      const found = pass(one, { fused, chunk: 16 }, "bfloat16");
      const wanted = plain(one, "bfloat16");
      expectClose(found, wanted, 4 * BF16);
      expect(found).not.toEqual(wanted);
    }
  });

  test("adds to the head's gradient what each call brings", () => {
    const one = makeCase({ positions: 7, width: 6, words: 30, seed: 5 });
    const [whole, first] = [pass(one, { fused }), 3];
    scope(() => {
      const head = weightOf(one, "float32");
      const hidden_ND = hiddenOf(one, "float32");
      for (const [from, to] of [
        [0, first],
        [first, 7],
      ] as const) {
        const rows = hidden_ND.narrow(0, from, to - from);
        headPass(rows, head, one.targets.subarray(from, to), { fused }).backward(
          one.gradients.subarray(from, to),
        );
      }
      expect(relativeToLargest(gradientOf(head), whole.head)).toBeLessThan(1e-6);
    });
  });

  test("with gradients of zero gives gradients of exactly zero", () => {
    const one = makeCase({ positions: 7, width: 6, words: 30, seed: 5 });
    const { head, hidden } = pass(one, { fused }, "float32", new Float32Array(7));
    expect([...head, ...hidden].every((value) => value === 0)).toBe(true);
  });

  test("keeps numbers finite where one word takes all the probability", () => {
    const one = makeCase({ positions: 5, width: 4, words: 9, seed: 6 });
    const far = { ...one, weights: one.weights.map((weight) => weight * 1e4) };
    const { logps, head, hidden } = pass(far, { fused });
    expect([...logps, ...head, ...hidden].every(Number.isFinite)).toBe(true);
    expect(Math.min(...logps)).toBeLessThan(-100);
    expect(Math.max(...logps)).toBeLessThanOrEqual(0);
  });
});

test("the fused and the composed pass agree, in float32 to 1e-6 and in bfloat16 to its rounding", () => {
  for (const seed of [1, 2, 3, 4]) {
    const one = makeCase({ positions: 33, width: 48, words: 300, seed });
    for (const [compute, tolerance] of [
      ["float32", 1e-6],
      ["bfloat16", BF16],
    ] as const) {
      expectClose(
        pass(one, { fused: true, chunk: 8 }, compute),
        pass(one, { fused: false, chunk: 8 }, compute),
        tolerance,
      );
    }
  }
});

test("autograd sees nothing of it: neither head nor hidden states need to be recorded", () => {
  scope(() => {
    const one = makeCase({ positions: 3, width: 4, words: 9, seed: 7 });
    const head = weightOf(one, "float32");
    head.trainable = true;
    const result = headPass(hiddenOf(one, "float32"), head, one.targets).backward(one.gradients);
    expect(result.requiresGrad).toBe(false);
    expect(head.gradient?.requiresGrad).toBe(false);
  });
});
