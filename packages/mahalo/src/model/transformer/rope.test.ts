/** Rotary positions: Llama 3's scaling, tables that grow, and what a rotation must keep. */
import { liveTensors, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../folder/config.ts";
import type { ModelConfig, RopeScaling } from "../folder/model-config.ts";
import { distance } from "../testing/tiny.ts";
import { RopeTable, ropeFrequencies, rotate } from "./rope.ts";

const config = (ropeScaling?: RopeScaling, ropeTheta = 500_000, headDim = 64): ModelConfig => ({
  ...parseConfig(
    JSON.stringify({
      model_type: "llama",
      vocab_size: 8,
      hidden_size: headDim,
      intermediate_size: 8,
      num_hidden_layers: 1,
      num_attention_heads: 1,
    }),
    "config.json",
  ),
  ropeScaling,
  ropeTheta,
});

const llama3 = {
  type: "llama3",
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositions: 8192,
} as const;

const table = (dtype: "float32" | "bfloat16" = "float32"): RopeTable => new RopeTable(config(), dtype);

/** Rotates one head by one position. */
const turn = (rope: RopeTable, x: readonly number[], position: number): Tensor => {
  const positions = tensor([position], { dtype: "int64" });
  return rotate(tensor(x, { shape: [1, 1, 64] }), rope.at(positions, position));
};

describe("frequencies", () => {
  test("fall from 1 by equal factors", () => {
    const frequencies = ropeFrequencies(config(undefined, 10_000, 8));
    expect(distance(frequencies, [1, 0.1, 0.01, 0.001])).toBeLessThan(1e-15);
  });

  test("are all divided by linear scaling", () => {
    const plain = ropeFrequencies(config());
    const scaled = ropeFrequencies(config({ type: "linear", factor: 4 }));
    expect(
      distance(
        scaled,
        plain.map((one) => one / 4),
      ),
    ).toBe(0);
  });

  test("of Llama 3.1: short waves stay, long ones are stretched, those between go over", () => {
    const plain = ropeFrequencies(config());
    const scaled = ropeFrequencies(config(llama3));
    let [kept, stretched, between] = [0, 0, 0];
    for (const [i, frequency] of plain.entries()) {
      const ratio = (scaled[i] ?? Number.NaN) / frequency;
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < 8192 / 4) {
        expect(ratio).toBe(1);
        kept++;
      } else if (wavelength > 8192 / 1) {
        expect(ratio).toBeCloseTo(1 / 8, 15);
        stretched++;
      } else {
        // The share of the unscaled frequency grows linearly with the number of turns, from 0 to 1.
        const share = (8192 / wavelength - 1) / (4 - 1);
        expect(ratio).toBeCloseTo(share + (1 - share) / 8, 12);
        between++;
      }
    }
    expect([kept, stretched, between].every((count) => count > 0)).toBe(true);
    expect([...scaled]).toEqual([...scaled].sort((a, b) => b - a));
  });
});

describe("a rotation", () => {
  const head = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 64, maxLength: 64 });
  const position = fc.integer({ min: 0, max: 400 });

  test("keeps lengths, and products depend on the distance of positions alone", () => {
    const rope = table();
    fc.assert(
      fc.property(head, head, position, position, fc.integer({ min: 0, max: 100 }), (q, k, m, n, shift) =>
        scope(() => {
          const dot = (a: Tensor, b: Tensor): number => a.mul(b).sum().item();
          const [qm, kn] = [turn(rope, q, m), turn(rope, k, n)];
          const squared = q.reduce((sum, one) => sum + one * one, 0);
          expect(dot(qm, qm)).toBeCloseTo(squared, 2);
          const moved = dot(turn(rope, q, m + shift), turn(rope, k, n + shift));
          expect(Math.abs(moved - dot(qm, kn))).toBeLessThan(5e-3);
        }),
      ),
      { numRuns: 40 },
    );
    rope.dispose();
  });

  test("by position 0 changes nothing", () => {
    const rope = table();
    const x = Array.from({ length: 64 }, (_, i) => Math.cos(i));
    expect(distance(turn(rope, x, 0).toFloat32Array(), x)).toBeLessThan(1e-7);
    rope.dispose();
  });
});

describe("a table", () => {
  test("grows with the positions asked for and gives the same rotations as before", () => {
    const rope = table();
    const at = (last: number): Float32Array =>
      scope(() => rope.at(tensor([0, 3, 77], { dtype: "int64" }), last).cos_TE.toFloat32Array());
    const before = at(77);
    expect(at(5000)).toEqual(before);
    expect(at(77)).toEqual(before);
    const far = scope(() => rope.at(tensor([9000], { dtype: "int64" }), 9000).cos_TE.toFloat32Array());
    expect(far[0]).toBeCloseTo(Math.cos(9000), 4);
    rope.dispose();
  });

  test("holds two tensors whatever its length, and none once disposed", () => {
    const before = liveTensors();
    const rope = table("bfloat16");
    for (const last of [10, 600, 5000]) {
      scope(() => {
        const { cos_TE, sin_TE } = rope.at(tensor([last], { dtype: "int64" }), last);
        expect([cos_TE.dtype, sin_TE.dtype]).toEqual(["bfloat16", "bfloat16"]);
      });
      expect(liveTensors()).toBe(before + 2);
    }
    rope.dispose();
    expect(liveTensors()).toBe(before);
  });

  test("lets gradients through to what it rotates", () => {
    const rope = table();
    const x = tensor(
      Array.from({ length: 64 }, (_, i) => i / 10),
      { shape: [1, 1, 64], requiresGrad: true },
    );
    const rotation = rope.at(tensor([5], { dtype: "int64" }), 5);
    const y = rotate(x, rotation);
    expect(y.requiresGrad).toBe(true);
    expect(ops.sum(y).requiresGrad).toBe(true);
    rope.dispose();
  });
});
