/** Counts behind a plan: what reward models learn from, by what each objective brings. */
import { expect, test } from "vitest";
import { boundedCounts, measuredCounts, rewardCounts, rolloutCounts } from "./counts.ts";
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
  const rolled = rolloutCounts(given, undefined);
  const counts = boundedCounts(given, rolled);
  return { counts, reward: counts && rewardCounts(given, counts, rolled) };
};

test("limits of sources bound them: sampled answers, dialogues' turns, steps of files, and pairs where nothing else is", () => {
  const { counts, reward } = bounded();
  expect(counts).toMatchObject({ measured: false, pairs: 40 * 2 + 7, objectives: 2, examples: 3 });
  expect(reward).toEqual({ steps: 40 * 4 + 5 * 4 + 9, pairs: 7 });
  // A head that compares learns from pairs.
  expect(bounded(["reward.heads.accuracy=bradley-terry"]).reward).toEqual({ steps: 29, pairs: 87 });
  expect(bounded(["objectives.accuracy.relabel.samples=none"]).reward?.steps).toBe(40 + 29);
  expect(bounded(["objectives.accuracy.relabel.samples=all"]).reward?.steps).toBe(40 * 5 + 29);
});

test("a source without a limit leaves what depends on it unknown", () => {
  expect(bounded(["objectives.rated.steps={path: e.jsonl}"])).toMatchObject({
    counts: { pairs: 87 },
    reward: undefined,
  });
  expect(bounded(["objectives.liked.pairs={path: d.jsonl}"]).counts).toBeUndefined();
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
  const rolled = rolloutCounts(given, summary) ?? new Map();
  const counts = measuredCounts(given, summary, rolled);
  expect(counts).toMatchObject({ measured: true, pairs: 46, objectives: 2, heldOutPairs: 1 });
  expect([...counts.pairsOf]).toEqual([
    ["accuracy", 40],
    ["talk", 0],
    ["liked", 6],
    ["rated", 0],
  ]);
  expect(counts.heldOutOf.get("liked")).toBe(1);
  expect(rewardCounts(given, counts, rolled)).toEqual({ steps: 20 * 4 + 2 * 4 + 8, pairs: 6 });
});
