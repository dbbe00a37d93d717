/** Facts about null: a field that is null is a field that is not there, in every form of row. */
import { expect, test } from "vitest";
import { parseScorable } from "../../scoring/scorable-rows.ts";
import { columnMapper } from "./columns.ts";
import { parseDialogue, parseOpenRow } from "./open-rows.ts";
import { rowReaders } from "./readers/registry.ts";
import { type Origin, parseExample, parsePreference, parsePrompt } from "./rows.ts";
import { parseStepRow } from "./step-rows.ts";

const origin: Origin = { file: "rows.parquet", line: 1 };
const turns = [
  { role: "user", content: "1 + 1?" },
  { role: "assistant", content: "2" },
];

/** Every column that a table of all forms has. */
const columns = [
  "objective",
  "kind",
  "prompt",
  "messages",
  "chosen",
  "rejected",
  "completion",
  "response",
  "completions",
  "labels",
  "label",
  "answer",
  "system",
];
const filledUp = (row: Record<string, unknown>) => ({
  ...Object.fromEntries(columns.map((name) => [name, null])),
  ...row,
});

type Parse = (value: unknown, origin: Origin, objective: string) => unknown;
const forms: [string, Parse, Record<string, unknown>][] = [
  ["pair", parsePreference, { prompt: "a?", chosen: "b", rejected: "c" }],
  [
    "pair of conversations",
    parsePreference,
    { chosen: turns, rejected: [turns[0], { ...turns[1], content: "3" }] },
  ],
  ["example", parseExample, { prompt: "a?", completion: "b" }],
  ["example with a response", parseExample, { prompt: "a?", response: "b" }],
  ["example of messages", parseExample, { messages: turns }],
  ["prompt", parsePrompt, { prompt: "a?" }],
  ["prompt of messages", parsePrompt, { messages: turns.slice(0, 1) }],
  ["prompt with an answer", parsePrompt, { prompt: "a?", answer: "b" }],
  ["open prompt", parseOpenRow, { prompt: "a?" }],
  ["open response", parseOpenRow, { prompt: "a?", completion: "b" }],
  ["open messages", parseOpenRow, { messages: turns }],
  ["dialogue", parseDialogue, { messages: turns }],
  ["steps", parseStepRow, { prompt: "a?", completions: ["b", "c"], labels: [true, null] }],
  ["scored pair", (value) => parseScorable(value, origin), { prompt: "a?", chosen: "b", rejected: "c" }],
  ["scored steps", (value) => parseScorable(value, origin), { prompt: "a?", completions: ["b"] }],
  ["scored response", (value) => parseScorable(value, origin), { prompt: "a?", completion: "b" }],
];

test.each(forms)("%s: columns that are null change nothing", (_, parse, row) => {
  expect(parse(filledUp(row), origin, "o")).toEqual(parse(row, origin, "o"));
});

test("what is null where it is needed is missing, in these words", () => {
  const pair = filledUp({ prompt: "a?", chosen: "b" });
  expect(() => parsePreference(pair, origin, "o")).toThrow(/rejected: is missing/);
  expect(() => parsePrompt(filledUp({}), origin)).toThrow(/prompt: is missing/);
  expect(() => parseStepRow(filledUp({ prompt: "a?" }), origin, "o")).toThrow(/completions: is missing/);
});

test("column maps take null for missing: the default stands in, and a step's label may be none", () => {
  const map = columnMapper({
    prompt: { field: "question", default: "a?" },
    completions: { field: "steps", steps: [{ each: "text" }] },
    labels: { field: "steps", steps: [{ each: "good" }] },
  });
  const steps = [
    { text: "b", good: true },
    { text: "c", good: null },
  ];
  expect(map({ question: null, steps }).rows).toEqual([
    { prompt: "a?", completions: ["b", "c"], labels: [true, null] },
  ]);
  expect(() => map({ question: null, steps: [{ text: "b" }] })).toThrow(/good/);
});

test("readers of published layouts pass over columns that are null", () => {
  const rated = { text: "b", rating: 1, source: null };
  const row = {
    labeler: null,
    question: { problem: "a?", ground_truth_answer: null },
    label: {
      finish_reason: null,
      steps: [{ completions: [rated], human_completion: null, chosen_completion: 0 }],
    },
  };
  const reader = rowReaders.get("prm800k");
  expect(reader?.read(row).map((found) => parseStepRow(found, origin, "o").labels)).toEqual([[1]]);
});
