/** Tests of mixes, the sweep, pair accuracy and the format of results.json. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { makeJudge } from "../judges/registry.ts";
import { formatMix, mixGrid } from "./mixes.ts";
import { pairAccuracy } from "./pair-accuracy.ts";
import { inventedResults } from "./report/testing/fixture.ts";
import { readResults, resultsSchema, writeResults } from "./results.ts";
import { type Policy, runSweep } from "./sweep.ts";

describe("mixes", () => {
  test("two objectives: evenly from one to the other", () => {
    expect(mixGrid(["a", "b"], 5)).toEqual([
      { a: 1, b: 0 },
      { a: 0.75, b: 0.25 },
      { a: 0.5, b: 0.5 },
      { a: 0.25, b: 0.75 },
      { a: 0, b: 1 },
    ]);
    expect(formatMix({ a: 0.75, b: 1 / 4 })).toBe("a=0.75,b=0.25");
  });

  test("three objectives: a simplex grid with every pure objective and the equal mix", () => {
    const mixes = mixGrid(["a", "b", "c"], 5);
    expect(mixes).toHaveLength(7);
    expect(mixes).toContainEqual({ a: 1 / 3, b: 1 / 3, c: 1 / 3 });
    expect(mixGrid(["a", "b", "c"], 10)).toHaveLength(10);
  });

  test("weights sum to 1, no mix comes twice, every pure objective is there", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 12 }), (objectives, count) => {
        const names = Array.from({ length: objectives }, (_, index) => `o${index}`);
        const mixes = mixGrid(names, count);
        expect(new Set(mixes.map(formatMix)).size).toBe(mixes.length);
        for (const mix of mixes) {
          expect(Object.values(mix).reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
        }
        for (const name of names) {
          expect(mixes.some((mix) => mix[name] === 1)).toBe(true);
        }
      }),
    );
    expect(() => mixGrid([], 5)).toThrow(expect.objectContaining({ code: "E_MIXES" }));
    expect(() => mixGrid(["a"], 1.5)).toThrow(expect.objectContaining({ code: "E_MIXES" }));
  });
});

describe("the sweep", () => {
  const prompts = Array.from({ length: 60 }, (_, index) => ({
    prompt: [{ role: "user" as const, content: `What is ${index} + 1?` }],
    reference: index + 1,
  }));
  /** Tells the answer with the mix's accuracy weight as its probability, else asks. */
  const policy = (accuracy: number): Policy => ({
    label: `a=${accuracy}`,
    mix: { accuracy, engagement: 1 - accuracy },
    respond: async (asked) => {
      const random = rng(accuracy * 100, "policy");
      return asked.map((_, index) =>
        random.next() < accuracy ? `The answer is ${index + 1}.` : "What do you think?",
      );
    },
  });
  const judges = {
    accuracy: makeJudge({ kind: "sum" }, ""),
    engagement: makeJudge({ kind: "rule", asksQuestion: true }, ""),
  };

  test("scores every policy on every objective and says that the ends are apart", async () => {
    const seen: string[] = [];
    const outcome = await runSweep({
      policies: [policy(1), policy(0.5), policy(0), { label: "sft", respond: policy(0.5).respond }],
      judges,
      prompts,
      samples: 3,
      onPolicy: ({ label }, done, total) => seen.push(`${label} ${done}/${total}`),
    });
    expect(seen).toEqual(["a=1 1/4", "a=0.5 2/4", "a=0 3/4", "sft 4/4"]);
    expect(outcome.points[0]?.results).toMatchObject({
      accuracy: { mean: 1, n: 60 },
      engagement: { mean: 0 },
    });
    expect(outcome.points[3]?.mix).toBeUndefined();
    expect(outcome.steering).toMatchObject([
      { objective: "accuracy", ownEnd: "a=1", otherEnd: "a=0", apart: true, difference: { mean: 1 } },
      { objective: "engagement", ownEnd: "a=0", otherEnd: "a=1", apart: true, difference: { mean: 1 } },
    ]);
    expect(outcome.control).toMatchObject([
      { objective: "accuracy", tau: 1, sideEffects: {} },
      { objective: "engagement", tau: 1, sideEffects: {} },
    ]);
    expect(outcome.samples).toHaveLength(3);
    expect(outcome.samples[0]?.replies.map(({ label }) => label)).toEqual(["a=1", "a=0.5", "a=0", "sft"]);
    expect(outcome.answers).toHaveLength(240);
    expect(outcome.answers[0]?.verdicts.accuracy?.score).toBe(1);
  });

  test("is repeatable, and ends that answer alike are not apart", async () => {
    const run = () =>
      runSweep({
        policies: [policy(0.5), { ...policy(0.5), label: "other", mix: { accuracy: 0 } }],
        judges,
        prompts,
        seed: 4,
      });
    const outcome = await run();
    expect(await run()).toEqual(outcome);
    expect(outcome.steering.every(({ apart }) => !apart)).toBe(true);
  });

  test("answers on which a judge abstains count neither way, and none judged is an error", async () => {
    const abstaining = (every: number) => ({
      name: "shy",
      score: async (items: readonly unknown[]) =>
        items.map((_, index) =>
          index % every === 0 ? { score: null, reason: "no label" } : { score: index % 2, reason: "" },
        ),
    });
    const options = { policies: [policy(1), policy(0)], prompts };
    const outcome = await runSweep({ ...options, judges: { accuracy: abstaining(3) } });
    expect(outcome.points[0]?.results.accuracy).toMatchObject({ n: 40, mean: 0.5 });
    expect(outcome.steering[0]?.difference).toMatchObject({ n: 40, mean: 0 });
    expect(outcome.answers[0]?.verdicts.accuracy).toEqual({ score: null, reason: "no label" });
    await expect(runSweep({ ...options, judges: { accuracy: abstaining(1) } })).rejects.toMatchObject({
      code: "E_SWEEP_ABSTAINED",
    });
  });

  test("nothing to evaluate and answers that do not fit the prompts are errors", async () => {
    await expect(runSweep({ policies: [], judges, prompts })).rejects.toThrow(/no mixes/);
    await expect(runSweep({ policies: [policy(1)], judges, prompts: [] })).rejects.toThrow(
      /no held-out prompts/,
    );
    await expect(runSweep({ policies: [policy(1)], judges: {}, prompts })).rejects.toThrow(/no judges/);
    const short = { label: "short", respond: async () => ["one"] };
    await expect(runSweep({ policies: [short], judges, prompts })).rejects.toThrow(/1 answers to 60 prompts/);
    const lazy = { a: { name: "lazy", score: async () => [] } };
    await expect(runSweep({ policies: [policy(1)], judges: lazy, prompts })).rejects.toThrow(/0 verdicts/);
  });
});

describe("pair accuracy", () => {
  test("counts positive margins; a tie is wrong", () => {
    const found = pairAccuracy([
      { head: "a", objective: "a", margins: [1, 2, 0, -1] },
      { head: "a", objective: "b", margins: [1] },
      { head: "sft", objective: "a", margins: [-1] },
    ]);
    expect(found.heads).toEqual(["a", "sft"]);
    expect(found.objectives).toEqual(["a", "b"]);
    expect(found.cells.map(({ accuracy }) => accuracy.mean)).toEqual([0.5, 1, 0]);
  });

  test("rewards are margins above the reference's on the same pairs, which has none itself", () => {
    const found = pairAccuracy(
      [
        { head: "sft", objective: "x", margins: [-5, 2, 3] },
        { head: "x", objective: "x", margins: [-4, 1, 3] },
      ],
      "sft",
    );
    expect(found.cells.map(({ rewardAccuracy }) => rewardAccuracy?.mean)).toEqual([undefined, 1 / 3]);
    const other = { head: "x", objective: "x", margins: [1] };
    expect(() => pairAccuracy([{ head: "sft", objective: "x", margins: [1, 2] }, other], "sft")).toThrow(
      /the reference has other pairs/,
    );
  });

  test("no pairs and margins that are no numbers are errors", () => {
    expect(() => pairAccuracy([{ head: "a", objective: "b", margins: [] }])).toThrow(/no held-out pairs/);
    expect(() => pairAccuracy([{ head: "a", objective: "b", margins: [Number.NaN] }])).toThrow(
      /not a number/,
    );
  });
});

describe("results.json", () => {
  test("is read as it was written; other versions and unknown keys are refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mahalo-results-"));
    const path = join(folder, "results.json");
    const results = inventedResults();
    await writeResults(path, results);
    expect(await readResults(path)).toEqual(resultsSchema.parse(results));
    writeFileSync(path, JSON.stringify({ ...results, version: 1 }));
    await expect(readResults(path)).rejects.toMatchObject({ code: "E_RESULTS" });
    writeFileSync(path, JSON.stringify({ ...results, sweeps: 1 }));
    await expect(readResults(path)).rejects.toThrow(/Did you mean "sweep"/);
    rmSync(folder, { recursive: true });
  });
});
