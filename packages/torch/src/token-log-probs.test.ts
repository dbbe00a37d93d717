/** Log-probabilities of targets and their gradient in place of the logits, against log-softmax and autograd. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backward, noGrad } from "./autograd.ts";
import { MahaloError } from "./error.ts";
import type { DType } from "./native.ts";
import * as ops from "./ops.generated.ts";
import { getThreads, setThreads } from "./runtime.ts";
import { scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";
import { excess, normal } from "./testing/compare.ts";

// Shapes: N rows, V vocabulary.

const FLOAT = { relative: 1e-5, absolute: 1e-5 };
/** Gradients are computed in float32 and rounded once into bfloat16 logits. */
const ROUNDED = { relative: 2 ** -8 + 1e-5, absolute: 1e-5 };

const words = (...numbers: number[]): Tensor => tensor(numbers, { dtype: "int64" });

/** What both ways compute: log-probabilities, normalisers, and d(sum slope logp)/d(logits). */
type Result = { logps: Float32Array; norms: Float32Array; delta: Float32Array };

const fused = (logits_NV: Tensor, targets_N: Tensor, slopes_N: Tensor): Result =>
  scope(() => {
    const own = logits_NV.clone();
    const [logps_N, norm_N] = ops.tokenLogProbs(own, targets_N);
    const kept = own.toFloat32Array();
    expect(kept).toEqual(logits_NV.toFloat32Array());
    const delta = ops.tokenLogProbsDelta_(own, norm_N, targets_N, slopes_N);
    expect([delta.storageId, delta.dtype]).toEqual([own.storageId, logits_NV.dtype]);
    return {
      logps: logps_N.toFloat32Array(),
      norms: norm_N.toFloat32Array(),
      delta: delta.toFloat32Array(),
    };
  });

const plain = (logits_NV: Tensor, targets_N: Tensor, slopes_N: Tensor): Result =>
  scope(() => {
    const leaf = logits_NV.to("float32").clone();
    leaf.requiresGrad = true;
    const logps_N = ops.gather(leaf.logSoftmax(-1), 1, targets_N.unsqueeze(1)).squeeze(1);
    backward(logps_N, slopes_N);
    return {
      logps: logps_N.toFloat32Array(),
      norms: ops.logsumexp(leaf, [-1]).toFloat32Array(),
      delta: leaf.grad?.toFloat32Array() ?? new Float32Array(),
    };
  });

const cases = fc
  .tuple(
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 1, max: 300 }),
    fc.constantFrom(0.1, 3, 30),
    fc.integer({ min: 0, max: 1e6 }),
  )
  .map(([rows, width, scale, seed]) => ({ rows, width, scale, seed }));

const inputsOf = (
  { rows, width, scale, seed }: { rows: number; width: number; scale: number; seed: number },
  dtype: DType,
): [Tensor, Tensor, Tensor] => [
  normal(seed, [rows, width], scale).to(dtype),
  words(...Array.from({ length: rows }, (_, i) => (seed + 7 * i) % width)),
  normal(seed + 1, [rows]),
];

describe.each([
  ["float32", FLOAT],
  ["bfloat16", ROUNDED],
] as const)("in %s", (dtype, allowed) => {
  test("values are those of log-softmax in float32, and the gradient is autograd's", () => {
    fc.assert(
      fc.property(cases, (one) =>
        scope(() => {
          const inputs = inputsOf(one, dtype);
          const [own, theirs] = [fused(...inputs), plain(...inputs)];
          expect(excess(own.logps, theirs.logps, FLOAT)).toBeLessThan(1);
          expect(excess(own.norms, theirs.norms, FLOAT)).toBeLessThan(1);
          expect(excess(own.delta, theirs.delta, allowed)).toBeLessThan(1);
        }),
      ),
      { numRuns: 60 },
    );
  });

  test("nothing depends on the number of threads", () => {
    const inputs = inputsOf({ rows: 5, width: 257, scale: 3, seed: 1 }, dtype);
    const threads = getThreads();
    const one = fused(...inputs);
    setThreads(threads + 1);
    try {
      expect(fused(...inputs)).toEqual(one);
    } finally {
      setThreads(threads);
    }
  });

  test("a vocabulary of one is certain, and has no gradient", () => {
    const { logps, delta } = fused(tensor([3, -5], { shape: [2, 1], dtype }), words(0, 0), tensor([2, -1]));
    expect([...logps, ...delta].map(Math.abs)).toEqual([0, 0, 0, 0]);
  });
});

test("logits far apart neither overflow nor turn into NaN, and a barred token has no probability", () => {
  const logits = tensor([1e30, -1e30, 0, Number.NEGATIVE_INFINITY, 0, 0], { shape: [2, 3] });
  const slopes = tensor([1, 1]);
  const [own, theirs] = [fused(logits, words(1, 0), slopes), plain(logits, words(1, 0), slopes)];
  expect(own.logps).toEqual(theirs.logps);
  expect([...own.logps]).toEqual([-2e30, Number.NEGATIVE_INFINITY].map(Math.fround));
  expect(excess(own.delta, theirs.delta, FLOAT)).toBeLessThan(1);
  const { logps, delta } = fused(logits, words(0, 1), slopes);
  expect([...logps].map((logp) => Math.abs(logp))).toEqual([0, Math.fround(Math.LN2)]);
  expect(delta[3]).toBe(-0);
});

test("NaN among the logits reaches the result", () => {
  const logits = tensor([0, Number.NaN, 1], { shape: [1, 3] });
  expect([...fused(logits, words(0), tensor([1])).logps]).toEqual([Number.NaN]);
});

test("no rows give no log-probabilities", () => {
  const { logps, norms, delta } = fused(ops.zeros([0, 5]), words(), tensor([]));
  expect([logps.length, norms.length, delta.length]).toEqual([0, 0, 0]);
});

describe("under autograd", () => {
  const leaf = (): Tensor => tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3], requiresGrad: true });
  const [targets, slopes] = [words(0, 1), tensor([1, 1])];

  test("logits that require a gradient are refused, for none would reach them", () => {
    expect(() => ops.tokenLogProbs(leaf(), targets)).toThrow(/require a gradient/);
    expect(() => ops.tokenLogProbs(leaf().mul(2), targets)).toThrow(MahaloError);
    const x = leaf();
    expect(() => ops.tokenLogProbsDelta_(x.mul(2), slopes, targets, slopes)).toThrow(/require a gradient/);
    expect(() => ops.tokenLogProbsDelta_(x, slopes, targets, slopes)).toThrow(/require a gradient/);
    expect([...x.detach().toFloat32Array()]).toEqual([1, 2, 3, 4, 5, 6]);
    const [logps, norms] = noGrad(() => ops.tokenLogProbs(leaf(), targets));
    expect([logps.requiresGrad, norms.requiresGrad]).toEqual([false, false]);
    expect(logps.toFloat32Array()).toEqual(ops.tokenLogProbs(leaf().detach(), targets)[0].toFloat32Array());
  });

  test("logits that backward still needs may not be overwritten unnoticed", () => {
    const saved = ops.exp(leaf());
    const loss = saved.sum();
    ops.tokenLogProbsDelta_(saved.detach(), slopes, targets, slopes);
    expect(() => backward(loss)).toThrow(/modified by an inplace operation/);
  });
});

describe("calls that make no sense are errors", () => {
  const ones = (...shape: number[]): Tensor => ops.ones(shape);
  const delta = (logits: Tensor, norms: Tensor, targets: Tensor, slopes: Tensor): unknown =>
    ops.tokenLogProbsDelta_(logits, norms, targets, slopes);
  test.each<[string, RegExp, () => unknown]>([
    [
      "a target behind the vocabulary",
      /outside the vocabulary/,
      () => ops.tokenLogProbs(ones(2, 3), words(0, 3)),
    ],
    ["a target below 0", /outside the vocabulary/, () => ops.tokenLogProbs(ones(2, 3), words(-1, 0))],
    ["no vocabulary", /outside the vocabulary/, () => ops.tokenLogProbs(ones(1, 0), words(0))],
    ["fewer targets than rows", /int64 targets \[N\]/, () => ops.tokenLogProbs(ones(2, 3), words(0))],
    [
      "targets in two dimensions",
      /int64 targets/,
      () => ops.tokenLogProbs(ones(2, 3), words(0, 1).view(2, 1)),
    ],
    ["targets that are no int64", /int64 targets/, () => ops.tokenLogProbs(ones(2, 3), tensor([0, 1]))],
    ["one row without its dimension", /\[N, V\]/, () => ops.tokenLogProbs(ones(3), words(0))],
    ["logits that are not contiguous", /contiguous/, () => ops.tokenLogProbs(ones(3, 2).t(), words(0, 1))],
    ["float64", /float32 or bfloat16/, () => ops.tokenLogProbs(ones(1, 3).to("float64"), words(0))],
    ["a target outside, on the way back", /outside/, () => delta(ones(1, 3), ones(1), words(3), ones(1))],
    ["too few normalisers", /normalisers and slopes/, () => delta(ones(2, 3), ones(1), words(0, 1), ones(2))],
    ["too few slopes", /normalisers and slopes/, () => delta(ones(2, 3), ones(2), words(0, 1), ones(1))],
    [
      "slopes in bfloat16",
      /float32 normalisers/,
      () => delta(ones(1, 3), ones(1), words(0), ones(1).to("bfloat16")),
    ],
    [
      "part of a wider matrix",
      /contiguous/,
      () => delta(ones(2, 6).narrow(1, 0, 3), ones(2), words(0, 1), ones(2)),
    ],
  ])("%s", (_, says, call) => {
    expect(call).toThrow(MahaloError);
    expect(call).toThrow(says);
  });
});
