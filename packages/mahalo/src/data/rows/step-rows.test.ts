/** Facts about rows of labelled steps: TRL's form with any numbers, a missing label stays missing, no text is lost. */
import { expect, test } from "vitest";
import { parseStepRow, parseSteps } from "./step-rows.ts";

const origin = { file: "steps.jsonl", line: 3 };
const value = { prompt: "1 + 1?", completions: ["One and one.", "It is 2."], labels: [0.7, null] };
const bad = (row: object, why: string | RegExp) => expect(() => parseStepRow(row, origin, "a")).toThrow(why);

test("a label of 0.7 stays 0.7, true is 1, and a step without a label has null", () => {
  expect(parseStepRow(value, origin, "accuracy")).toEqual({
    objective: "accuracy",
    prompt: "1 + 1?",
    steps: ["One and one.\n", "It is 2."],
    labels: [0.7, null],
    origin,
  });
  expect(parseStepRow({ ...value, labels: [true, false] }, origin, "a").labels).toEqual([1, 0]);
  expect(parseStepRow({ ...value, labels: [-1, 0] }, origin, "a", { above: -0.5 }).labels).toEqual([0, 1]);
  expect(parseSteps({ ...value, labels: undefined }, origin, "a").labels).toEqual([null, null]);
});

test("labels as text are what they say, and white space is no step to label", () => {
  const labels = (given: unknown[]) => parseStepRow({ ...value, labels: given }, origin, "a").labels;
  expect(labels(["1", "0"])).toEqual([1, 0]);
  expect(labels(["+", " - "])).toEqual([1, 0]);
  expect(labels(["True", "false"])).toEqual([1, 0]);
  expect(labels(["0.25", "-1"])).toEqual([0.25, -1]);
  for (const word of ["", "good", "1 of 2", "Infinity"]) bad({ ...value, labels: [word, 1] }, "labels[0]");
  bad({ ...value, labels: "+" }, "labels: must be a list");
  bad({ ...value, completions: ["a", " \n"], labels: [1, 1] }, "completions[1]: is only white space");
  expect(parseStepRow({ ...value, completions: ["a", "\n"], labels: [1, null] }, origin, "a").steps).toEqual([
    "a",
    "\n",
  ]);
});

test("steps that bring their white space are joined as they are, others by a line feed or what is asked for", () => {
  const steps = (completions: string[], separator?: string) =>
    parseSteps({ ...value, completions, labels: null }, origin, "a", { separator }).steps;
  expect(steps(["a\n\n", "b"])).toEqual(["a\n\n", "b"]);
  expect(steps(["a", " b"])).toEqual(["a", " b"]);
  expect(steps(["a", "b"])).toEqual(["a\n", "b"]);
  expect(steps(["a", "b"], "\n\n")).toEqual(["a\n\n", "b"]);
  expect(steps(["好。", "好。"], "")).toEqual(["好。", "好。"]);
});

test("the row's own objective and kind count, and a kind in other words is not ours", () => {
  const prompt = [{ role: "user", content: "1 + 1?" }];
  const row = { ...value, prompt, objective: "wit", kind: "judged" };
  expect(parseStepRow(row, origin, "a")).toMatchObject({ objective: "wit", kind: "judged", prompt });
  expect(parseStepRow({ ...row, kind: "algebra", objective: null }, origin, "a")).not.toHaveProperty("kind");
});

test("what cannot be learnt from is refused, and why", () => {
  bad({ ...value, labels: [1] }, "labels: 1 for 2 completions");
  bad({ ...value, labels: ["good", 1] }, "labels[0]");
  bad({ ...value, labels: [null, null] }, "no step has a label");
  bad({ ...value, labels: undefined }, "no step has a label");
  bad({ ...value, completions: [], labels: [] }, "completions");
  bad({ ...value, completions: ["a", ""] }, "completions[1]");
  bad({ ...value, prompt: undefined }, "prompt: is missing");
  bad({ ...value, prompt: " " }, "prompt: is empty");
});
