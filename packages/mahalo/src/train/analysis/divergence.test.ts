/** Divergence of next-token distributions: against float64, in chunks, and along the answers of tiny models. */
import { scope, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { tinyModel } from "../../model/testing/tiny.ts";
import { answerKl, positionKl, statesOf } from "./divergence.ts";

const [positions, hidden, vocabulary] = [5, 3, 7];

/** KL of two rows of logits in float64. */
const plainKl = (p: readonly number[], q: readonly number[]): number => {
  const logs = (row: readonly number[]): number[] => {
    const most = Math.max(...row);
    const norm = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
    return row.map((value) => value - norm);
  };
  const [a, b] = [logs(p), logs(q)];
  return a.reduce((sum, value, at) => sum + Math.exp(value) * (value - (b[at] ?? 0)), 0);
};

const numbers = (count: number, seed: number, of: string): number[] => {
  const random = rng(seed, of);
  return Array.from({ length: count }, () => 4 * random.next() - 2);
};

/** Hidden states and a head as lists, and as tensors inside a scope. */
const sideOf = (seed: number, of: string) => {
  const [h, w] = [
    numbers(positions * hidden, seed, `${of} h`),
    numbers(vocabulary * hidden, seed, `${of} w`),
  ];
  const logits = Array.from({ length: positions }, (_, n) =>
    Array.from({ length: vocabulary }, (_, v) =>
      Array.from({ length: hidden }, (_, d) => (h[n * hidden + d] ?? 0) * (w[v * hidden + d] ?? 0)).reduce(
        (sum, value) => sum + value,
        0,
      ),
    ),
  );
  const tensors = () => ({
    hidden_ND: tensor(Float32Array.from(h)).reshape(positions, hidden),
    head_VD: tensor(Float32Array.from(w)).reshape(vocabulary, hidden),
  });
  return { logits, tensors };
};

describe("KL at positions", () => {
  test("is that of float64, never below 0, and 0 from itself, whatever the chunk", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 6 }), (seed, chunk) => {
        const [p, q] = [sideOf(seed, "p"), sideOf(seed, "q")];
        const found = scope(() => positionKl(p.tensors(), q.tensors(), { chunk }));
        const whole = scope(() => positionKl(p.tensors(), q.tensors()));
        for (const [n, value] of found.entries()) {
          expect(value).toBeCloseTo(plainKl(p.logits[n] ?? [], q.logits[n] ?? []), 4);
          // float32 has seven digits, whatever the size of the value.
          const other = whole[n] ?? Number.NaN;
          expect(Math.abs(value - other)).toBeLessThan(1e-6 * Math.max(1, other));
          expect(value).toBeGreaterThan(-1e-6);
        }
        for (const value of scope(() => positionKl(p.tensors(), p.tensors(), { chunk })))
          expect(value).toBeCloseTo(0, 6);
      }),
      { numRuns: 30 },
    );
  });

  test("refuses models of other positions or vocabularies", () => {
    const p = sideOf(1, "p");
    scope(() => {
      const { hidden_ND, head_VD } = p.tensors();
      const short = { hidden_ND: hidden_ND.narrow(0, 0, 2), head_VD };
      expect(() => positionKl(p.tensors(), short)).toThrow(expect.objectContaining({ code: "E_METRIC" }));
    });
  });
});

test("sums along each answer: 0 from the model itself, and what its moved head is away", async () => {
  const [model, moved] = [await tinyModel("tiny-llama"), await tinyModel("tiny-llama")];
  const answers = [
    { prompt: [1, 2, 3], response: [4, 5] },
    { prompt: [1, 2], response: [6, 7, 8, 9] },
    { prompt: [3], response: [2] },
  ];
  const base = statesOf(model, answers, model.heads.base.value);
  expect(base.lengths).toEqual([2, 4, 1]);
  for (const value of answerKl(
    base,
    statesOf(model, answers, model.heads.base.value, { maxTokensPerMicrobatch: 4 }),
  ))
    expect(value).toBeCloseTo(0, 5);
  scope(() => {
    const head_VD = moved.heads.base.value.mul(2);
    const all = answerKl(statesOf(moved, answers, head_VD), base);
    const alone = answers.flatMap((answer) =>
      answerKl(statesOf(moved, [answer], head_VD), statesOf(model, [answer], model.heads.base.value)),
    );
    expect(all.every((value) => value > 0)).toBe(true);
    for (const [index, value] of all.entries()) expect(value).toBeCloseTo(alone[index] ?? Number.NaN, 4);
  });
  for (const one of [model, moved]) one.dispose();
});
