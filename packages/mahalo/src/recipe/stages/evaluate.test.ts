/** The evaluate stage: every mix and every head, and going on from answers that were there. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { silenceProgress } from "../../core/progress.ts";
import { readResults } from "../../evaluate/results.ts";
import { tinyFolder } from "../../model/testing/tiny.ts";
import { runStages } from "../engine/run-stages.ts";
import { parseRecipe } from "../load.ts";
import { alignStage } from "./align.ts";
import { dataStage } from "./data.ts";
import { type Answer, evaluateStage } from "./evaluate.ts";
import { reportStage } from "./report.ts";
import { sftStage } from "./sft.ts";

let folder = "";
beforeAll(async () => {
  silenceProgress(true);
  folder = await mkdtemp(join(tmpdir(), "mahalo-evaluate-"));
  const rows = Array.from({ length: 8 }, (_, index) =>
    JSON.stringify({ prompt: `say ${index}`, chosen: `yes ${index}`, rejected: `no ${index}` }),
  );
  await writeFile(join(folder, "pairs.jsonl"), rows.join("\n"));
});
afterAll(async () => {
  silenceProgress(false);
  await rm(folder, { recursive: true });
});

const recipe = (set: string[] = []) =>
  parseRecipe(
    `name: toy
model: ${tinyFolder("tiny-llama")}
objectives:
  accuracy: { generator: &g { name: word-problems, problems: 8, heldOut: 6 }, judge: { kind: sum } }
  engagement: { generator: *g, judge: { kind: rule, asksQuestion: true } }
sft: { batchSize: 8, maxSteps: 1 }
align: { batchSize: 8, maxSteps: 1 }
data: { maxPromptTokens: 256, maxTokens: 512 }
evaluate: { mixes: 3, prompts: 6, samples: 2 }
`,
    "recipe.yaml",
    { folder, set },
  );

/** Stands in for generation: asks the reader on as far as the mix weighs engagement. */
const fake = () => {
  const asked: string[] = [];
  const answer: Answer = async (_model, prompts, { mix, onAnswer }) => {
    asked.push(JSON.stringify(mix ?? "base"));
    return prompts.map((_, index) => {
      onAnswer();
      return index / prompts.length < (mix?.engagement ?? 0)
        ? "Add them up. What do you get?"
        : "The answer is 0.";
    });
  };
  return { asked, answer };
};

const run = (answer: Answer, name: string, set: string[] = []) =>
  runStages([dataStage, sftStage, alignStage, evaluateStage(answer), reportStage], recipe(set), {
    folder: join(folder, name),
    seed: 0,
  });

describe("evaluate", () => {
  test("sweeps the mixes and the fine-tuned model, ranks held-out pairs, and reports", async () => {
    const { asked, answer } = fake();
    await run(answer, "whole");
    expect(asked).toEqual([
      '{"accuracy":1,"engagement":0}',
      '{"accuracy":0,"engagement":1}',
      '{"accuracy":0.5,"engagement":0.5}',
      '"base"',
    ]);
    const results = await readResults(join(folder, "whole", "evaluate", "results.json"));
    expect(results.sweep?.points.map(({ label, results: by }) => [label, by.engagement?.mean])).toEqual([
      ["accuracy=1,engagement=0", 0],
      ["accuracy=0.5,engagement=0.5", 0.5],
      ["accuracy=0,engagement=1", 1],
      ["sft", 0],
    ]);
    expect(results.sweep?.samples).toHaveLength(2);
    expect(results.pairAccuracy?.heads).toEqual(["sft", "accuracy", "engagement"]);
    expect(results.pairAccuracy?.cells.every(({ accuracy }) => accuracy.n === 6)).toBe(true);
    expect(results.stages.map(({ name }) => name)).toEqual(["data", "sft", "align", "evaluate"]);
    expect(await readFile(join(folder, "whole", "report", "report.html"), "utf8")).toContain("engagement");
    const lines = (await readFile(join(folder, "whole", "evaluate", "answers.jsonl"), "utf8"))
      .trim()
      .split("\n");
    expect(lines).toHaveLength(4 * 6);
    // How far each mix moved; the fine-tuned model is what they are measured from.
    const kl = results.sweep?.points.map((point) => point.kl);
    expect(kl?.map((one) => one?.n)).toEqual([6, 6, 6, undefined]);
    expect(kl?.slice(0, 3).every((one) => one !== undefined && one.mean > 0 && one.mean < 1)).toBe(true);
    expect(lines.filter((line) => line.includes('"kl":'))).toHaveLength(3 * 6);
  });

  test("does not generate again what a run that was cut short had", async () => {
    let left = 2;
    const { asked, answer } = fake();
    const failing: Answer = async (...given) => {
      left -= 1;
      if (left < 0) throw new Error("power cut");
      return answer(...given);
    };
    await expect(run(failing, "cut")).rejects.toThrow("power cut");
    expect(asked).toHaveLength(2);
    await run(answer, "cut");
    expect(asked).toHaveLength(4);
  });

  test("measures no divergence when told not to", async () => {
    await run(fake().answer, "near", ["evaluate.kl=false"]);
    const results = await readResults(join(folder, "near", "evaluate", "results.json"));
    expect(results.sweep?.points.some(({ kl }) => kl !== undefined)).toBe(false);
  });

  /** What a run shows while it goes. */
  const shownBy = async (name: string, set: string[] = []): Promise<string[]> => {
    const spied = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    silenceProgress(false);
    try {
      await run(fake().answer, name, set);
      return spied.mock.calls.map(([text]) => String(text));
    } finally {
      silenceProgress(true);
      spied.mockRestore();
    }
  };

  test("says of which policy each of its lines speaks", async () => {
    const shown = (await shownBy("shown")).filter((line) => /^(evaluate|states)/.test(line));
    const policies = ["accuracy=1,engagement=0", "accuracy=0.5,engagement=0.5", "accuracy=0,engagement=1"];
    const started = (start: string): number => shown.filter((line) => line.startsWith(start)).length;
    for (const policy of policies) {
      expect(started(`evaluate ${policy}: 6 answers in`)).toBe(1);
      expect(started(`evaluate ${policy}, divergence: 6 answers in`)).toBe(1);
      expect(started(`evaluate ${policy}, divergence from the model before align: 6 answers in`)).toBe(1);
    }
    expect(started("evaluate sft: 6 answers in")).toBe(1);
    expect(started("evaluate sft, held-out pairs: ")).toBe(1);
    expect(started("evaluate accuracy, engagement, held-out pairs: ")).toBe(1);
    expect(shown).toHaveLength(3 * 3 + 3);
  });

  test("waits for no measurement that the recipe leaves out, as the quickstart's does", async () => {
    const text = await readFile(new URL("../../../../../recipes/quickstart.yaml", import.meta.url), "utf8");
    const { sft, align, evaluate } = parseRecipe(text, "quickstart.yaml", { folder });
    const never = { evaluateEvery: "never" };
    expect({ sft, align }).toMatchObject({ sft: never, align: never });
    expect(evaluate).toMatchObject({ kl: false, pairAccuracy: false });
    const left = ["evaluate.kl=false", "evaluate.pairAccuracy=false"];
    const blocks = ["sft.evaluateEvery=never", "align.evaluateEvery=never"];
    const shown = await shownBy("unmeasured", [...left, ...blocks]);
    expect(shown.filter((line) => /held.out|divergence|: 0 /.test(line))).toEqual([]);
    expect(shown.filter((line) => line.startsWith("reference: "))).toHaveLength(1);
    for (const stage of ["sft", "align"])
      expect(await readFile(join(folder, "unmeasured", stage, "metrics.jsonl"), "utf8")).not.toContain(
        "eval_",
      );
    const results = await readResults(join(folder, "unmeasured", "evaluate", "results.json"));
    expect(results.pairAccuracy).toBeUndefined();
  });

  test("takes mixes by hand, normalised, and leaves the baseline out when told to", async () => {
    const { asked, answer } = fake();
    await run(answer, "hand", ["evaluate.mixes=[{accuracy: 3, engagement: 1}]", "evaluate.baseline=false"]);
    expect(asked).toEqual(['{"accuracy":0.75,"engagement":0.25}']);
  });

  test("measures pairs alone where nothing is judged, and the model alone where nothing was aligned", async () => {
    const { asked, answer } = fake();
    const pairs = [
      "objectives={x: {pairs: {path: pairs.jsonl}}}",
      "data.heldOut=0.25",
      "align=false",
      "sft=false",
    ];
    await run(answer, "pairs", pairs);
    expect(asked).toEqual([]);
    const results = await readResults(join(folder, "pairs", "evaluate", "results.json"));
    expect(results.sweep).toBeUndefined();
    expect(results.pairAccuracy?.cells).toMatchObject([{ head: "base", objective: "x", accuracy: { n: 2 } }]);
  });

  test("answers a file of prompts when the recipe names one", async () => {
    await writeFile(
      join(folder, "prompts.jsonl"),
      '{"prompt": "1 + 1?", "answer": 2}\n{"prompt": "2 + 2?", "answer": 4}\n',
    );
    const { answer } = fake();
    await run(answer, "file", ["evaluate.from={path: prompts.jsonl}", "evaluate.mixes=1"]);
    const results = await readResults(join(folder, "file", "evaluate", "results.json"));
    expect(results.sweep?.prompts).toBe(2);
  });
});
