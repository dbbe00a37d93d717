/** Fused attention over packed segments against masked softmax: values, gradients, and segments that make no sense. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { backward, noGrad } from "./autograd.ts";
import { MahaloError } from "./error.ts";
import * as ops from "./ops.generated.ts";
import { liveTensors, scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";
import {
  type Body,
  derivativeExcess,
  differentiate,
  normal,
  numericError,
  spread,
} from "./testing/compare.ts";

// Shapes: T tokens, H query heads, G key-value heads, E head width.

const FLOAT = { relative: 1e-5, absolute: 1e-5 };
/**
 * Of bfloat16 with scores and weights rounded to it as well (8 bits each): numbers here are about 1, their gradients up
 * to about 10.
 */
const BFLOAT = { relative: 0.04, absolute: 0.08 };

/** Rows of a prompt and its branches as segments: the first branch goes on from the prompt, others see it as prefix. */
const segmentsOf = (rows: readonly (readonly number[])[]): number[] => {
  let start = 0;
  return rows.flatMap(([prompt = 0, first = 0, ...others]) => {
    const row = start;
    start += prompt + first;
    const rest = others.flatMap((length) => {
      const from = start;
      start += length;
      return [from, length, row, prompt];
    });
    return [row, prompt + first, 0, 0, ...rest];
  });
};

const tokensOf = (rows: readonly (readonly number[])[]): number => rows.flat().reduce((a, b) => a + b, 0);

/** Additive mask [T, T] of segments: 0 where a query sees a key. */
const maskOf = (segments: readonly number[], tokens: number): Tensor => {
  const mask = new Float32Array(tokens * tokens).fill(Number.NEGATIVE_INFINITY);
  for (let i = 0; i < segments.length; i += 4) {
    const [start = 0, count = 0, prefixStart = 0, prefix = 0] = segments.slice(i, i + 4);
    for (let query = start; query < start + count; query += 1) {
      mask.fill(0, query * tokens + prefixStart, query * tokens + prefixStart + prefix);
      mask.fill(0, query * tokens + start, query * tokens + query + 1);
    }
  }
  return tensor(mask, { shape: [tokens, tokens] });
};

/** softmax(Q K^T / sqrt(E) + mask) V for each head, with operators of matrices alone. */
const plain =
  (segments: readonly number[]): Body =>
  (...inputs) => {
    const [q_THE, k_TGE, v_TGE] = inputs as [Tensor, Tensor, Tensor];
    const mask = maskOf(segments, q_THE.size(0));
    const share = q_THE.size(1) / k_TGE.size(1);
    const [k, v] = [k_TGE, v_TGE].map((x) => ops.repeatInterleave(x, share, 1).transpose(0, 1));
    const scores = ops.matmul(q_THE.transpose(0, 1), (k as Tensor).transpose(1, 2));
    const weights = scores
      .div(Math.sqrt(q_THE.size(2)))
      .add(mask)
      .softmax(-1);
    return [ops.matmul(weights, v as Tensor).transpose(0, 1)];
  };
const fused =
  (segments: readonly number[]): Body =>
  (...inputs) => {
    const [q_THE, k_TGE, v_TGE] = inputs as [Tensor, Tensor, Tensor];
    return [ops.branchAttention(q_THE, k_TGE, v_TGE, segments)];
  };

type Case = { rows: number[][]; groups: number; share: number; width: number; seed: number };
const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const cases: fc.Arbitrary<Case> = fc.record({
  rows: fc.array(fc.array(small(9), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  groups: small(3),
  share: small(3),
  width: small(17),
  seed: fc.integer({ min: 0, max: 1e6 }),
});
const inputsOf = ({ rows, groups, share, width, seed }: Case): [Tensor, Tensor, Tensor] => {
  const tokens = tokensOf(rows);
  return [
    normal(seed, [tokens, groups * share, width], 2),
    normal(seed + 1, [tokens, groups, width]),
    normal(seed + 2, [tokens, groups, width]),
  ];
};
const always = (check: (one: Case) => void, runs = 40): void =>
  fc.assert(
    fc.property(cases, (one) => scope(() => check(one))),
    { numRuns: runs },
  );

describe("attention over segments", () => {
  test("in float32 equals masked softmax, values and gradients", () => {
    always((one) => {
      const [segments, inputs] = [segmentsOf(one.rows), inputsOf(one)];
      const own = differentiate(fused(segments), inputs);
      expect(derivativeExcess(own, differentiate(plain(segments), inputs), FLOAT)).toBeLessThan(1);
    });
  });

  test("in bfloat16 equals the float32 operators up to the rounding of scores and weights", () => {
    always((one) => {
      const [segments, inputs] = [segmentsOf(one.rows), inputsOf(one)];
      const own = differentiate(fused(segments), inputs, { dtype: "bfloat16" });
      const exact = differentiate(plain(segments), inputs, { rounded: "bfloat16" });
      expect(derivativeExcess(own, exact, BFLOAT)).toBeLessThan(1);
    });
  });

  test("takes inputs that are not contiguous", () => {
    always((one) => {
      const [attend, inputs] = [fused(segmentsOf(one.rows)), inputsOf(one)];
      expect(differentiate((...all) => attend(...all.map(spread)), inputs)).toEqual(
        differentiate(attend, inputs),
      );
    }, 20);
  });

  test("gives the gradient of each input alone, and the same values without any", () => {
    always((one) => {
      const [attend, inputs] = [fused(segmentsOf(one.rows)), inputsOf(one)];
      const all = differentiate(attend, inputs);
      for (let i = 0; i <= inputs.length; i += 1) {
        const wanted = inputs.map((_, j) => i === j);
        const gradients = all.gradients.map((gradient, j) => (i === j ? gradient : null));
        expect(differentiate(attend, inputs, { wanted })).toEqual({ ...all, gradients });
      }
      expect(noGrad(() => attend(...inputs).map((o) => o.toFloat32Array()))).toEqual(all.outputs);
    }, 20);
  });

  test("has the gradient that differences of its values show", () => {
    const one = { rows: [[2, 1, 2], [1]], groups: 1, share: 2, width: 3, seed: 5 };
    expect(numericError(fused(segmentsOf(one.rows)), inputsOf(one), 2 ** -5)).toBeLessThan(2e-3);
  });

  test("a token that sees itself alone gives its own value", () => {
    const [q, k, v] = inputsOf({ rows: [[1], [1]], groups: 2, share: 1, width: 5, seed: 3 });
    const alone = ops.branchAttention(q, k, v, segmentsOf([[1], [1]]));
    expect(alone.toFloat32Array()).toEqual(v.toFloat32Array());
  });

  test("large scores neither overflow nor turn into NaN", () => {
    const one = { rows: [[3, 2, 2]], groups: 1, share: 2, width: 4, seed: 3 };
    const segments = segmentsOf(one.rows);
    const [q, k, v] = inputsOf(one);
    const inputs = [q.mul(1e4), k.mul(1e4), v];
    const own = differentiate(fused(segments), inputs, { wanted: [false, false, true] });
    const exact = differentiate(plain(segments), inputs, { wanted: [false, false, true] });
    expect(derivativeExcess(own, exact, FLOAT)).toBeLessThan(1);
  });

  test("frees what it kept for the way back", () => {
    const one = { rows: [[3, 2, 2]], groups: 1, share: 2, width: 4, seed: 3 };
    const inputs = inputsOf(one);
    const before = liveTensors();
    differentiate(fused(segmentsOf(one.rows)), inputs);
    expect(liveTensors()).toBe(before);
  });

  test.each([
    ["tokens", 0, 2, 3, []],
    ["query heads", 4, 0, 3, [0, 4, 0, 0]],
    ["width", 4, 2, 0, [0, 4, 0, 0]],
  ])("no %s give an empty result and no gradient", (_, tokens, heads, width, segments) => {
    const [q, k, v] = [heads, 1, 1].map((count) => ops.zeros([tokens, count, width])) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    for (const x of [q, k, v]) x.requiresGrad = true;
    const o = ops.branchAttention(q, k, v, segments);
    expect(o.shape).toEqual([tokens, heads, width]);
    backward(o.sum());
    expect(
      [q, k, v].flatMap((x) => [...(x.grad?.toFloat32Array() ?? [Number.NaN])]).every((g) => g === 0),
    ).toBe(true);
  });
});

describe("calls that make no sense are errors", () => {
  const x = (...shape: number[]): Tensor => ops.ones(shape);
  const over = (...segments: number[]): unknown =>
    ops.branchAttention(x(5, 4, 6), x(5, 2, 6), x(5, 2, 6), segments);
  const all = [0, 5, 0, 0];
  test.each<[string, RegExp, () => unknown]>([
    ["segments that are no quadruples", /quadruples/, () => over(0, 5, 0)],
    ["a segment behind the end", /outside of 5 tokens/, () => over(0, 6, 0, 0)],
    ["a segment before the beginning", /outside/, () => over(-1, 6, 0, 0)],
    ["a segment of no tokens", /outside/, () => over(...all, 5, 0, 0, 0)],
    ["a segment far away", /outside/, () => over(2 ** 52, 2 ** 53, 0, 0)],
    ["a prefix behind the end", /outside/, () => over(0, 3, 0, 0, 3, 2, 0, 6)],
    ["a prefix of less than nothing", /outside/, () => over(0, 3, 0, 0, 3, 2, 0, -1)],
    ["no segments over some tokens", /cover 0 of 5/, () => over()],
    ["segments that leave out the last tokens", /cover 3 of 5/, () => over(0, 3, 0, 0)],
    ["segments that leave out the first tokens", /starts at 2/, () => over(2, 3, 0, 0)],
    ["tokens in two segments", /starts at 0/, () => over(...all, ...all)],
    ["a prefix inside its own segment", /does not lie before/, () => over(0, 5, 0, 5)],
    ["a prefix that is still to come", /does not lie before/, () => over(0, 2, 2, 3, 2, 3, 0, 0)],
    ["no key-value head", /G dividing H/, () => ops.branchAttention(x(5, 4, 6), x(5, 0, 6), x(5, 0, 6), all)],
    [
      "heads in no whole groups",
      /G dividing H/,
      () => ops.branchAttention(x(5, 3, 6), x(5, 2, 6), x(5, 2, 6), all),
    ],
    [
      "keys of another width",
      /are needed/,
      () => ops.branchAttention(x(5, 2, 6), x(5, 2, 4), x(5, 2, 4), all),
    ],
    [
      "values of other tokens",
      /are needed/,
      () => ops.branchAttention(x(5, 2, 6), x(5, 2, 6), x(4, 2, 6), all),
    ],
    ["no heads at all", /are needed/, () => ops.branchAttention(x(5, 6), x(5, 6), x(5, 6), all)],
    [
      "float64",
      /float32 or bfloat16/,
      () => {
        const [q, k, v] = [4, 2, 2].map((count) => x(5, count, 6).to("float64")) as [Tensor, Tensor, Tensor];
        return ops.branchAttention(q, k, v, all);
      },
    ],
    [
      "keys of another dtype",
      /the same for all/,
      () => ops.branchAttention(x(5, 4, 6), x(5, 2, 6).to("bfloat16"), x(5, 2, 6), all),
    ],
  ])("%s", (_, says, call) => {
    expect(call).toThrow(MahaloError);
    expect(call).toThrow(says);
  });
});
