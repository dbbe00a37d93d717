/** Products and halves of layers, row by row, against libtorch's operators; and a row alone against one in company. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { noGrad } from "./autograd.ts";
import { MahaloError } from "./error.ts";
import type { DType } from "./native.ts";
import * as ops from "./ops.generated.ts";
import { getThreads, setThreads } from "./runtime.ts";
import { scope } from "./scope.ts";
import { type Tensor, tensor } from "./tensor.ts";
import { excess, normal } from "./testing/compare.ts";

const EPS = 1e-5;
/** Largest differences from products in float32 of the same (rounded) weights, by how the weight is held. */
const allowed = {
  float32: { relative: 1e-5, absolute: 1e-4 },
  // Rows are rounded to bfloat16 before they are multiplied, as in libtorch's own product.
  bfloat16: { relative: 0.01, absolute: 0.1 },
  // Rows keep 15 bits.
  int8: { relative: 1e-3, absolute: 0.01 },
};
type Held = keyof typeof allowed;

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const sizes = fc.record({
  rows: size(19),
  inputs: size(150),
  outputs: size(23),
  seed: fc.integer({ min: 0, max: 1e6 }),
});

/** A weight as it is held, its scales where it has any, and what it stands for in float32. */
const weightOf = (held: Held, seed: number, shape: readonly number[]) => {
  const exact = normal(seed, shape);
  if (held !== "int8") {
    const weight = exact.to(held);
    return { weight, scale: null, means: weight.to("float32") };
  }
  const [weight, scale] = ops.quantizeRows(exact);
  return { weight, scale, means: weight.to("float32").mul(scale.unsqueeze(1)) };
};

const run = (body: () => void): void => noGrad(() => scope(body));
const holds = Object.keys(allowed) as Held[];

describe.each(holds)("a weight in %s", (held) => {
  test("multiplies rows as libtorch multiplies matrices, with and without a bias", () => {
    fc.assert(
      fc.property(sizes, ({ rows, inputs, outputs, seed }) =>
        run(() => {
          const x = normal(seed, [rows, inputs]);
          const { weight, scale, means } = weightOf(held, seed + 1, [outputs, inputs]);
          for (const bias of [null, normal(seed + 2, [outputs])]) {
            const y = ops.rowwiseLinear(x, weight, scale, bias).toFloat32Array();
            const expected = ops.linear(x, means, bias).toFloat32Array();
            expect(excess(y, expected, allowed[held])).toBeLessThan(1);
          }
        }),
      ),
      { numRuns: 40 },
    );
  });

  test("gives a row the same result, bit for bit, alone, in company, and with other threads", () => {
    const threads = getThreads();
    try {
      run(() => {
        // More rows than are computed together, and than stay in a cache.
        const x = normal(1, [400, 300]);
        // Large enough for two threads to share.
        const { weight, scale } = weightOf(held, 2, [601, 300]);
        const all = ops.rowwiseLinear(x, weight, scale);
        setThreads(3);
        for (const [from, count] of [
          [0, 1],
          [399, 1],
          [3, 2],
          [4, 9],
          [190, 5],
          [0, 12],
          [100, 250],
        ] as const) {
          const some = ops.rowwiseLinear(x.narrow(0, from, count), weight, scale);
          expect(some.toFloat32Array()).toEqual(all.narrow(0, from, count).contiguous().toFloat32Array());
        }
      });
    } finally {
      setThreads(threads);
    }
  });

  test("keeps what is no number", () => {
    run(() => {
      const { weight, scale } = weightOf(held, 2, [5, 7]);
      for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
        const x = tensor([1, 2, 3, wrong, 5, 6, 7, ...normal(3, [7]).toFloat32Array()], { shape: [2, 7] });
        const y = ops.rowwiseLinear(x, weight, scale).toFloat32Array();
        expect([...y.subarray(0, 5)].some(Number.isFinite)).toBe(false);
        expect([...y.subarray(5)].every(Number.isFinite)).toBe(true);
      }
    });
  });
});

describe("int8", () => {
  test("a weight is whole numbers up to 127 of its row's largest value", () => {
    run(() => {
      const w = tensor([1, -2, 0.5, 0, 0, 0, 1e-3, 2e-3, -127e-3], { shape: [3, 3] });
      const [q, scale] = ops.quantizeRows(w);
      expect([...q.toTypedArray()]).toEqual([64, -127, 32, 0, 0, 0, 1, 2, -127]);
      expect([...scale.toFloat32Array()].map((one) => one * 127)).toEqual(
        [2, 0, Math.fround(127e-3)].map((x) => expect.closeTo(x, 6)),
      );
    });
  });

  test("rows of the smallest numbers keep their values", () => {
    run(() => {
      const w = tensor([1e-37, 5e-38, -1e-37], { shape: [1, 3] });
      const [q, scale] = ops.quantizeRows(w);
      expect([...q.toTypedArray()]).toEqual([127, 64, -127]);
      const [weight, unit] = ops.quantizeRows(tensor([1, 0.5, -1], { shape: [1, 3] }));
      const y = ops.rowwiseLinear(w, weight, unit).item();
      expect(y / 2.25e-37).toBeCloseTo(1, 1);
      expect(scale.item()).toBeGreaterThan(0);
    });
  });

  test.each([1, 20, 200])("%i rows without elements give zeros", (rows) => {
    run(() => {
      for (const dtype of ["float32", "bfloat16"] as const) {
        const y = ops.rowwiseLinear(ops.zeros([rows, 0]), ops.zeros([4, 0], { dtype }));
        expect([...y.toFloat32Array()]).toEqual(new Array(4 * rows).fill(0));
      }
    });
  });

  test("sums that would leave 32 bits do not", () => {
    run(() => {
      const [q, scale] = ops.quantizeRows(ops.ones([2, 40_000]));
      const y = ops.rowwiseLinear(ops.ones([1, 40_000]), q, scale).toFloat32Array();
      for (const one of y) expect(one).toBeCloseTo(40_000, -1);
    });
  });
});

type Sizes = { rows: number; heads: number; kvHeads: number; half: number; width: number; seed: number };
const layers: fc.Arbitrary<Sizes> = fc
  .record({
    rows: size(7),
    kvHeads: size(3),
    share: size(3),
    half: size(5),
    width: size(40),
    seed: size(1e6),
  })
  .map(({ share, ...rest }) => ({ ...rest, heads: share * rest.kvHeads }));

/** A low-rank update of a map [n, k], none for rank 0: its matrices, and what it adds to the outputs of rows. */
const adapterOf = (
  seed: number,
  [rank, rows, n, k]: readonly [number, number, number, number],
  dtype: DType,
) => {
  const [a, b] = [normal(seed, [rank, k]).to(dtype), normal(seed + 50, [n, rank]).to(dtype)];
  const gains = normal(seed + 100, [rows, rank]);
  const float = (matrix: Tensor): Tensor => matrix.to("float32");
  return {
    matrices: rank === 0 ? [] : [a, b],
    gains: rank === 0 ? null : gains,
    update: (x: Tensor, under: Tensor = gains): Tensor =>
      rank === 0 ? ops.zeros([rows, n]) : ops.linear(ops.linear(x, float(a)).mul(under), float(b)),
  };
};

const norm = (x: Tensor, w: Tensor): Tensor => ops.rmsNorm(x, [w.numel], w, EPS);

describe.each<[DType, Held]>([
  ["float32", "float32"],
  ["float32", "int8"],
  ["bfloat16", "bfloat16"],
  ["bfloat16", "int8"],
])("rows in %s, weights in %s", (dtype, held) => {
  const most = dtype === "float32" ? allowed[held] : { relative: 0.03, absolute: 0.3 };
  const expectClose = (actual: Tensor, expected: Tensor): void => {
    expect(actual.shape).toEqual(expected.shape);
    expect(actual.dtype).toBe(dtype);
    expect(excess(actual.toFloat32Array(), expected.toFloat32Array(), most)).toBeLessThan(1);
  };

  test.each([false, true])("a layer's front is norm, product and rotation (norms of heads: %s)", (normed) => {
    fc.assert(
      fc.property(layers, ({ rows, heads, kvHeads, half, width, seed }) =>
        run(() => {
          const vector = (at: number, n: number): Tensor => normal(seed + at, [n]).to(dtype);
          const x = normal(seed, [rows, width]).to(dtype);
          const all = (heads + 2 * kvHeads) * 2 * half;
          const { weight, scale, means } = weightOf(held, seed + 1, [all, width]);
          const [w, bias] = [vector(2, width), vector(3, all)];
          const [queryNorm, keyNorm] = normed ? [vector(4, 2 * half), vector(5, 2 * half)] : [null, null];
          const angles = normal(seed + 6, [rows, half], 3);
          const [cosine, sine] = [ops.cos(angles), ops.sin(angles)].map((one) =>
            ops.cat([one, one], -1).to(dtype),
          ) as [Tensor, Tensor];
          const low = adapterOf(seed + 7, [seed % 5, rows, all, width], dtype);
          const own = ops.rowwiseFront(
            x,
            w,
            EPS,
            weight,
            scale,
            bias,
            queryNorm,
            keyNorm,
            cosine,
            sine,
            heads,
            kvHeads,
            low.matrices,
            low.gains,
          );
          const float = (one: Tensor): Tensor => one.to("float32");
          const normed_TD = norm(float(x), float(w));
          const qkv = ops
            .linear(normed_TD, means, float(bias))
            .add(low.update(normed_TD))
            .view(rows, -1, 2 * half);
          const turn = (part: Tensor, weights: Tensor | null): Tensor => {
            const [a, b] = ops.splitWithSizes(weights ? norm(part, float(weights)) : part, [half, half], -1);
            if (a === undefined || b === undefined) throw new Error("no halves");
            const [c, s] = [ops.cos(angles), ops.sin(angles)].map((one) =>
              one.to(dtype).to("float32").unsqueeze(1),
            ) as [Tensor, Tensor];
            return ops.cat([a.mul(c).sub(b.mul(s)), b.mul(c).add(a.mul(s))], -1);
          };
          const [q, k, v] = ops.splitWithSizes(qkv, [heads, kvHeads, kvHeads], 1) as [Tensor, Tensor, Tensor];
          expectClose(own[0], turn(q, queryNorm));
          expectClose(own[1], turn(k, keyNorm));
          expectClose(own[2], v);
        }),
      ),
      { numRuns: 20 },
    );
  });

  test("a layer's back is product, residual and MLP", () => {
    fc.assert(
      fc.property(layers, ({ rows, heads, half, width, seed }) =>
        run(() => {
          const inner = 1 + (seed % 50);
          const x = normal(seed, [rows, width]).to(dtype);
          const o = normal(seed + 1, [rows, heads, 2 * half]).to(dtype);
          // Small weights keep the sums of a residual stream's size.
          const part = (at: number, n: number, k: number) => weightOf(held, seed + at, [n, k]);
          const [out, gateUp, down] = [
            part(2, width, heads * 2 * half),
            part(3, 2 * inner, width),
            part(4, width, inner),
          ];
          const [w, bias] = [
            normal(seed + 5, [width])
              .mul(0.1)
              .to(dtype),
            normal(seed + 6, [width]).to(dtype),
          ];
          const rank = seed % 5;
          const lows = {
            out: adapterOf(seed + 7, [rank, rows, width, heads * 2 * half], dtype),
            gateUp: adapterOf(seed + 8, [rank, rows, 2 * inner, width], dtype),
            down: adapterOf(seed + 9, [rank, rows, width, inner], dtype),
          };
          // One gain for all maps, small ones as the weights are.
          const gains = lows.out.gains?.mul(0.1) ?? null;
          const added = (low: keyof typeof lows, input: Tensor): Tensor =>
            lows[low].update(input, gains ?? undefined);
          const own = ops.rowwiseBack(
            x,
            o,
            out.weight,
            out.scale,
            bias,
            w,
            EPS,
            gateUp.weight,
            gateUp.scale,
            down.weight,
            down.scale,
            lows.out.matrices,
            lows.gateUp.matrices,
            lows.down.matrices,
            gains,
          );
          const float = (one: Tensor): Tensor => one.to("float32");
          const attended = float(o).view(rows, -1);
          const y = float(x)
            .add(ops.linear(attended, out.means, float(bias)))
            .add(added("out", attended));
          const normed = norm(y, float(w));
          const [gate, up] = ops.splitWithSizes(
            ops.linear(normed, gateUp.means).add(added("gateUp", normed)),
            [inner, inner],
            -1,
          );
          if (gate === undefined || up === undefined) throw new Error("no halves");
          const between = ops.silu(gate).mul(up);
          expectClose(own, y.add(ops.linear(between, down.means)).add(added("down", between)));
        }),
      ),
      { numRuns: 20 },
    );
  });
});

test("no rows give no rows", () => {
  run(() => expect(ops.rowwiseLinear(ops.zeros([0, 3]), normal(1, [4, 3])).shape).toEqual([0, 4]));
});

describe("calls that make no sense are errors", () => {
  const ones = (...shape: number[]): Tensor => ops.ones(shape);
  const bytes = (...shape: number[]): Tensor => ops.ones(shape, { dtype: "int8" });
  const front = (
    x: Tensor,
    qkv: Tensor,
    angles: Tensor,
    heads = 2,
    adapter: readonly Tensor[] = [],
    gains: Tensor | null = null,
  ): unknown =>
    ops.rowwiseFront(x, ones(3), EPS, qkv, null, null, null, null, angles, angles, heads, 1, adapter, gains);
  const back = (o: Tensor, gateUp: Tensor, down: Tensor): unknown =>
    ops.rowwiseBack(
      ones(2, 3),
      o,
      ones(3, 4),
      null,
      null,
      ones(3),
      EPS,
      gateUp,
      null,
      down,
      null,
      [],
      [],
      [],
    );
  test.each<[string, RegExp, () => unknown]>([
    ["a weight of another width", /weight \[n, 3\]/, () => ops.rowwiseLinear(ones(2, 3), ones(4, 2))],
    [
      "a weight in columns",
      /contiguous weight/,
      () => ops.rowwiseLinear(ones(2, 3), ones(3, 4).transpose(0, 1)),
    ],
    ["int8 without scales", /scale for each row/, () => ops.rowwiseLinear(ones(2, 3), bytes(4, 3))],
    ["scales without int8", /scale for each row/, () => ops.rowwiseLinear(ones(2, 3), ones(4, 3), ones(4))],
    ["too few scales", /scales \[4\]/, () => ops.rowwiseLinear(ones(2, 3), bytes(4, 3), ones(3))],
    [
      "a bias of another width",
      /vector of 4/,
      () => ops.rowwiseLinear(ones(2, 3), ones(4, 3), null, ones(3)),
    ],
    ["rows of int64", /float32 or bfloat16/, () => ops.rowwiseLinear(bytes(2, 3), ones(4, 3))],
    [
      "a projection that is not the heads",
      /heads of an even width/,
      () => front(ones(2, 3), ones(9, 3), ones(2, 2)),
    ],
    ["rotations of other tokens", /rotations \[T, E\]/, () => front(ones(2, 3), ones(8, 3), ones(3, 2))],
    ["attention of other rows", /as many rows/, () => back(ones(1, 4), ones(6, 3), ones(3, 3))],
    ["an odd gate and up", /equally wide/, () => back(ones(2, 4), ones(5, 3), ones(3, 2))],
    ["an MLP of another width", /input's width/, () => back(ones(2, 4), ones(6, 3), ones(4, 3))],
    ["quantizing whole numbers", /float32 or bfloat16/, () => ops.quantizeRows(bytes(2, 3))],
  ])("%s", (_, says, call) => {
    expect(call).toThrow(MahaloError);
    expect(call).toThrow(says);
  });
});
