/** The reference's log-probabilities: those of the base head, computed once and found again for the same question only. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, ops } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import type { EncodedPair } from "../data/tokens/encode.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel, withFolder } from "../model/testing/tiny.ts";
import { logProbs } from "./forward.ts";
import type { ReferencePair } from "./preference.ts";
import { cachedReference, computeReference } from "./reference.ts";
import { OBJECTIVES, PAIRS, pairTask } from "./testing/fixture.ts";

const options = { maxTokensPerMicrobatch: 40 };
let model: LanguageModel;
beforeAll(async () => {
  silenceProgress(true);
  model = await tinyModel("tiny-llama");
});
afterAll(() => {
  silenceProgress(false);
  model.dispose();
});

/** The cache's files of a folder. */
const files = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

const flat = (pairs: readonly ReferencePair[]): number[] =>
  pairs.flatMap(({ chosen, rejected }) => [chosen, rejected]);

/** Largest gap, each number against its own size. */
const off = (a: readonly ReferencePair[], b: readonly ReferencePair[]): number =>
  Math.max(
    ...flat(a).map((value, i) => Math.abs(value - (flat(b)[i] ?? Number.NaN)) / Math.max(1, Math.abs(value))),
  );

describe("the reference", () => {
  test("is the sum of the base head's log-probabilities over each response, whatever heads there are", async () => {
    const plain = await tinyModel("tiny-llama");
    const before = computeReference(plain, PAIRS, options);
    const base = pairTask()
      .rows(0)
      .map((row) => ({ ...row, objective: undefined }));
    for (const [i, [chosen, rejected]] of logProbs(plain, base, options).entries()) {
      const sum = (values: Float32Array | undefined): number =>
        [...(values ?? [])].reduce((a, b) => a + b, 0);
      expect(before[i]).toEqual({ chosen: sum(chosen), rejected: sum(rejected) });
    }
    plain.heads.addNoisyCopies(OBJECTIVES, { seed: 1, std: 0.5, compute: "float32" });
    expect(computeReference(plain, PAIRS, options)).toEqual(before);
    plain.dispose();
  });

  test("depends on the tokens of a pass by rounding only", () => {
    const wanted = computeReference(model, PAIRS, { maxTokensPerMicrobatch: 1 });
    for (const maxTokensPerMicrobatch of [25, 60, 10_000]) {
      expect(off(computeReference(model, PAIRS, { maxTokensPerMicrobatch }), wanted)).toBeLessThan(1e-6);
    }
  });

  test("of no pairs is empty, cached or not", () =>
    withFolder(async (folder) => {
      expect(computeReference(model, [], options)).toEqual([]);
      for (let i = 0; i < 2; i++) {
        expect(await cachedReference(model, [], { ...options, folder, policy: "sft" })).toEqual([]);
      }
    }));
});

describe("the cache", () => {
  const cached = (
    folder: string,
    {
      policy = "sft",
      pairs = PAIRS,
      of = model,
    }: { policy?: string; pairs?: readonly EncodedPair[]; of?: LanguageModel } = {},
  ): Promise<ReferencePair[]> => cachedReference(of, pairs, { ...options, folder, policy });

  test("gives back to the last bit what was computed, and computes nothing the second time", () =>
    withFolder(async (folder) => {
      const other = await tinyModel("tiny-llama");
      const first = await cached(folder, { of: other });
      expect(first).toEqual(computeReference(other, PAIRS, options));
      // A model that would give other numbers is not asked.
      noGrad(() => ops.zero_(other.heads.base.value));
      expect(await cached(folder, { of: other })).toEqual(first);
      expect(off(computeReference(other, PAIRS, options), first)).toBeGreaterThan(0.01);
      expect(files(folder)).toHaveLength(1);
      other.dispose();
    }));

  test("is not asked with another policy, other tokens, another order or another dtype", () =>
    withFolder(async (folder) => {
      await cached(folder);
      const [first, second, ...rest] = PAIRS;
      if (first === undefined || second === undefined) throw new Error("two pairs at least");
      const rounded = await tinyModel("tiny-llama", { compute: "bfloat16" });
      // The same ids in all, cut elsewhere.
      const [head = 0, ...tail] = first.chosen;
      const cut = { ...first, prompt: [...first.prompt, head], chosen: tail };
      const questions = [
        { policy: "other" },
        { pairs: [second, first, ...rest] },
        { pairs: [cut, second, ...rest] },
        { pairs: [{ ...first, rejected: [...first.rejected, 9] }, second, ...rest] },
        { pairs: rest },
        { of: rounded },
      ];
      for (const [i, question] of questions.entries()) {
        const { of = model, pairs = PAIRS } = question;
        expect(await cached(folder, question)).toEqual(computeReference(of, pairs, options));
        expect(files(folder)).toHaveLength(2 + i);
      }
      rounded.dispose();
    }));

  const many = Array.from({ length: 70 }, (_, index) => PAIRS[index % PAIRS.length] ?? []).flat();

  test("many pairs, taken in slices, give what one call does", () =>
    withFolder(async (folder) => {
      const wanted = computeReference(model, many, options);
      expect(off(await cached(folder, { pairs: many }), wanted)).toBeLessThan(1e-6);
    }));

  test("an interrupted computation stops and keeps nothing", () =>
    withFolder(async (folder) => {
      const stopped = cachedReference(model, many, {
        ...options,
        folder,
        policy: "sft",
        signal: AbortSignal.abort(),
      });
      await expect(stopped).rejects.toMatchObject({ code: "E_INTERRUPTED" });
      expect(files(folder)).toEqual([]);
    }));

  test("does not care which objective a pair is of, or where it came from", () =>
    withFolder(async (folder) => {
      const first = await cached(folder);
      const origin = { file: "elsewhere.jsonl", line: 1 };
      const pairs = PAIRS.map((pair) => ({ ...pair, objective: "wit", origin }));
      expect(await cached(folder, { pairs })).toEqual(first);
      expect(files(folder)).toHaveLength(1);
    }));

  test("that is damaged is an error that names its file, not other numbers", () =>
    withFolder(async (folder) => {
      await cached(folder);
      const path = join(folder, files(folder)[0] ?? "");
      const whole = readFileSync(path);
      for (const bytes of [whole.subarray(0, whole.length - 8), whole.subarray(0, 20), Buffer.alloc(0)]) {
        writeFileSync(path, bytes);
        await expect(cached(folder)).rejects.toMatchObject({
          code: "E_SAFETENSORS",
          message: expect.stringContaining(path),
        });
      }
    }));
});
