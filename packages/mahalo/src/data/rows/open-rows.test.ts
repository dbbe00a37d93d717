/** Rows to roll out, in the forms that files have them in. */
import { expect, test } from "vitest";
import { columnMapper } from "./columns.ts";
import { formats } from "./formats.ts";
import { parseDialogue, parseOpenRow } from "./open-rows.ts";

const origin = { file: "rows.jsonl", line: 3 };
const open = (value: unknown) => parseOpenRow(value, origin, "accuracy");

test("an open row is a prompt, or a prompt with its response, answer and labels", () => {
  expect(open({ prompt: "1 + 1?", answer: 2 })).toEqual({
    objective: "accuracy",
    prompt: "1 + 1?",
    answer: "2",
    origin,
  });
  expect(
    open({ prompt: "1 + 1?", completion: "1 + 1\n\n2", labels: [true, 0.5], objective: "sums" }),
  ).toEqual({
    objective: "sums",
    prompt: "1 + 1?",
    response: "1 + 1\n\n2",
    labels: [1, 0.5],
    origin,
  });
  const turns = [
    { role: "user", content: "1 + 1?" },
    { role: "assistant", content: "2" },
  ];
  expect(open({ messages: turns })).toMatchObject({ prompt: turns.slice(0, 1), response: "2" });
  expect(open({ messages: turns.slice(0, 1) })).not.toHaveProperty("response");
});

test("rows without a prompt and with wrong fields say so", () => {
  expect(() => open({ answer: "2" })).toThrow("prompt: is missing");
  expect(() => open({ prompt: "a", labels: ["good"] })).toThrow(/labels/);
  expect(() => parseDialogue({ messages: [] }, origin, "a")).toThrow(/messages/);
});

test("named formats give open rows and whole dialogues", () => {
  const gsm8k = columnMapper(formats.get("question-answer"));
  const [row] = gsm8k({ question: "1 + 1?", answer: "It is <<1+1=2>>2.\n#### 2" }).rows;
  expect(open(row)).toMatchObject({ prompt: "1 + 1?", response: "It is 2.\n#### 2", answer: "2" });
  const mathDial = columnMapper({ ...formats.get("tutoring-dialogue"), turns: "last" });
  const [dialogue] = mathDial({
    question: "Q",
    conversation: "Teacher: (generic)Hi|EOM|Sam: It is 5|EOM|Teacher: (focus)Why?|EOM|Sam: I added",
  }).rows;
  expect(parseDialogue(dialogue, origin, "engagement").messages.map(({ role }) => role)).toEqual([
    "system",
    "assistant",
    "user",
    "assistant",
    "user",
  ]);
});
