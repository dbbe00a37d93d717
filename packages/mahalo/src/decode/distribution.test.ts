/** What the engine draws against the model's own probabilities: as often as they say, and with the log-probabilities they have. */
import { noGrad, ops, scope } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { hiddenOf, sequence, type TinyName, tinyModel } from "../model/testing/tiny.ts";
import { generateAll } from "./generate.ts";
import { LogitChanges } from "./logit-changes.ts";
import type { GenerateRequest } from "./request.ts";
import { type SamplingInput, samplingOf, tokenDistribution } from "./sampling.ts";

const models = new Map<TinyName, LanguageModel>();
const modelOf = (name: TinyName): LanguageModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
};
const names = ["tiny-llama", "tiny-qwen3"] as const;
beforeAll(async () => {
  for (const name of names) {
    const model = await tinyModel(name);
    model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.3, compute: "float32" });
    models.set(name, model);
  }
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});

/** Logits behind every token of a text, in one pass over all of it. */
const teacherForced = (model: LanguageModel, ids: readonly number[], mix: Mix): Float32Array[] =>
  noGrad(() =>
    scope(() => {
      const logits_TV = ops.linear(hiddenOf(model, sequence(ids)), model.heads.mix(mix)).to("float32");
      const all = logits_TV.toFloat32Array();
      const width = logits_TV.size(1);
      return ids.map((_, index) => all.slice(index * width, (index + 1) * width));
    }),
  );

/** The 99.9% quantile of chi-square, by Wilson and Hilferty's cube. */
const quantile = (degrees: number): number =>
  degrees * (1 - 2 / (9 * degrees) + 3.0902 * Math.sqrt(2 / (9 * degrees))) ** 3;

describe("first tokens of many seeds", () => {
  const prompt = [5, 17, 200];
  const mix = { a: 0.4, b: 0.6 };
  const draws = 2000;

  test.each<[string, SamplingInput]>([
    ["all tokens", { temperature: 1 }],
    ["a temperature", { temperature: 0.6 }],
    ["top-k", { temperature: 1, topK: 12 }],
    ["top-p", { temperature: 1.5, topP: 0.7 }],
    ["min-p", { temperature: 1, minP: 0.03 }],
    [
      "all of them and a penalty",
      { temperature: 1.2, topK: 30, topP: 0.9, minP: 0.05, repetitionPenalty: 1.3 },
    ],
  ])("under %s come as often as the exact probabilities say", async (_what, sampling) => {
    const model = modelOf("tiny-llama");
    const logits = teacherForced(model, prompt, mix).at(-1) ?? new Float32Array(0);
    const settings = samplingOf(sampling);
    const { ids, weights } = tokenDistribution(logits, settings, new LogitChanges(settings, { prompt }));
    const requests = Array.from({ length: draws }, (_, seed): GenerateRequest => {
      return { ids: prompt, mix, sampling, seed, maxNewTokens: 1 };
    });
    const counts = new Map<number, number>();
    for (const { ids: drawn } of await generateAll(model, requests, { batchSize: 500 })) {
      const [id = -1] = drawn;
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    // Rare tokens share a cell, as the test's approximation needs a few expected in each.
    const cells: { expected: number; seen: number }[] = [];
    const rare = { expected: 0, seen: 0 };
    for (const [index, id] of ids.entries()) {
      const cell = { expected: draws * (weights[index] ?? 0), seen: counts.get(id) ?? 0 };
      counts.delete(id);
      if (cell.expected >= 8) cells.push(cell);
      else {
        rare.expected += cell.expected;
        rare.seen += cell.seen;
      }
    }
    // Nothing came that the settings leave out.
    expect([...counts.keys()]).toEqual([]);
    if (rare.expected >= 8) cells.push(rare);
    const chiSquare = cells.reduce((sum, { expected, seen }) => sum + (seen - expected) ** 2 / expected, 0);
    expect(cells.length).toBeGreaterThan(3);
    // Seeds are fixed: this fails when draws change for the worse, and never by chance.
    expect(chiSquare).toBeLessThan(quantile(cells.length - 1));
  });
});

describe.each(names)("log-probabilities of %s", (name) => {
  test.each<[string, Partial<GenerateRequest>]>([
    ["greedy", {}],
    ["sampled", { sampling: { temperature: 1.4, topK: 60, topP: 0.95, repetitionPenalty: 1.1 } }],
  ])("%s are those of one pass over the whole text", async (_kind, extra) => {
    const model = modelOf(name);
    const mixes: Mix[] = [{ a: 1 }, { a: 0.4, b: 0.6 }, { b: 1 }];
    const requests = mixes.map((mix, seed): GenerateRequest => {
      const ids = Array.from({ length: 3 + 20 * seed }, (_, index) => 3 + ((7 * index + seed) % 200));
      return { ids, mix, seed, maxNewTokens: 40, logprobs: true, ...extra };
    });
    const completions = await generateAll(model, requests);
    for (const [index, { ids, logprobs = [] }] of completions.entries()) {
      const prompt = requests[index]?.ids ?? [];
      expect(logprobs).toHaveLength(ids.length);
      const logits = teacherForced(model, [...prompt, ...ids], mixes[index] ?? {});
      for (const [index, id] of ids.entries()) {
        const row = logits[prompt.length + index - 1] ?? new Float32Array(0);
        const largest = row.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
        const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
        const exact = (row[id] ?? Number.NaN) - largest - Math.log(sum);
        expect(Math.abs((logprobs[index] ?? Number.NaN) - exact)).toBeLessThan(1e-3);
      }
    }
  });

  test("are told only where they are asked for", async () => {
    const [one, other] = await generateAll(modelOf(name), [
      { ids: [5, 17], maxNewTokens: 3 },
      { ids: [5, 17], maxNewTokens: 3, logprobs: true },
    ]);
    expect(one).not.toHaveProperty("logprobs");
    expect(other?.ids).toEqual(one?.ids);
    expect(other?.logprobs).toHaveLength(3);
  });
});
