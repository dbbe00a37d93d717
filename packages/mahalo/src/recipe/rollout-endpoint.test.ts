/** A recipe whose rollouts an endpoint makes: what is asked, what the run depends on, and that no model is loaded. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { answers, startEndpoint, type TestEndpoint } from "../endpoint/testing/server.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { allRollouts } from "../rollout/file.ts";
import { parseRecipe } from "./load.ts";
import { runRecipe } from "./run.ts";

let folder = "";
let server: TestEndpoint;
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-rollout-endpoint-"));
  server = await startEndpoint(answers(({ body }) => `It is ${(body.seed ?? 0) % 5}.\nDone.`));
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const problems = [0, 1, 2, 3].map((at) => ({
    prompt: `${at} and 1?`,
    completion: `So.\n${at}.`,
    answer: at,
  }));
  await writeFile(join(folder, "problems.jsonl"), lines(problems));
  const turn = (role: string, content: string) => ({ role, content });
  const talk = [
    turn("user", "Is it 4?"),
    turn("assistant", "Why?"),
    turn("user", "Hm."),
    turn("assistant", "Well?"),
  ];
  await writeFile(join(folder, "talks.jsonl"), lines([{ messages: talk }]));
});
afterAll(async () => {
  silenceProgress(false);
  await server.close();
  await rm(folder, { recursive: true });
});

const recipe = (set: string[] = []) =>
  parseRecipe(
    `name: endpoint
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives:
  accuracy:
    prompts: { path: problems.jsonl }
    rollout:
      samples: 2
      step: line
      endpoint: { baseUrl: "${server.baseUrl}", model: big, api: completions, concurrency: 2 }
    pairs: { from: rollout }
    judge: { kind: rule, pattern: "e" }
  interest:
    dialogues: { path: talks.jsonl }
    rollout:
      samples: 1
      simulate: missing
      persona: You are Ann.
      endpoint: { baseUrl: "${server.baseUrl}", model: pupil }
    relabel: { target: value }
    judge: { kind: rule, asksQuestion: true }
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0 }
sft: false
evaluate: { pairAccuracy: false }
`,
    "recipe.yaml",
    { folder, set },
  );
const did = async (...set: string[]) =>
  (await runRecipe(recipe(set), { until: "rollout" })).stages.at(-1)?.did;

test("its endpoint answers prompts by tokens and plays the student, and only what decides answers makes it stale", async () => {
  expect(await did()).toBe("ran");
  const rolled = await allRollouts(join(folder, "endpoint", "rollout", "accuracy", "train.jsonl"));
  expect(rolled).toHaveLength(4);
  for (const { rollouts } of rolled) {
    expect(rollouts.map(({ from, finish }) => [from, finish])).toEqual([
      [1, "end"],
      [1, "end"],
      [2, "recorded"],
    ]);
  }
  const [talk] = await allRollouts(join(folder, "endpoint", "rollout", "interest", "train.jsonl"));
  expect(talk?.rollouts).toMatchObject([{ finish: "recorded", text: "Hm." }]);
  const asked = (model: string) => server.seen.filter(({ body }) => body.model === model);
  expect(asked("big").map(({ path }) => path)).toEqual(Array(8).fill("/v1/completions"));
  expect(asked("big")[0]?.body.prompt?.length).toBeGreaterThan(5);
  expect(asked("pupil").map(({ body }) => body.messages[0]?.content)).toEqual([
    expect.stringMatching(/^You are Ann\./),
  ]);

  const endpoint = "objectives.accuracy.rollout.endpoint";
  const calls = server.seen.length;
  expect(await did(`${endpoint}.concurrency=7`, `${endpoint}.apiKeyEnv=NO_SUCH_KEY`)).toBe("kept");
  expect(server.seen).toHaveLength(calls);
  const stamp = await readFile(join(folder, "endpoint", "rollout", "stage.json"), "utf8");
  expect(stamp).not.toContain("apiKeyEnv");
  expect(await did(`${endpoint}.model=other`)).toBe("ran");
  expect(await did()).toBe("restored");
});

test("its endpoint's mistakes are named", () => {
  const error = (...set: string[]): string => {
    try {
      recipe(set);
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : "";
    }
    return "";
  };
  const endpoint = "objectives.accuracy.rollout.endpoint";
  expect(error(`${endpoint}.modle=x`)).toContain('Did you mean "model"?');
  expect(error(`${endpoint}.baseUrl=localhost`)).toContain("must be an address");
  expect(error(`${endpoint}.apiKeyEnv=sk-1234`)).toContain("never a key itself");
});
