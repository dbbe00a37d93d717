/** Pairs out of rollouts: whole answers compared by prompt, with where they came from; and other judges' verdicts. */
import { describe, expect, test } from "vitest";
import { Problems } from "../data/rows/problems.ts";
import type { Judge } from "../judges/types.ts";
import { pairLine, pairsFromRollouts, type RolloutPairOptionsInput, rolloutPairOptionsOf } from "./pairs.ts";
import { rejudgeRollouts } from "./rejudge.ts";
import { ending, rolloutRow } from "./testing/rollout-row.ts";

const pairs = (
  rows: Parameters<typeof pairsFromRollouts>[0],
  options: RolloutPairOptionsInput = {},
  problems = new Problems(),
) => pairsFromRollouts(rows, rolloutPairOptionsOf(options), { problems });

const sampled = rolloutRow({
  rollouts: [
    ending({ sample: 0, text: "5", score: 0 }),
    ending({ sample: 1, text: "4", score: 1 }),
    ending({ sample: 2, text: "4 of c", score: 1, finish: "length" }),
    ending({ sample: 3, text: "six", score: 0 }),
  ],
});

describe("pairs out of rollouts", () => {
  test("set correct answers against incorrect ones and say where each came from", () => {
    const made = pairs([sampled], { take: "correct", perPrompt: 4 });
    expect(made.map(({ chosen, rejected }) => [chosen, rejected]).sort()).toEqual([
      ["4", "5"],
      ["4", "six"],
    ]);
    const [first] = made;
    expect(first?.samples.chosen).toEqual({ line: 1, from: 0, sample: 1, score: 1 });
    expect(first === undefined ? undefined : pairLine(first)).toMatchObject({
      objective: "accuracy",
      prompt: "What is 2 and 2?",
      judge: "math",
      source: { file: "rows.jsonl", line: 1 },
    });
  });

  test("leave out answers that were cut, unless they are asked for, and count them", () => {
    const problems = new Problems();
    const one = rolloutRow({ rollouts: sampled.rollouts.slice(2) });
    expect(pairs([one], {}, problems)).toEqual([]);
    expect(problems.toJSON().skipped).toEqual({
      "answers that ended at their length limit": 1,
      "no two answers of a prompt differ enough in score": 1,
    });
    expect(pairs([one], { cut: true })).toHaveLength(1);
  });

  test("compare answers of one prompt across lines, prefix and all, and the recorded response among them", () => {
    const row = rolloutRow({
      steps: ["2 + 2 ", "is 4"],
      rollouts: [
        ending({ from: 1, sample: 0, text: "is 22", steps: 2, score: 0 }),
        ending({ from: 2, text: "", steps: 2, finish: "recorded", score: 1 }),
      ],
    });
    const made = pairs([row, sampled], { take: "correct", perPrompt: 6 });
    expect(made.some(({ chosen }) => chosen === "2 + 2 is 4")).toBe(true);
    expect(made.map(({ samples }) => samples.chosen.line)).toContain(2);
    expect(made.some(({ rejected }) => rejected === "2 + 2 is 22")).toBe(true);
    // Another objective's answers are none of theirs.
    expect(
      pairs([
        { ...row, objective: "engagement" },
        rolloutRow({ rollouts: [ending({ text: "5", score: 0 })] }),
      ]),
    ).toHaveLength(1);
  });

  test("take the turns of dialogues by the mean of their replies", () => {
    const turn = (text: string, ...scores: number[]) =>
      rolloutRow({
        kind: "interactive",
        steps: [text],
        rollouts: scores.map((score, sample) => ending({ from: 1, sample, text: `reply ${sample}`, score })),
      });
    const [pair] = pairs([turn("Look again.", 1, 0), turn("It is 4.", 0, 0)]);
    expect(pair).toMatchObject({
      chosen: "Look again.",
      rejected: "It is 4.",
      samples: { chosen: { score: 0.5 }, rejected: { score: 0 } },
    });
  });
});

describe("another judge", () => {
  const asks: Judge = {
    name: "asks",
    score: async (items) =>
      items.map(({ response }) => ({ score: Number(response.endsWith("?")), reason: response })),
  };

  test("scores the same samples for a second objective", async () => {
    const row = rolloutRow({
      steps: ["So "],
      labels: [1],
      rollouts: [
        ending({ from: 1, text: "why?", score: 0 }),
        ending({ from: 1, sample: 1, text: "4.", score: 1 }),
      ],
    });
    const [other] = await rejudgeRollouts([row], {
      judge: asks,
      judgeContent: "asks",
      objective: "engagement",
      kind: "judged",
    });
    expect(other).toMatchObject({ objective: "engagement", kind: "judged", judge: "asks" });
    expect(other?.rollouts.map(({ score, reason }) => [score, reason])).toEqual([
      [1, "So why?"],
      [0, "So 4."],
    ]);
    expect(other).not.toHaveProperty("labels");
    expect(other?.key).not.toBe(row.key);
  });

  test("is shown the student's reply of a dialogue", async () => {
    const row = rolloutRow({
      kind: "interactive",
      steps: ["Why?"],
      rollouts: [ending({ from: 1, text: "Is it 4?", score: 0 })],
    });
    const [other] = await rejudgeRollouts([row], { judge: asks, judgeContent: "asks" });
    expect(other?.rollouts[0]).toMatchObject({ score: 1, reason: "Is it 4?" });
  });
});
