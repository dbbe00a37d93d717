/** Heads: seeded noise that stays in the head, mixes that equal the weighted heads, and weights that make sense. */
import { noGrad, ops, scope, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { normal } from "../../core/testing/normal.ts";
import { distance, IDS, logitsOf, tinyModel } from "../testing/tiny.ts";
import { type ComputeDType, parameter } from "../transformer/parameters.ts";
import { Heads, type Mix, normalizeMix, parseMix } from "./heads.ts";

const OBJECTIVES = ["accuracy", "engagement", "wit"];
const codeOf = (body: () => unknown): unknown => {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** A head of V x D seeded numbers, with K noisy copies. */
const randomHeads = (
  seed: number,
  { rows = 7, width = 5, std = 0.5, compute = "float32" as ComputeDType } = {},
): Heads => {
  const random = rng(seed, "test");
  const weights = tensor(
    Float32Array.from({ length: rows * width }, () => normal(random)),
    {
      shape: [rows, width],
    },
  );
  const heads = new Heads(parameter("lm_head.weight", weights, { compute, training: true }));
  heads.addNoisyCopies(OBJECTIVES, { seed, std, compute });
  return heads;
};

const difference = (heads: Heads, name: string): Float32Array =>
  heads.get(name).float().sub(heads.base.float()).toFloat32Array();

describe("noisy copies", () => {
  test("have normal noise of the given deviation around the base head", () => {
    const heads = randomHeads(1, { rows: 400, width: 50, std: 0.001 });
    for (const name of OBJECTIVES) {
      const noise = [...difference(heads, name)];
      const mean = noise.reduce((sum, one) => sum + one, 0) / noise.length;
      const deviation = Math.sqrt(noise.reduce((sum, one) => sum + (one - mean) ** 2, 0) / noise.length);
      const within = noise.filter((one) => Math.abs(one) < 0.001).length / noise.length;
      expect(Math.abs(mean)).toBeLessThan(4e-5);
      expect(deviation).toBeGreaterThan(0.00097);
      expect(deviation).toBeLessThan(0.00103);
      expect(Math.abs(within - 0.6827)).toBeLessThan(0.02);
    }
    heads.dispose();
  });

  test("depend on the seed and the objective's name alone, not on the order or the others", () => {
    const all = randomHeads(5);
    const base = (): ReturnType<typeof parameter> =>
      parameter("lm_head.weight", all.base.float().clone(), { compute: "float32", training: true });
    const alone = new Heads(base());
    alone.addNoisyCopies(["wit"], { seed: 5, std: 0.5, compute: "float32" });
    expect(difference(alone, "wit")).toEqual(difference(all, "wit"));
    const other = new Heads(base());
    other.addNoisyCopies(["wit"], { seed: 6, std: 0.5, compute: "float32" });
    expect(difference(other, "wit")).not.toEqual(difference(all, "wit"));
    expect(difference(all, "accuracy")).not.toEqual(difference(all, "wit"));
    for (const one of [all, alone, other]) one.dispose();
  });

  test("of a tied model never reach the embedding, nor does what happens to any head", async () => {
    const model = await tinyModel("tiny-qwen3-tied");
    const { embedding } = model.backbone.weights;
    const before = embedding.float().toFloat32Array();
    const logits = logitsOf(model, IDS);
    model.heads.addNoisyCopies(["accuracy", "engagement"], { seed: 1, std: 0.5, compute: "float32" });
    for (const head of [model.heads.base, ...model.heads.parameters()]) {
      expect(head.value.storageId).not.toBe(embedding.value.storageId);
    }
    expect(embedding.float().toFloat32Array()).toEqual(before);
    expect(logitsOf(model, IDS)).toEqual(logits);
    noGrad(() => [model.heads.base, model.heads.get("accuracy")].map((head) => head.value.zero_()));
    expect(embedding.float().toFloat32Array()).toEqual(before);
    model.dispose();
  });

  test("are trainable in float32 beside a bfloat16 copy; a second head of a name is refused", () => {
    const heads = randomHeads(1, { compute: "bfloat16" });
    const head = heads.get("wit");
    expect([head.trainable, head.master?.dtype, head.value.dtype]).toEqual([true, "float32", "bfloat16"]);
    expect(codeOf(() => heads.addNoisyCopies(["wit"], { seed: 1, compute: "bfloat16" }))).toMatchObject({
      code: "E_HEAD_EXISTS",
    });
    heads.dispose();
  });
});

describe("a mix", () => {
  const weight = fc.double({ min: 0, max: 1e3, noNaN: true });

  test("answers like its weighted heads", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.array(weight, { minLength: 3, maxLength: 3 }),
        (seed, raw) => {
          fc.pre(raw.some((one) => one > 1e-9));
          const heads = randomHeads(seed);
          scope(() => {
            const hidden_TD = tensor(
              Float32Array.from({ length: 15 }, (_, i) => Math.sin(seed + i)),
              {
                shape: [3, 5],
              },
            );
            const mix: Mix = Object.fromEntries(OBJECTIVES.map((name, i) => [name, raw[i] ?? 0]));
            const weights = [...normalizeMix(mix, OBJECTIVES)];
            const parts = weights.map(([name, w]) =>
              ops.linear(hidden_TD, heads.get(name).value).mul(w).toFloat32Array(),
            );
            const weighted = Float32Array.from({ length: 21 }, (_, i) =>
              parts.reduce((sum, part) => sum + (part[i] ?? 0), 0),
            );
            const merged = ops.linear(hidden_TD, heads.mix(mix)).toFloat32Array();
            expect(distance(merged, weighted)).toBeLessThan(1e-5);
          });
          heads.dispose();
        },
      ),
      { numRuns: 60 },
    );
  });

  test("in bfloat16 answers like its weighted heads in float32 but for one rounding of the merged head", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.array(fc.double({ min: 0.01, max: 10, noNaN: true }), { minLength: 3, maxLength: 3 }),
        (seed, raw) => {
          const heads = randomHeads(seed, { compute: "bfloat16" });
          scope(() => {
            // A hidden state of ones and zeros, so that products are exact and the sum is of 5 rounded weights.
            const hidden_TD = tensor([1, 0, 1, 1, 0, 0, 1, 0, 1, 1], { shape: [2, 5] });
            const mix: Mix = Object.fromEntries(OBJECTIVES.map((name, i) => [name, raw[i] ?? 0]));
            const exact = ops.linear(hidden_TD, heads.mixFloat(mix)).toFloat32Array();
            const merged = ops.linear(hidden_TD, heads.mix(mix).to("float32")).toFloat32Array();
            const size = ops.linear(hidden_TD, ops.abs(heads.mixFloat(mix))).toFloat32Array();
            // Half a unit of bfloat16's last place for each weight.
            for (const [i, one] of merged.entries()) {
              expect(Math.abs(one - (exact[i] ?? Number.NaN))).toBeLessThanOrEqual((size[i] ?? 0) * 2 ** -8);
            }
          });
          heads.dispose();
        },
      ),
      { numRuns: 40 },
    );
  });

  test("of one objective is that objective's head, bit for bit", () => {
    const heads = randomHeads(2);
    expect(heads.mix({ wit: 3 }).toFloat32Array()).toEqual(heads.get("wit").float().toFloat32Array());
    heads.dispose();
  });

  test("is summed in float32 and rounded once to the compute dtype", () => {
    const heads = randomHeads(2, { compute: "bfloat16" });
    const mix = { accuracy: 1, engagement: 2, wit: 4 };
    expect(heads.mix(mix).dtype).toBe("bfloat16");
    expect(heads.mix(mix).toFloat32Array()).toEqual(heads.mixFloat(mix).to("bfloat16").toFloat32Array());
    heads.dispose();
  });

  test("is kept for the next call with the same weights, few at a time, until heads change", () => {
    const heads = randomHeads(3);
    const first = heads.mix({ accuracy: 7, engagement: 3 });
    expect(heads.mix({ engagement: 0.3, accuracy: 0.7, wit: 0 })).toBe(first);
    const held = new Set([first]);
    for (let i = 0; i < 40; i++) {
      held.add(heads.mix({ accuracy: 1, wit: i }));
      // Used again and again, so never the one that goes.
      expect(heads.mix({ accuracy: 7, engagement: 3 })).toBe(first);
    }
    expect([...held].filter((one) => !one.freed)).toHaveLength(8);
    heads.clearMixes();
    expect([...held].filter((one) => !one.freed)).toHaveLength(0);
    heads.dispose();
  });
});

describe("weights", () => {
  test("are scaled to sum 1, and objectives left out weigh 0", () => {
    expect([...normalizeMix({ wit: 3, accuracy: 1 }, OBJECTIVES)]).toEqual([
      ["accuracy", 0.25],
      ["engagement", 0],
      ["wit", 0.75],
    ]);
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom(...OBJECTIVES),
          fc.double({ min: 0, max: Number.MAX_VALUE, noNaN: true }),
        ),
        (mix) => {
          fc.pre(Object.values(mix).some((one) => one > 0));
          const weights = [...normalizeMix(mix, OBJECTIVES).values()];
          expect(weights.reduce((sum, one) => sum + one, 0)).toBeCloseTo(1, 9);
        },
      ),
    );
  });

  test.each([
    [{ accuracy: -1, wit: 2 }, "E_MIX_WEIGHT", "mix.accuracy"],
    [{ accuracy: Number.NaN }, "E_MIX_WEIGHT", "mix.accuracy"],
    [{ accuracy: Number.POSITIVE_INFINITY }, "E_MIX_WEIGHT", "mix.accuracy"],
    [{ accuracy: 0, wit: 0 }, "E_MIX_SUM", "sum to 0"],
    [{}, "E_MIX_SUM", "sum to 0"],
    [{ acuracy: 1 }, "E_MIX_UNKNOWN_OBJECTIVE", "mix.acuracy"],
    [{ constructor: 1 }, "E_MIX_UNKNOWN_OBJECTIVE", "mix.constructor"],
    [parseMix("__proto__=1"), "E_MIX_UNKNOWN_OBJECTIVE", "mix.__proto__"],
  ])("%j are refused", (mix, code, says) => {
    expect(codeOf(() => normalizeMix(mix as Mix, OBJECTIVES))).toMatchObject({
      code,
      message: expect.stringContaining(says),
    });
  });

  test("of a mistyped objective suggest the right one", () => {
    expect(codeOf(() => normalizeMix({ acuracy: 1 }, OBJECTIVES))).toMatchObject({
      hint: 'did you mean "accuracy"?',
    });
    const heads = randomHeads(1);
    expect(codeOf(() => heads.get("engagment"))).toMatchObject({
      code: "E_HEAD_UNKNOWN_OBJECTIVE",
      hint: 'did you mean "engagement"?',
    });
    expect(codeOf(() => heads.get("__proto__"))).toMatchObject({ code: "E_HEAD_UNKNOWN_OBJECTIVE" });
    heads.dispose();
  });

  test("may be of objectives with names that objects have of themselves", () => {
    const objectives = ["__proto__", "constructor"];
    expect([...normalizeMix(parseMix("__proto__=1,constructor=3"), objectives)]).toEqual([
      ["__proto__", 0.25],
      ["constructor", 0.75],
    ]);
    expect([...normalizeMix({ constructor: 1 } as unknown as Mix, objectives)]).toEqual([
      ["__proto__", 0],
      ["constructor", 1],
    ]);
  });
});

describe("parseMix", () => {
  test("reads weights in any notation of numbers, with spaces", () => {
    expect({ ...parseMix("accuracy=0.7,engagement=0.3") }).toEqual({ accuracy: 0.7, engagement: 0.3 });
    expect({ ...parseMix(" accuracy = 1e-1 , wit= 2 ") }).toEqual({ accuracy: 0.1, wit: 2 });
  });

  test.each([
    "",
    "accuracy",
    "accuracy=",
    "=1",
    "accuracy=x",
    "accuracy=NaN",
    "a=1,,b=2",
    "a=1,a=2",
    "a=1;b=2",
  ])("refuses %j", (text) => {
    expect(codeOf(() => parseMix(text))).toMatchObject({ code: "E_MIX_SYNTAX" });
  });

  test("reads back what it wrote", () => {
    const name = fc.stringMatching(/^[a-z_]{1,8}$/);
    fc.assert(
      fc.property(
        fc.dictionary(name, fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }), { minKeys: 1 }),
        (mix) => {
          const text = Object.entries(mix)
            .map(([key, value]) => `${key}=${value}`)
            .join(",");
          expect(Object.entries(parseMix(text))).toEqual(
            Object.entries(mix).map(([key, value]) => [key, value === 0 ? 0 : value]),
          );
        },
      ),
    );
  });
});
