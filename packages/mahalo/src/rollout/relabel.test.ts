/** Rollouts as stepwise rows: targets by step, sampled answers, judged steps, what is left out. */
import { describe, expect, test } from "vitest";
import { Problems } from "../data/rows/problems.ts";
import type { Judge } from "../judges/types.ts";
import { type RelabelOptionsInput, relabelOptionsOf, relabelRows, stepwiseLine } from "./relabel.ts";
import { ending, rolloutRow } from "./testing/rollout-row.ts";

const relabel = (
  rows: Parameters<typeof relabelRows>[0],
  options: RelabelOptionsInput,
  using: Parameters<typeof relabelRows>[2] = {},
) => relabelRows(rows, relabelOptionsOf(options), using);

/** A response of three steps: two rollouts from each of the first two, and its own ending. */
const recorded = rolloutRow({
  steps: ["a\n", "b\n", "c"],
  rollouts: [
    ending({ from: 1, sample: 0, text: "x", steps: 2, score: 1 }),
    ending({ from: 1, sample: 1, text: "y\nz", steps: 3, score: 0 }),
    ending({ from: 2, sample: 0, text: "x", steps: 3, score: 1 }),
    ending({ from: 2, sample: 1, text: "x\ny", steps: 4, score: 1 }),
    ending({ from: 3, text: "", steps: 3, finish: "recorded", score: 1 }),
  ],
});

describe("targets of a recorded response", () => {
  test("in hindsight carry the end back and add the step's own quality", async () => {
    const [row] = await relabel([recorded], {});
    // (0.9^1 + 0) / 2, (0.9^1 + 0.9^2) / 2, 0.9^0
    expect(row?.labels).toEqual([0.45, 0.855, 1].map((value) => expect.closeTo(value, 12)));
    const [labelled] = await relabel([{ ...recorded, labels: [1, 0, 0.5] }], { gamma: 1 });
    expect(labelled?.labels).toEqual([1.5, 1, 1.5]);
    const [without] = await relabel([{ ...recorded, labels: [1, 0, 0.5] }], { gamma: 1, quality: "none" });
    expect(without?.labels).toEqual([0.5, 1, 1]);
    const [valued] = await relabel([recorded], { gamma: 0, quality: "value" });
    expect(valued?.labels).toEqual([0.5, 1, 2]);
  });

  test("as values are means, and hard ones ask whether these pass a bound", async () => {
    const labels = async (options: RelabelOptionsInput) => (await relabel([recorded], options))[0]?.labels;
    expect(await labels({ target: "value" })).toEqual([0.5, 1, 1]);
    expect(await labels({ target: "hard" })).toEqual([1, 1, 1]);
    expect(await labels({ target: "hard", above: 0.5 })).toEqual([0, 1, 1]);
    expect(await labels({ target: "hard", aboveShare: 0.85 })).toEqual([0, 1, 1]);
  });

  test("are null where nothing was rolled out or the judge abstained", async () => {
    const rollouts = recorded.rollouts.map((rollout) =>
      rollout.from === 2 ? { ...rollout, score: null } : rollout,
    );
    const [row] = await relabel([{ ...recorded, rollouts }], { target: "value" });
    expect(row?.labels).toEqual([0.5, null, 1]);
  });
});

test("sampled answers of a prompt become rows, cut into their steps, equal ones once", async () => {
  const rollouts = [
    ending({ sample: 0, text: "2 + 2\n\nis 4", steps: 2, cuts: [7, 11], score: 1 }),
    ending({ sample: 1, text: "is 5", steps: 1, cuts: [4], score: 0 }),
    ending({ sample: 2, text: "is 5", steps: 1, cuts: [4], score: 0 }),
    ending({ sample: 3, text: "an endpoint's", score: 1 }),
  ];
  const rows = await relabel([rolloutRow({ rollouts })], { gamma: 0.5 });
  expect(rows.map(({ steps, labels }) => [steps, labels])).toEqual([
    [
      ["2 + 2\n\n", "is 4"],
      [0.5, 1],
    ],
    [["is 5"], [0]],
  ]);
  expect(await relabel([rolloutRow({ rollouts })], { samples: "none" })).toEqual([]);
});

test("sampled answers behind a prefix have its steps, labelled by all that goes on from them", async () => {
  const rollouts = recorded.rollouts.map((rollout) =>
    rollout.from === 1 ? { ...rollout, cuts: [rollout.text.length] } : rollout,
  );
  const rows = await relabel([{ ...recorded, rollouts }], { target: "value", samples: "all" });
  expect(rows.map(({ steps, labels }) => [steps, labels])).toEqual([
    [recorded.steps, [0.5, 1, 1]],
    [
      ["a\n", "x"],
      [0.5, 1],
    ],
    [
      ["a\n", "y\nz"],
      [0.5, 0],
    ],
  ]);
});

test("a tutor's turn gets the mean of its replies' scores", async () => {
  const before = [{ role: "user" as const, content: "Is it 5?" }];
  const row = rolloutRow({
    kind: "interactive",
    prompt: before,
    steps: ["Try again."],
    rollouts: [
      ending({ from: 1, sample: 0, text: "4!", score: 1 }),
      ending({ from: 1, sample: 1, text: "no", score: 0 }),
    ],
  });
  const [labelled] = await relabel([row], { target: "value" });
  expect(labelled).toMatchObject({
    kind: "interactive",
    prompt: before,
    steps: ["Try again."],
    labels: [0.5],
  });
});

test("a judge labels every step by the response up to it, or is the quality in hindsight", async () => {
  const seen: string[] = [];
  const judge: Judge = {
    name: "length",
    score: async (items) =>
      items.map(({ response }) => {
        seen.push(response);
        return { score: response.length / 10, reason: "" };
      }),
  };
  const [row] = await relabel([recorded], { target: "judge" }, { judge });
  expect(seen).toEqual(["a\n", "a\nb\n", "a\nb\nc"]);
  expect(row?.labels).toEqual([0.2, 0.4, 0.5]);
  const [both] = await relabel([recorded], { quality: "judge", gamma: 1 }, { judge });
  expect(both?.labels).toEqual([0.7, 1.4, 1.5]);
});

test("what gives no label is counted, and a line says where its row comes from", async () => {
  const problems = new Problems();
  expect(await relabel([rolloutRow()], {}, { problems })).toEqual([]);
  expect(problems.toJSON().skipped).toEqual({ "they have no response whose steps are known": 1 });
  const [row] = await relabel([recorded], { target: "value" });
  expect(row === undefined ? undefined : stepwiseLine(row)).toEqual({
    objective: "accuracy",
    kind: "verifiable",
    prompt: "What is 2 and 2?",
    completions: ["a\n", "b\n", "c"],
    labels: [0.5, 1, 1],
    answer: "4",
    source: { file: "rows.jsonl", line: 1 },
  });
  expect(() => relabelOptionsOf({ gamma: 2 })).toThrow(/relabel: gamma: must be at most 1/);
});
