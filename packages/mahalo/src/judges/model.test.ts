/** The judge `model`: a reward model's folder judges replies, in [0, 1], by any head and aggregate. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadRewardModel, saveRewardModel } from "../model/reward/reward-model.ts";
import { ALL_KINDS, scoresOfHead, tinyRewards } from "../model/testing/rewards.ts";
import { encodeScored } from "../scoring/score-text.ts";
import { unitScore } from "../scoring/unit-score.ts";
import { judgeFiles, makeJudge } from "./registry.ts";
import type { JudgedItem } from "./types.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-judge-model-"));
const path = join(folder, "model");
const single = join(folder, "single");
beforeAll(async () => {
  for (const [to, heads] of [
    [path, ALL_KINDS],
    [single, ALL_KINDS.slice(1, 2)],
  ] as const) {
    const model = await tinyRewards("tiny-llama", heads, { boundary: { by: "line" } });
    await saveRewardModel(model, to);
    model.dispose();
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

const items: JudgedItem[] = ["It is so.\nThat is it.\nAll of it.", "No."].map((response) => ({
  prompt: [{ role: "user", content: "What is 2 and 2?" }],
  response,
}));
const judge = (options: object) =>
  makeJudge({ kind: "model", model: path, precision: "f32", ...options }, "recipe.yaml: judge");

describe.each(ALL_KINDS)("the $kind head", ({ name, kind }) => {
  test("judges as it scores every prefix, probabilities as they are and others by the logistic function", async () => {
    const model = await loadRewardModel(path);
    const expected = items.map(({ prompt, response }) => {
      const text = encodeScored(model, [...prompt], response, { objective: name });
      return text.ends.map((end) => {
        const scores = scoresOfHead(model, [...text.prompt, ...text.response.slice(0, end)], name);
        return unitScore(kind, scores.at(-1) ?? Number.NaN);
      });
    });
    model.dispose();
    expect(expected.map(({ length }) => length)).toEqual([3, 1]);
    const [first = []] = expected;
    const one = judge({ objective: name });
    const last = await one.score(items);
    for (const [index, scores] of expected.entries()) {
      expect(last[index]?.score).toBeCloseTo(scores.at(-1) ?? Number.NaN, 5);
    }
    one.dispose?.();
    const least = judge({ objective: name, aggregate: "min" });
    expect((await least.score(items))[0]?.score).toBeCloseTo(Math.min(...first), 5);
    least.dispose?.();
    // Another boundary: the whole reply is one step.
    const whole = judge({ objective: name, step: "turn", aggregate: "mean", batchSize: 1 });
    const told: number[] = [];
    const verdicts = await whole.score(items, { onVerdict: (index) => told.push(index) });
    expect(verdicts[0]?.score).toBeCloseTo(first.at(-1) ?? Number.NaN, 5);
    expect(verdicts[0]?.reason).toMatch(new RegExp(`^${name} 0\\.\\d{3} \\(1 step\\)$`));
    expect(told).toEqual([0, 1]);
    whole.dispose?.();
  });
});

test("a model of one objective needs no name; one of several, or a wrong name, is an error", async () => {
  const one = makeJudge({ kind: "model", model: single, precision: "f32" }, "judge");
  expect((await one.score(items)).every(({ score }) => score !== null && score > 0 && score < 1)).toBe(true);
  one.dispose?.();
  await expect(judge({}).score(items)).rejects.toMatchObject({ code: "E_REWARD_OBJECTIVE" });
  await expect(judge({ objective: "clarty" }).score(items)).rejects.toThrow(MahaloError);
  expect(() => judge({ aggregate: "max" })).toThrow(/aggregate/);
});

test("abstains from what is longer than the context", async () => {
  const one = judge({ objective: "clarity" });
  const [item] = items;
  const long = { prompt: item?.prompt ?? [], response: "It is so. ".repeat(300) };
  const [first, second] = await one.score([long, ...items]);
  expect(first).toMatchObject({ score: null, reason: expect.stringMatching(/tokens are more than/) });
  expect(second?.score).toBeGreaterThan(0);
  one.dispose?.();
});

test("its files are those of the folder; a hub id has none", () => {
  const files = judgeFiles({ kind: "model", model: path }, "judge");
  expect(files.map(({ option }) => option)).toContain("model/model.safetensors");
  expect(files.every((file) => file.path === join(path, file.option.slice("model/".length)))).toBe(true);
  expect(judgeFiles({ kind: "model", model: "someone/some-model" }, "judge")).toEqual([]);
});
