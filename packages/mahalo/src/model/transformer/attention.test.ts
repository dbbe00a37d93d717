/** Packed attention, fused and composed, equals attention under the dense mask of the whole batch. */
import { backward, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Body, derivativeExcess, differentiate, normal } from "../../../../torch/src/testing/compare.ts";
import type { PackedBatch } from "../../data/tokens/packing.ts";
import { denseMask, maskedAttention } from "../testing/dense-attention.ts";
import { packed } from "../testing/tiny.ts";
import { type Attend, packedAttention } from "./attention.ts";

// Shapes: T tokens, H query heads, G key-value heads, E head width.

const FLOAT = { relative: 1e-5, absolute: 1e-5 };
/** bfloat16 has 8 bits; scores and weights are rounded to them too. Outputs are about 1, gradients up to about 10. */
const BFLOAT = { relative: 0.04, absolute: 0.08 };

type Case = { lengths: number[][]; groups: number; share: number; width: number; seed: number };

const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
/** Rows of a prompt's length and its completions' lengths. */
const casesOf = (completions: { minLength: number; maxLength: number }): fc.Arbitrary<Case> =>
  fc.record({
    lengths: fc.array(
      fc.tuple(small(8), fc.array(small(6), completions)).map(([prompt, rest]) => [prompt, ...rest]),
      { minLength: 1, maxLength: 3 },
    ),
    groups: small(3),
    share: small(3),
    width: small(12),
    seed: fc.integer({ min: 0, max: 1e6 }),
  });

/** Rows without a completion, as decoding has them; packRows makes none. */
const promptsAlone = (lengths: readonly number[]): PackedBatch => {
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((a, b) => a + b, 0));
  const positions = Int32Array.from(lengths.flatMap((length) => Array.from({ length }, (_, i) => i)));
  const rows = lengths.map((prompt, i) => ({ start: starts[i] ?? 0, prompt, completions: [] }));
  return { ids: positions, positions, rows };
};

const batchOf = (lengths: readonly (readonly number[])[]): PackedBatch => {
  const ids = (length = 0): number[] => Array.from({ length }, (_, i) => i);
  if (lengths.every((row) => row.length === 1)) return promptsAlone(lengths.flat());
  return packed(
    lengths.map(([prompt, ...completions]) => ({
      prompt: ids(prompt),
      completions: completions.map((completion) => ids(completion)),
    })),
  );
};

const inputsOf = (tokens: number, { groups, share, width, seed }: Omit<Case, "lengths">): Tensor[] => [
  normal(seed, [tokens, groups * share, width], 2),
  normal(seed + 1, [tokens, groups, width]),
  normal(seed + 2, [tokens, groups, width]),
];

const body =
  (attend: Attend): Body =>
  (...inputs) => {
    const [q_THE, k_TGE, v_TGE] = inputs as [Tensor, Tensor, Tensor];
    return [attend(0, q_THE, k_TGE, v_TGE)];
  };

const packings = [
  ["prompts only", { minLength: 0, maxLength: 0 }],
  ["one completion a prompt", { minLength: 1, maxLength: 1 }],
  ["many completions", { minLength: 1, maxLength: 4 }],
] as const;

describe.each([
  ["fused", true],
  ["composed", false],
] as const)("%s packed attention", (_, fused) => {
  describe.each(packings)("of %s", (_name, completions) => {
    test("equals the dense mask, values and gradients", () => {
      fc.assert(
        fc.property(casesOf(completions), (one) =>
          scope(() => {
            const batch = batchOf(one.lengths);
            const inputs = inputsOf(batch.ids.length, one);
            const own = differentiate(body(packedAttention(batch, { fused })), inputs);
            const dense = differentiate(body(maskedAttention(denseMask(batch))), inputs);
            expect(derivativeExcess(own, dense, FLOAT)).toBeLessThan(1);
          }),
        ),
        { numRuns: 25 },
      );
    });

    test("in bfloat16 equals the dense mask in float32 up to rounding", () => {
      fc.assert(
        fc.property(casesOf(completions), (one) =>
          scope(() => {
            const batch = batchOf(one.lengths);
            const inputs = inputsOf(batch.ids.length, one);
            const attend = packedAttention(batch, { fused });
            const own = differentiate(body(attend), inputs, { dtype: "bfloat16" });
            const dense = body(maskedAttention(denseMask(batch)));
            const exact = differentiate(dense, inputs, { rounded: "bfloat16" });
            expect(derivativeExcess(own, exact, BFLOAT)).toBeLessThan(1);
          }),
        ),
        { numRuns: 25 },
      );
    });
  });

  test("serves every layer of a pass, also when each layer's memory is freed after it", () => {
    const batch = batchOf([[3, 2, 4, 2]]);
    const [q, k, v] = inputsOf(batch.ids.length, { groups: 2, share: 2, width: 4, seed: 1 });
    if (q === undefined || k === undefined || v === undefined) throw new Error("three inputs");
    const attend = packedAttention(batch, { fused });
    const layer = (i: number): Float32Array => scope(() => attend(i, q, k, v).toFloat32Array());
    expect(layer(1)).toEqual(layer(0));
  });
});

test("the dense mask shows a token its prompt, what came before it in its completion, and itself", () => {
  fc.assert(
    fc.property(casesOf({ minLength: 1, maxLength: 3 }), ({ lengths }) => {
      const batch = batchOf(lengths);
      // Of every token: its row, its part of the row (0 the prompt), and its place in the batch.
      const tokens = lengths.flatMap((parts, row) =>
        parts.flatMap((length, part) => Array.from({ length }, () => ({ row, part }))),
      );
      const expected = tokens.flatMap((query, i) =>
        tokens.map((key, j) =>
          Number(query.row === key.row && j <= i && (key.part === 0 || key.part === query.part)),
        ),
      );
      expect([...denseMask(batch).toTypedArray()]).toEqual(expected);
    }),
    { numRuns: 40 },
  );
});

test("a completion answers as if it were the only one", () => {
  const batch = batchOf([[4, 3, 2, 3]]);
  const inputs = inputsOf(batch.ids.length, { groups: 2, share: 2, width: 4, seed: 5 });
  const [row] = batch.rows;
  for (const completion of row?.completions ?? []) {
    // The prompt's tokens and the completion's.
    const part = (x: Tensor): Tensor =>
      ops.cat([x.narrow(0, 0, 4), x.narrow(0, completion.start, completion.length)], 0);
    const whole = body(packedAttention(batch))(...inputs)[0];
    const own = body(packedAttention(batchOf([[4, completion.length]])))(...inputs.map(part))[0];
    expect(own?.narrow(0, 4, completion.length).toFloat32Array()).toEqual(
      whole?.narrow(0, completion.start, completion.length).toFloat32Array(),
    );
  }
  expect(row?.completions).toHaveLength(3);
});

describe("segments whose weights would be too large to keep", () => {
  const long = batchOf([[2000, 60, 5]]);
  const inputs = inputsOf(long.ids.length, { groups: 1, share: 2, width: 2, seed: 3 });

  test("go through libtorch's attention unless the kernel is asked for, with the same values", () => {
    const [chosen, plain, fused] = [{}, { fused: false }, { fused: true }].map((options) =>
      noGrad(() => scope(() => body(packedAttention(long, options))(...inputs)[0]?.toFloat32Array())),
    );
    expect(chosen).toEqual(plain);
    expect(chosen).not.toEqual(fused);
    const gap = derivativeExcess(
      { outputs: [chosen ?? new Float32Array()], gradients: [] },
      { outputs: [fused ?? new Float32Array()], gradients: [] },
      FLOAT,
    );
    expect(gap).toBeLessThan(1);
  });
});

test("gradients of a prompt add up over its completions", () => {
  // Two equal completions of a prompt give its keys and values twice the gradient of one, but for the prompt's own queries.
  const one = batchOf([[3, 2]]);
  const two = batchOf([[3, 2, 2]]);
  const inputs = inputsOf(5, { groups: 1, share: 1, width: 4, seed: 9 });
  const twice = inputs.map((x) => ops.cat([x, x.narrow(0, 3, 2)], 0));
  const slope = (batch: PackedBatch, all: readonly Tensor[]): (Float32Array | undefined)[] =>
    scope(() => {
      const leaves = all.map((x) => x.clone());
      for (const leaf of leaves) leaf.requiresGrad = true;
      const o = body(packedAttention(batch))(...leaves)[0];
      // Of the completions' outputs alone.
      if (o !== undefined) backward(o.narrow(0, 3, o.size(0) - 3).sum());
      return leaves.map((leaf) => leaf.grad?.narrow(0, 0, 3).toFloat32Array());
    });
  const [, keys, values] = slope(two, twice);
  const [, key, value] = slope(one, inputs);
  const double = (x?: Float32Array): Float32Array => (x ?? new Float32Array()).map((g) => 2 * g);
  const gap = derivativeExcess(
    { outputs: [keys ?? new Float32Array(1), values ?? new Float32Array(1)], gradients: [] },
    { outputs: [double(key), double(value)], gradients: [] },
    FLOAT,
  );
  expect(gap).toBeLessThan(1);
});
