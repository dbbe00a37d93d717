/** A small recipe that makes its own labels and pairs, through all stages: what they write, and that stops change nothing. */
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { hashFile } from "../core/files.ts";
import { parseJson } from "../core/json.ts";
import { silenceProgress } from "../core/progress.ts";
import { promptKey } from "../data/rows/rows.ts";
import { readResults } from "../evaluate/results.ts";
import { loadModel } from "../model/folder/load.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { allRollouts } from "../rollout/file.ts";
import { parseRecipe } from "./load.ts";
import { planRecipe } from "./plan.ts";
import { runRecipe } from "./run.ts";
import { readExamples, readOpen, readPrompts } from "./stages/data-files.ts";
import { fixedMachine } from "./testing/machine.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-rollout-pipeline-"));
  const problems = Array.from({ length: 10 }, (_, index) => ({ ask: `${index} and 1?`, right: index + 1 }));
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  await writeFile(join(folder, "problems.jsonl"), lines(problems));
  const more = problems.slice(0, 2).map(({ ask, right }) => ({ ask: `${ask} Now?`, right }));
  await writeFile(join(folder, "more.jsonl"), lines([...more, ...problems.slice(0, 3)]));
  const talk = (at: number) => ({
    messages: [
      { role: "user", content: `Is it ${at}?` },
      { role: "assistant", content: "What do you think?" },
      { role: "user", content: at % 2 === 0 ? "Is it more?" : "Yes." },
      { role: "assistant", content: "Well." },
      { role: "user", content: "Yes." },
    ],
  });
  await writeFile(join(folder, "talks.jsonl"), lines([0, 1, 2, 3, 4, 5].map(talk)));
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const recipe = (name: string, set: string[] = []) =>
  parseRecipe(
    `name: ${name}
model: ${tinyFolder("tiny-llama")}
out: ${folder}
objectives:
  accuracy:
    prompts:
      - { path: problems.jsonl, columns: &columns { prompt: ask, answer: right } }
      - { path: more.jsonl, columns: *columns }
    rollout: { samples: 4, step: line, maxNewTokens: 8, heldOut: 2, batchSize: 8 }
    relabel: { gamma: 0.5 }
    pairs: { from: rollout, cut: true, perPrompt: 2 }
    judge: { kind: rule, pattern: "e" }
  engagement:
    pairs: { from: accuracy, cut: true }
    relabel: { target: value }
    judge: { kind: rule, pattern: "a" }
  interest:
    dialogues: { path: talks.jsonl }
    relabel: { target: value }
    judge: { kind: rule, asksQuestion: true }
data: { maxPromptTokens: 64, maxTokens: 128, heldOut: 0.2 }
sft:
  from:
    - { path: problems.jsonl, columns: { prompt: ask, completion: { template: "{right}" } } }
    - { path: more.jsonl, columns: { prompt: ask, completion: { template: "It is {right}" } } }
  learningRate: 1e-3
  batchSize: 4
  maxSteps: 2
  precision: f32
align: { learningRate: 1e-3, batchSize: 4, maxSteps: 2, precision: f32, saveEvery: 1 }
evaluate: { mixes: 3, prompts: 2, maxNewTokens: 8, baseline: false }
`,
    "recipe.yaml",
    { folder, set },
  );

const at = (...parts: string[]): string => join(folder, ...parts);
const lines = async (...parts: string[]): Promise<Record<string, unknown>[]> => {
  const text = await readFile(at(...parts), "utf8");
  const row = z.record(z.string(), z.unknown());
  return text.split("\n").flatMap((line) => (line === "" ? [] : [parseJson(line, row, parts.join("/"))]));
};

describe("a recipe that brings prompts and judges", () => {
  test("goes through all stages to a model with a head for each objective that has pairs", async () => {
    const outcome = await runRecipe(recipe("whole"));
    const stages = ["data", "sft", "rollout", "relabel", "pairs", "align", "evaluate", "report"];
    expect(outcome.stages.map(({ name }) => name)).toEqual(stages);

    // Held-out prompts are in nothing that is trained on.
    const held = new Set((await readPrompts(at("whole", "data"))).map(({ prompt }) => promptKey(prompt)));
    expect(held.size).toBeGreaterThan(0);
    const open = await readOpen(at("whole", "data"));
    expect(open.some(({ prompt }) => held.has(promptKey(prompt)))).toBe(false);
    expect(open.length + held.size).toBe(12);
    expect((await readExamples(at("whole", "data"))).length).toBeLessThan(15);
    const rolled = await allRollouts(at("whole", "rollout", "accuracy", "train.jsonl"));
    expect(rolled).toHaveLength(open.length);
    for (const { prompt, rollouts, answer } of rolled) {
      expect(held.has(promptKey(prompt))).toBe(false);
      expect(rollouts).toHaveLength(4);
      expect(answer).toMatch(/^\d+$/);
    }
    const measured = await allRollouts(at("whole", "rollout", "accuracy", "held-out.jsonl"));
    expect(measured).toHaveLength(2);
    for (const { prompt } of measured) expect(held.has(promptKey(prompt))).toBe(true);

    // The second objective's rollouts are the first one's samples.
    const shared = await allRollouts(at("whole", "rollout", "engagement", "train.jsonl"));
    const texts = (rows: typeof rolled) => rows.map(({ rollouts }) => rollouts.map(({ text }) => text));
    expect(texts(shared)).toEqual(texts(rolled));

    const steps = await lines("whole", "relabel", "train.jsonl");
    expect(new Set(steps.map(({ objective }) => objective))).toEqual(
      new Set(["accuracy", "engagement", "interest"]),
    );
    expect(steps.find(({ objective }) => objective === "interest")).toMatchObject({ kind: "interactive" });
    const pairs = await lines("whole", "pairs", "rows.jsonl");
    expect(new Set(pairs.map(({ objective }) => objective))).toEqual(new Set(["accuracy", "engagement"]));
    expect(pairs[0]).toMatchObject({
      source: { line: expect.any(Number) },
      samples: { chosen: { score: 1 } },
    });

    const model = await loadModel(at("whole", "align", "model"));
    expect(model.heads.objectives).toEqual(["accuracy", "engagement"]);
    model.dispose();
    const results = await readResults(at("whole", "evaluate", "results.json"));
    expect(results.stages.map(({ name }) => name)).toContain("rollout");
  });

  test("scores each step of the answers that the report shows by the reward models that it trained", async () => {
    const reward = "reward={maxSteps: 2, batchSize: 4, precision: f32, train: frozen}";
    await runRecipe(recipe("shown", [reward, "evaluate.pairAccuracy=false"]), { until: "evaluate" });
    const { sweep } = await readResults(at("shown", "evaluate", "results.json"));
    const replies = (sweep?.samples ?? []).flatMap((sample) => sample.replies);
    expect(replies.length).toBeGreaterThan(0);
    for (const { response, steps } of replies) {
      if (response.trim() === "") continue;
      expect(Object.keys(steps ?? {})).toEqual(["accuracy", "engagement", "interest"]);
      // The steps of a line-wise model are the answer's lines.
      expect(steps?.accuracy?.map(({ text }) => text).join("")).toBe(response);
      for (const { score } of steps?.accuracy ?? []) expect(score).toSatisfy(Number.isFinite);
    }
  });

  test("chooses among held-out answers by the reward models that it trained", async () => {
    const reward = "reward={maxSteps: 2, batchSize: 4, precision: f32, train: frozen}";
    await runRecipe(recipe("chosen", [reward, "evaluate.prompts=0"]), { until: "evaluate" });
    const { bestOf = [], rewardModels = {} } = await readResults(at("chosen", "evaluate", "results.json"));
    expect(Object.keys(rewardModels)).toEqual(["accuracy", "engagement", "interest"]);
    expect(rewardModels.accuracy).toHaveProperty("accuracy/loss");
    expect(bestOf.map(({ objective, model }) => [objective, model])).toEqual([
      ["accuracy", "accuracy"],
      ["engagement", "engagement"],
    ]);
    for (const { prompts, samples, one, any, byModel, votes } of bestOf) {
      expect([prompts, samples]).toEqual([2, 4]);
      for (const { mean } of Object.values(byModel)) {
        expect(mean).toBeLessThanOrEqual(any.mean);
      }
      expect(one.mean).toBeLessThanOrEqual(any.mean);
      // A rule compares no answers, so there is nothing to vote on.
      expect(votes).toBeUndefined();
    }
  });

  test("makes the very same files when it is stopped before every stage and inside of rollouts", async () => {
    const rollouts = at("broken", "rollout", "accuracy", "train.jsonl");
    const stoppedAt: string[] = [];
    for (let ended = false; !ended; ) {
      const controller = new AbortController();
      ended = await runRecipe(recipe("broken"), {
        until: "pairs",
        signal: controller.signal,
        log: (line) => {
          const [place = ""] = /^\S+ (begins|\S+ held out)|^rollout: accuracy:/.exec(line) ?? [];
          if (place === "" || stoppedAt.includes(place)) return;
          stoppedAt.push(place);
          controller.abort();
        },
      }).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: "E_INTERRUPTED" });
          return false;
        },
      );
      // As if the process had been killed in the middle of a line.
      if (stoppedAt.at(-1) === "rollout: accuracy:" && !ended) {
        await truncate(rollouts, (await stat(rollouts)).size - 30);
      }
    }
    expect(stoppedAt.length).toBeGreaterThanOrEqual(5);
    for (const file of [
      "rollout/accuracy/train.jsonl",
      "rollout/engagement/held-out.jsonl",
      "rollout/interest/train.jsonl",
      "relabel/train.jsonl",
      "pairs/rows.jsonl",
      "pairs/train.jsonl",
    ]) {
      expect([file, await hashFile(at("broken", file))]).toEqual([file, await hashFile(at("whole", file))]);
    }
  });

  test("redoes what a changed key decides, and nothing before it", async () => {
    const did = async (...set: string[]) =>
      (await runRecipe(recipe("broken", set), { until: "pairs" })).stages.map(({ did: one }) => one);
    expect(await did("objectives.accuracy.rollout.parallel=2")).toEqual(Array(5).fill("kept"));
    expect(await did("objectives.accuracy.pairs.perPrompt=1")).toEqual([...Array(4).fill("kept"), "ran"]);
    expect(
      await did("objectives.accuracy.relabel.gamma=0.9", "objectives.accuracy.pairs.perPrompt=1"),
    ).toEqual([...Array(3).fill("kept"), "ran", "kept"]);
  });

  test("is planned with its new stages", async () => {
    const plan = await planRecipe(recipe("whole", ["align.beta=0.3"]), fixedMachine());
    expect(plan.stages.map(({ name, state }) => `${name} ${state}`)).toContain("rollout fresh");
    const bounded = ["prompts.0.limit=5", "prompts.1.limit=2"].map((set) => `objectives.accuracy.${set}`);
    const before = await planRecipe(
      recipe("unrun", [
        ...bounded,
        "objectives.interest.dialogues.limit=3",
        "sft.from.0.limit=5",
        "sft.from.1.limit=5",
      ]),
      fixedMachine(),
    );
    expect(before.counts).toBe("sampled");
    expect(before.stages.find(({ name }) => name === "rollout")?.cost?.seconds).toBeGreaterThan(0);
  });
});

test("a recipe whose rollouts cannot be says so", () => {
  const error = (...set: string[]) => {
    try {
      recipe("wrong", set);
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : "";
    }
    return "";
  };
  expect(error("objectives.engagement.pairs.from=acuracy")).toContain(
    'objectives.engagement.pairs.from: unknown objective "acuracy". Did you mean "accuracy"?',
  );
  expect(error("objectives.engagement.pairs.from=engagement")).toContain("has no prompts or dialogues");
  expect(error("objectives.accuracy.judge=null")).toContain("objectives.accuracy.judge");
  expect(error("objectives.accuracy.rollout.sample=3")).toContain('Did you mean "samples"?');
  expect(error("sft.from=chosen")).toContain("sft.from: has no chosen responses");
  expect(error("evaluate.mixes=[{interest: 1}]")).toContain('unknown objective "interest"');
});
