/** Reward models between us and transformers: it opens our folders and scores as we do, and we read those it writes. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import type { HeadSpec, RewardHead } from "../../packages/mahalo/src/model/reward/reward-heads.ts";
import {
  loadRewardModel,
  type RewardModel,
  saveRewardModel,
} from "../../packages/mahalo/src/model/reward/reward-model.ts";
import { outputsOfHead, tinyRewards } from "../../packages/mahalo/src/model/testing/rewards.ts";
import {
  distance,
  type TinyName,
  tinyFolder,
  withFolder,
} from "../../packages/mahalo/src/model/testing/tiny.ts";

const python = process.env.MAHALO_PYTHON ?? "python3";
const there = spawnSync(python, ["-c", "import torch, transformers"]).status === 0;
const wanted = there || process.env.CI === "true";
if (!wanted)
  console.warn("transformers is not there (set MAHALO_PYTHON): reward folders are not opened in it");

const numbers = z.array(z.number());
const answersSchema = z.array(
  z.strictObject({
    architecture: z.string(),
    logits: z.array(z.union([numbers, z.array(numbers), z.record(z.string(), numbers)])),
  }),
);
const script = fileURLToPath(new URL("check_reward.py", import.meta.url));

/** Rows of unequal length, so that all but the longest are padded; one ends with the end token. */
const ROWS = [
  [5, 17, 200, 42, 7],
  [9, 8],
  [30, 31, 32, 33, 34, 35, 36, 37, 2],
];

/** What transformers makes of the rows under each job; its complaint is the error. */
const ask = (folder: string, jobs: readonly object[]): z.output<typeof answersSchema> => {
  const out = join(folder, "answers.json");
  const given = ["--jobs", JSON.stringify(jobs), "--rows", JSON.stringify(ROWS), "--out", out];
  const { status, stderr } = spawnSync(python, [script, ...given], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  expect(status, stderr).toBe(0);
  return parseJson(readFileSync(out, "utf8"), answersSchema, out);
};

/** Our outputs of a head at some tokens of a row. */
const ours = (
  model: RewardModel,
  row: readonly number[],
  at: readonly number[],
  head: RewardHead,
): number[] => {
  const outputs = outputsOfHead(model, row, head.name);
  return at.flatMap((token) => [...outputs.subarray(token * head.outputs, (token + 1) * head.outputs)]);
};

type Logits = z.output<typeof answersSchema>[number]["logits"][number] | undefined;

/** Their numbers of one head: they have all heads side by side at a token, value heads by name. */
const theirs = (logits: Logits, { name, outputs }: RewardHead, column: number): number[] => {
  if (logits === undefined) return [];
  if (!Array.isArray(logits)) return logits[name] ?? [];
  const tokens = logits.every((logit) => typeof logit === "number") ? [logits] : logits;
  return tokens.flatMap((token) => (Array.isArray(token) ? token.slice(column, column + outputs) : []));
};

/** Compares all heads at all rows. */
const compare = (
  model: RewardModel,
  { architecture, logits }: z.output<typeof answersSchema>[number],
): void => {
  const whole = architecture.includes("Sequence");
  for (const [r, row] of ROWS.entries()) {
    const at = row.map((_, token) => token).slice(whole ? -1 : 0);
    let column = 0;
    for (const head of model.rewards.all) {
      const gap = distance(ours(model, row, at, head), theirs(logits[r], head, column));
      expect(gap, `${architecture}, row ${r}, ${head.name}`).toBeLessThan(1e-4);
      column += head.outputs;
    }
  }
};

describe.runIf(wanted)("between us and transformers", () => {
  const named = (kind: HeadSpec["kind"], ...names: string[]): HeadSpec[] =>
    names.map((name) => ({ name, kind }));
  const cases: [TinyName, HeadSpec[], string][] = [
    ["tiny-llama", named("bradley-terry", "helpful"), "LlamaForSequenceClassification"],
    ["tiny-qwen2", named("bradley-terry", "helpful", "honest"), "Qwen2ForSequenceClassification"],
    [
      "tiny-qwen3",
      [...named("soft", "clarity"), ...named("hard", "engagement")],
      "Qwen3ForTokenClassification",
    ],
    ["tiny-qwen2", named("value", "accuracy"), "Qwen2Model"],
  ];

  test("it opens our folders of every class and gives our scores to 1e-4, padded rows included", async () => {
    await withFolder(async (folder) => {
      const models: RewardModel[] = [];
      for (const [index, [name, heads]] of cases.entries()) {
        const model = await tinyRewards(name, heads);
        await saveRewardModel(model, join(folder, String(index)));
        models.push(model);
      }
      const answers = ask(
        folder,
        models.map((_, index) => ({ folder: join(folder, String(index)) })),
      );
      expect(answers.map(({ architecture }) => architecture)).toEqual(cases.map(([, , wanted]) => wanted));
      for (const [index, model] of models.entries()) {
        const answer = answers[index];
        if (answer !== undefined) compare(model, answer);
        model.dispose();
      }
    });
  });

  test("we read the folders that it writes, with its scores", async () => {
    const made = [
      ["sequence", 1, "tiny-qwen2", "bradley-terry"],
      ["sequence", 2, "tiny-llama", "hard"],
      ["token", 1, "tiny-qwen3", "soft"],
      ["token", 2, "tiny-qwen3-tied", "hard"],
    ] as const;
    await withFolder(async (folder) => {
      const jobs = made.map(([make, labels, from], index) => ({
        folder: join(folder, String(index)),
        make,
        labels,
        from: tinyFolder(from),
      }));
      const answers = ask(folder, jobs);
      for (const [index, [, , , kind]] of made.entries()) {
        const model = await loadRewardModel(join(folder, String(index)));
        expect(model.rewards.all.map((head) => head.kind)).toEqual([kind]);
        const answer = answers[index];
        expect(answer).toBeDefined();
        if (answer !== undefined) compare(model, answer);
        model.dispose();
      }
    });
  });
});
