/** Answers of rows: one of any type, several, and none. */
import { expect, test } from "vitest";
import { answerOf } from "./answers.ts";
import { parseDialogue, parseOpenRow } from "./open-rows.ts";
import { parsePrompt } from "./rows.ts";

const origin = { file: "x.jsonl", line: 1 };

test.each([
  ["7", "7"],
  [7, "7"],
  [false, "false"],
  [
    [0.5, "1/2", null, " "],
    ["0.5", "1/2"],
  ],
])("%j is kept as text", (given, answer) => {
  expect(answerOf(given)).toEqual({ answer });
  expect(parsePrompt({ prompt: "?", answer: given }, origin)).toMatchObject({ answer });
  expect(parseOpenRow({ prompt: "?", answer: given }, origin, "a")).toMatchObject({ answer });
  const messages = [{ role: "user", content: "?" }];
  expect(parseDialogue({ messages, answer: given }, origin, "a")).toMatchObject({ answer });
});

test.each(["", "  ", [], [null, ""]].map((given) => [given]))("%j is none", (given) => {
  expect(answerOf(given)).toEqual({});
});

test("an answer of another form is that row's problem", () => {
  expect(() => parsePrompt({ prompt: "?", answer: { value: 7 } }, origin)).toThrow(/answer/);
});
