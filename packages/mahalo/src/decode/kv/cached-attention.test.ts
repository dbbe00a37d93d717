/** The native kernel over pages against gathered pages and libtorch's attention: values, what is stored, and refusals. */
import { liveTensors, MahaloError, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { cachedAttention } from "./cached-attention.ts";
import { KvCache, type KvRow, type KvSpan } from "./kv-cache.ts";
import { PAGE_POSITIONS } from "./kv-pages.ts";

// Shapes: T tokens, H query heads, G key-value heads, E head width.

const layers = 2;
const random = (size: readonly number[], seed: number): Tensor => {
  const generator = rng(seed, "attention");
  const count = size.reduce((product, one) => product * one, 1);
  return tensor(
    Float32Array.from({ length: count }, () => 4 * generator.next() - 2),
    { shape: size },
  );
};

type Case = { kvHeads: number; share: number; headDim: number; held: number[]; lengths: number[] };

const cases: fc.Arbitrary<Case> = fc
  .record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    share: fc.integer({ min: 1, max: 5 }),
    headDim: fc.constantFrom(2, 8, 16, 24, 64, 80),
    rows: fc.array(
      fc.record({
        held: fc.oneof(fc.nat(130), fc.constantFrom(0, 1, 31, 32, 33, 64)),
        length: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  })
  .map(({ rows, ...rest }) => ({
    ...rest,
    // Rows that begin come first in a pass.
    held: rows.map(({ held }) => held).sort((a, b) => Number(a > 0) - Number(b > 0)),
    lengths: rows.map(({ length }) => length),
  }));

/** Outputs of two layers, and all that the rows hold afterwards, with the kernel or without. */
const run = (one: Case, dtype: "float32" | "bfloat16", fused: boolean): number[][] => {
  const { kvHeads, share, headDim, held, lengths } = one;
  const cache = new KvCache({ layers, kvHeads, headDim, dtype, device: "cpu" });
  const values = scope(() => {
    const rows: KvRow[] = held.map((count, index) => {
      // Every second row goes on from a fork, so that pages are shared and copied.
      const first = cache.open();
      if (count > 0) {
        cache.prepare([{ row: first, length: count }]);
        for (let layer = 0; layer < layers; layer++) {
          const state = random([count, kvHeads, headDim], index + 10 * layer).to(dtype);
          cache.write(layer, first, state, state.mul(-1));
        }
        cache.advance(first, count);
      }
      return index % 2 === 0 ? first : cache.fork(first);
    });
    let start = 0;
    const spans = rows.map((row, index): KvSpan => {
      const length = lengths[index] ?? 1;
      start += length;
      return { row, start: start - length, length };
    });
    cache.prepare(spans);
    const attend = cachedAttention(cache, spans, { fused });
    const outputs = Array.from({ length: layers }, (_, layer) => {
      const q = random([start, kvHeads * share, headDim], 100 + layer).to(dtype);
      const [k, v] = [200, 300].map((seed) => random([start, kvHeads, headDim], seed + layer).to(dtype));
      if (k === undefined || v === undefined) throw new Error("no states");
      return [...attend(layer, q, k, v).toFloat32Array()];
    });
    for (const { row, length } of spans) cache.advance(row, length);
    const kept = rows.flatMap((row) =>
      [0, 1].flatMap((layer) => {
        const { k, v } = cache.read(layer, row, row.length);
        return [[...k.toFloat32Array()], [...v.toFloat32Array()]];
      }),
    );
    return [...outputs, ...kept];
  });
  cache.dispose();
  return values;
};

const furthest = (a: readonly number[], b: readonly number[]): number => {
  expect(a.length).toBe(b.length);
  return a.reduce((most, one, at) => Math.max(most, Math.abs(one - (b[at] ?? Number.NaN))), 0);
};

test.each([
  ["float32", 2e-5],
  ["bfloat16", 0.03],
] as const)("in %s pages attend as gathered rows do, and hold the same", (dtype, tolerance) => {
  fc.assert(
    fc.property(cases, (one) => {
      const [fast, plain] = [run(one, dtype, true), run(one, dtype, false)];
      for (const [index, values] of plain.entries()) {
        const gap = furthest(fast[index] ?? [], values);
        if (index < layers) expect(gap).toBeLessThan(tolerance);
        else expect(gap).toBe(0);
      }
    }),
    { numRuns: 40 },
  );
});

test("a row's output does not depend on its company", () => {
  const { kvHeads, share, headDim } = { kvHeads: 2, share: 3, headDim: 16 };
  const outputs = (company: readonly number[]): number[] => {
    const cache = new KvCache({ layers, kvHeads, headDim, dtype: "float32", device: "cpu" });
    const all = scope(() => {
      const rows = [50, ...company].map((count, index) => {
        const row = cache.open();
        cache.prepare([{ row, length: count }]);
        const state = random([count, kvHeads, headDim], index);
        cache.write(0, row, state, state);
        cache.advance(row, count);
        return row;
      });
      const spans = rows.map((row, start): KvSpan => ({ row, start, length: 1 }));
      cache.prepare(spans);
      const like = (heads: number) => random([rows.length, heads, headDim], 7);
      return [
        ...cachedAttention(cache, spans)(
          0,
          like(kvHeads * share),
          like(kvHeads),
          like(kvHeads),
        ).toFloat32Array(),
      ];
    });
    cache.dispose();
    return all.slice(0, kvHeads * share * headDim);
  };
  expect(outputs([3, 200, 31])).toEqual(outputs([]));
});

test("a plan that makes no sense is refused, and nothing is left behind", () => {
  const before = liveTensors();
  scope(() => {
    const slab = ops.zeros([1, 2, 4, 2, PAGE_POSITIONS * 8], {});
    const k = ops.zeros([3, 2, 8], {});
    const q = ops.zeros([3, 4, 8], {});
    const code = (plan: readonly number[], keys = k, slabs = [slab], layer = 0): string | undefined => {
      try {
        ops.pagedAttention_(slabs, layer, q, keys, keys, tensor(Int32Array.from(plan)));
        return undefined;
      } catch (error) {
        return error instanceof MahaloError ? error.message : String(error);
      }
    };
    expect(code([0, 3, 0, 4, 1])).toBeUndefined();
    expect(code([0, 3, 0, 4, 4])).toMatch(/there is no page 4/);
    expect(code([0, 3, 0, 4, 65536])).toMatch(/there is no page/);
    expect(code([0, 3, 0, 4, -1])).toMatch(/there is no page/);
    expect(code([0, 3, 40, 4, 1])).toMatch(/page tables/);
    expect(code([0, 4, 0, 4, 1])).toMatch(/outside of 3 tokens/);
    expect(code([0, 2, 0, 4, 1])).toMatch(/covers 2 of 3/);
    expect(code([1, 2, 0, 4, 1])).toMatch(/end to end/);
    expect(code([0, 3, 0, 5])).toMatch(/outside|begin/);
    expect(code([0, 3, 0, 4, 1], ops.zeros([3, 3, 8], {}))).toMatch(/paged attention/);
    expect(code([0, 3, 0, 4, 1], k, [])).toMatch(/no page|at least one|empty/);
    expect(code([0, 3, 0, 4, 1], k, [slab], 1)).toMatch(/slab/);
  });
  expect(liveTensors()).toBe(before);
});
