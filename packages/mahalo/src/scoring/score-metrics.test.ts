/** What scores are worth: pairs, labelled responses and labelled steps, objective by objective. */
import { expect, test } from "vitest";
import { aggregateScores } from "../core/aggregate.ts";
import { scoreMetrics } from "./score-metrics.ts";
import type { JudgedScore, ScoredRow, StepwiseScore } from "./score-rows.ts";
import { describeMetrics, describeScored } from "./score-summary.ts";

const side = (scores: readonly number[], labels: readonly (number | undefined)[] = []): StepwiseScore => ({
  response: "so",
  steps: scores.map((score, index) => {
    const label = labels[index];
    return { text: `step ${index}`, score, ...(label === undefined ? {} : { label }) };
  }),
  ...aggregateScores(scores),
});
const judged = (score: number | null): JudgedScore => ({ response: "so", score, reason: "so it is" });
const row = { row: "rows.jsonl:1", objective: "accuracy", prompt: "What?" };

test("pairs: how often the chosen side scores higher, a tie being wrong", () => {
  const rows: ScoredRow[] = [
    { ...row, chosen: side([0.5, 0.75]), rejected: side([0.25]) },
    { ...row, chosen: side([0.5]), rejected: side([0.5]) },
  ];
  const { accuracy } = scoreMetrics(rows);
  expect(accuracy).toMatchObject({
    rows: 2,
    abstained: 0,
    mean: { last: 0.5, min: 0.4375 },
    pairs: {
      last: { count: 2, accuracy: 0.5, ties: 1, margin: 0.25 },
      min: { count: 2, accuracy: 0.5, ties: 1, margin: 0.125 },
    },
  });
  expect(accuracy).not.toHaveProperty("steps");
  expect(accuracy).not.toHaveProperty("responses");
});

test("steps and responses: against their labels; calibration of probabilities only", () => {
  const rows: ScoredRow[] = [
    { ...row, ...side([0.75, 0.25], [1, 0]) },
    { ...row, ...side([0.5, 0.25], [undefined, 1]), label: 1 },
    { ...row, ...side([0.125]), label: 0 },
  ];
  const soft = scoreMetrics(rows, { kindOf: () => "soft" }).accuracy;
  // Positives 0.75 and 0.25, negative 0.25: one above, one tied.
  expect(soft?.steps).toMatchObject({ count: 3, accuracy: 2 / 3, auc: 0.75, margin: 0.25 });
  expect(soft?.steps?.ece).toBeGreaterThan(0);
  expect(soft?.responses?.last).toMatchObject({ count: 2, accuracy: 0.5, auc: 1, margin: 0.125 });
  const value = scoreMetrics(rows, { kindOf: () => "value", threshold: 0.2 }).accuracy;
  expect(value?.steps).not.toHaveProperty("ece");
  expect(value?.responses?.last?.accuracy).toBe(1);
});

test("intervals are over prompts; rows of a single one have none", () => {
  const asked = (at: number): ScoredRow[] => [
    { ...row, prompt: `What ${at}?`, ...side([at % 4 === 0 ? 0.25 : 0.75], [1]) },
    { ...row, prompt: `What ${at}?`, ...side([0.5], [0]) },
    { ...row, objective: "wit", prompt: `What ${at}?`, chosen: side([at % 2]), rejected: side([0.5]) },
  ];
  const rows = Array.from({ length: 40 }, (_, index) => asked(index)).flat();
  const { accuracy, wit } = scoreMetrics(rows);
  const [low = 0, high = 0] = accuracy?.steps?.aucInterval ?? [];
  expect(accuracy?.steps?.auc).toBe(0.75);
  expect([low > 0.5, low < 0.75, high > 0.75, high < 1]).toEqual([true, true, true, true]);
  const [least = 0, most = 0] = wit?.pairs?.last?.accuracyInterval ?? [];
  expect([least > 0.25, least < 0.5, most > 0.5, most < 0.75]).toEqual([true, true, true, true]);
  expect(scoreMetrics(rows)).toEqual({ accuracy, wit });
  expect(scoreMetrics(asked(1)).accuracy?.steps).not.toHaveProperty("aucInterval");
  expect(describeMetrics(scoreMetrics(rows))).toMatch(/accuracy 0\.500 \[0\.\d+ to 0\.\d+\]/);
});

test("a judge's: by its score; what it abstained from is counted and compared with nothing", () => {
  const rows: ScoredRow[] = [
    { ...row, ...judged(1), label: 1 },
    { ...row, ...judged(null), label: 0 },
    { ...row, objective: "wit", chosen: judged(1), rejected: judged(null) },
  ];
  const { accuracy, wit } = scoreMetrics(rows);
  expect(accuracy).toMatchObject({ abstained: 1, mean: { score: 1 }, responses: { score: { count: 1 } } });
  expect(accuracy?.responses?.score).not.toHaveProperty("auc");
  expect(wit).toEqual({ rows: 1, abstained: 1, mean: { score: 1 } });
});

test("in words", () => {
  const rows: ScoredRow[] = [
    { ...row, ...side([0.75, 0.25], [1, 0]) },
    { ...row, objective: "wit", chosen: judged(1), rejected: judged(null) },
  ];
  expect(rows.map(describeScored)).toEqual([
    "rows.jsonl:1 accuracy\n  last 0.250, min 0.250, product 0.188, mean 0.500\n    0.750 (1)  step 0\n    0.250 (0)  step 1\n",
    "rows.jsonl:1 wit\n  chosen: 1.000  so it is\n  rejected: no verdict  so it is\n",
  ]);
  expect(describeMetrics(scoreMetrics(rows)).split("\n")).toEqual([
    "accuracy: 1 row; mean last 0.250, min 0.250, product 0.188, mean 0.500",
    "  steps: accuracy 1.000, auc 1.000, correlation 1.000, margin 0.500 (2)",
    "wit: 1 row, 1 without a verdict; mean score 1.000",
    "",
  ]);
});
