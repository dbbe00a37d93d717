/** Products of bfloat16 weights, element for element, in the instruction set in use: odd sizes, company, neighbours, mixes. */
import { describe, expect, test } from "vitest";
import { noGrad } from "./autograd.ts";
import * as ops from "./ops.generated.ts";
import { instructionSet } from "./runtime.ts";
import { scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";
import { excess, normal } from "./testing/compare.ts";

const run = (body: () => void): void => noGrad(() => scope(body));

const halves = (seed: number, shape: readonly number[]): Tensor => normal(seed, shape).to("bfloat16");
const product = (x: Tensor, weight: Tensor): Float32Array => ops.rowwiseLinear(x, weight).toFloat32Array();

/** [outputs, inputs]: whole tiles of AMX and registers of AVX, and parts of them. */
const shapes = [
  [32, 64],
  [48, 32],
  [100, 577],
  [17, 33],
  [7, 5],
  [16, 2048],
  [65, 1],
] as const;

describe.each(shapes)("%i weight rows of %i elements", (outputs, inputs) => {
  test("give each of 1 to 100 rows the same bits", () => {
    run(() => {
      const weight = halves(1, [outputs, inputs]);
      const x = halves(2, [100, inputs]);
      const all = product(x, weight);
      for (const count of [1, 2, 15, 16, 17, 33, 64]) {
        for (const from of [0, 3, 100 - count]) {
          const some = product(x.narrow(0, from, count), weight);
          expect(some).toEqual(all.subarray(from * outputs, (from + count) * outputs));
        }
      }
    });
  });

  test("give what float64 gives, but for the rounding of float32 sums", () => {
    run(() => {
      const [weight, x] = [halves(3, [outputs, inputs]), halves(4, [33, inputs])];
      const exact = ops.linear(x.to("float64"), weight.to("float64"));
      const most = { relative: 1e-5, absolute: 1e-6 * inputs };
      expect(excess(product(x, weight), exact.to("float32").toFloat32Array(), most)).toBeLessThan(1);
    });
  });

  test("take nothing from the rows beside them", () => {
    run(() => {
      // A row in the midst of numbers that would spoil a sum by any share in it, a product with zero included.
      const [weight, x] = [halves(5, [outputs, inputs]), halves(6, [3, inputs])];
      const clean = product(x, weight);
      const around = (rows: Tensor, index: number): Tensor => {
        const row = rows.narrow(0, index, 1);
        const wrong = row.mul(Number.NaN);
        return ops.cat([wrong, row, wrong]);
      };
      const row = Math.trunc(outputs / 2);
      const byWeight = product(x, around(weight, row));
      const byRow = product(around(x, 1), weight);
      for (let r = 0; r < 3; r += 1) expect(byWeight[3 * r + 1]).toBe(clean[r * outputs + row]);
      expect(byRow.subarray(outputs, 2 * outputs)).toEqual(clean.subarray(outputs, 2 * outputs));
      expect(byRow.subarray(0, outputs).every(Number.isNaN)).toBe(true);
    });
  });

  test("give rows with a mix each the bits of merged heads", () => {
    run(() => {
      const heads = [normal(7, [outputs, inputs]), normal(8, [outputs, inputs])];
      const mixes = [
        [1, 0],
        [0.25, 0.75],
        [-0.5, 1.5],
      ];
      const x = normal(9, [3, inputs]);
      const mixed = ops
        .mixedLinear(x, heads, tensor(mixes.flat(), { shape: [3, 2] }), true, false)
        .toFloat32Array();
      for (const [r, weights] of mixes.entries()) {
        const [first, second] = heads.map((head, h) => head.mul(weights[h] ?? Number.NaN));
        if (first === undefined || second === undefined) throw new Error("two heads are needed");
        const alone = product(x.narrow(0, r, 1), first.add(second).to("bfloat16"));
        expect(mixed.subarray(r * outputs, (r + 1) * outputs)).toEqual(alone);
      }
    });
  });
});

test("weights that begin anywhere in memory give the same bits", () => {
  run(() => {
    const [weight, x] = [halves(10, [96, 64]), halves(11, [70, 64])];
    const whole = product(x, weight);
    const shifted = ops
      .cat([halves(12, [7]), weight.view(-1)])
      .narrow(0, 7, weight.numel)
      .view(96, 64);
    expect(product(x, shifted)).toEqual(whole);
  });
});

const hardware = ["avx512-bf16", "amx"].includes(instructionSet());
if (!hardware)
  console.warn(`${instructionSet()} has no products of bfloat16: their subnormals are not tested`);

test.skipIf(!hardware)("subnormal numbers count as zero in products of bfloat16 in hardware", () => {
  run(() => {
    const tiny = tensor(new Float32Array(64).fill(2 ** -130), { shape: [2, 32] });
    const [one, zeros] = [ops.ones([4, 32], { dtype: "bfloat16" }), [...new Float32Array(8)]];
    expect([...product(tiny, one)]).toEqual(zeros);
    expect([...product(ops.ones([2, 32]), ops.cat([tiny, tiny]).to("bfloat16"))]).toEqual(zeros);
    const small = ops.ones([2, 32]).mul(2 ** -70);
    expect([...product(small, ops.cat([small, small]).to("bfloat16"))]).toEqual(zeros);
  });
});

const amx = instructionSet() === "amx";
if (!amx) console.warn(`${instructionSet()} has no tiles: the order of their sums is not tested`);

test.skipIf(!amx)("AMX adds up the even elements of a step, the odd ones, and both to the sum", () => {
  run(() => {
    const [x, weight] = [normal(13, [1, 96]).to("bfloat16"), halves(14, [1, 96])];
    const [a, b] = [x.toFloat32Array(), weight.toFloat32Array()];
    const term = (i: number): number => (a[i] ?? Number.NaN) * (b[i] ?? Number.NaN);
    let sum = 0;
    for (let step = 0; step < 96; step += 32) {
      let [even, odd] = [0, 0];
      for (let i = step; i < step + 32; i += 2) {
        // A product of two bfloat16 is exact in float64, so that this rounds once, as a fused product does.
        even = Math.fround(even + term(i));
        odd = Math.fround(odd + term(i + 1));
      }
      sum = Math.fround(sum + Math.fround(even + odd));
    }
    expect(product(x, weight)).toEqual(Float32Array.of(sum));
  });
});
