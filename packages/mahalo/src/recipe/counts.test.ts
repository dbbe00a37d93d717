/** Counts behind a plan: what reward models learn from, by what each objective brings. */
import { expect, test } from "vitest";
import { boundedRows, countsOf, rewardCounts } from "./counts.ts";
import { parseRecipe } from "./load.ts";

const recipe = (set: string[] = []) =>
  parseRecipe(
    `name: a
model: m
objectives:
  accuracy:
    prompts: [{ path: a.jsonl, limit: 30 }, { path: b.jsonl, limit: 10 }]
    judge: { kind: sum }
    rollout: { samples: 4, from: prompt }
    relabel: {}
    pairs: { from: rollout, perPrompt: 2 }
  talk:
    dialogues: { path: c.jsonl, limit: 5 }
    judge: { kind: rule, asksQuestion: true }
    relabel: { target: value }
  liked:
    pairs: { path: d.jsonl, limit: 7 }
  rated:
    steps: { path: e.jsonl, limit: 9 }
sft: { from: { path: f.jsonl, limit: 3 } }
reward: {}
evaluate: { pairAccuracy: false }
`,
    "recipe.yaml",
    { set },
  );
const bounded = (set: string[] = []) => {
  const given = recipe(set);
  const counts = countsOf(given, boundedRows(given));
  return { counts, reward: rewardCounts(given, counts) };
};

test("limits of sources bound them: sampled answers, dialogues' turns, steps of files, and pairs where nothing else is", () => {
  const { counts, reward } = bounded();
  expect(counts).toMatchObject({ pairs: 40 * 2 + 7, objectives: 2, examples: 3 });
  expect(reward).toEqual({ steps: 40 * 4 + 5 * 4 + 9, pairs: 7 });
  // A head that compares learns from pairs.
  expect(bounded(["reward.heads.accuracy=bradley-terry"]).reward).toEqual({ steps: 29, pairs: 87 });
  expect(bounded(["objectives.accuracy.relabel.samples=none"]).reward?.steps).toBe(40 + 29);
  expect(bounded(["objectives.accuracy.relabel.samples=all"]).reward?.steps).toBe(40 * 5 + 29);
});

test("a source without a limit leaves what depends on it unknown", () => {
  expect(bounded(["objectives.rated.steps={path: e.jsonl}"])).toMatchObject({
    counts: { pairs: 87 },
    reward: { steps: Number.NaN, pairs: 7 },
  });
  expect(bounded(["objectives.liked.pairs={path: d.jsonl}"])).toMatchObject({
    counts: { pairs: Number.NaN, promptTokens: Number.NaN, examples: 3 },
    reward: { pairs: Number.NaN },
  });
  expect(bounded(["objectives.accuracy.prompts={path: a.jsonl}"]).counts.pairs).toBeNaN();
});

test("what the data stage has counted is taken as it is", () => {
  const meanTokens = { prompt: 10, response: 20 };
  const one = { train: 0, heldOut: 0, meanTokens };
  const summary = {
    objectives: {
      accuracy: { ...one, toRollOut: 20 },
      talk: { ...one, toRollOut: 2 },
      liked: { ...one, train: 6, heldOut: 1 },
      rated: { ...one, steps: { train: 8, heldOut: 1 } },
    },
    examples: { train: 3, heldOut: 0, meanTokens },
    prompts: 0,
    cutPrompts: 0,
    cutResponses: 0,
    rows: { seen: 0, bad: 0, reasons: {}, skipped: {}, notes: {} },
  };
  const given = recipe();
  const counts = countsOf(given, summary);
  expect(counts).toMatchObject({ pairs: 46, objectives: 2, heldOutPairs: 1 });
  expect([...counts.pairsOf]).toEqual([
    ["accuracy", 40],
    ["talk", 0],
    ["liked", 6],
    ["rated", 0],
  ]);
  expect(counts.heldOutOf.get("liked")).toBe(1);
  expect(rewardCounts(given, counts)).toEqual({ steps: 20 * 4 + 2 * 4 + 8, pairs: 6 });
});
