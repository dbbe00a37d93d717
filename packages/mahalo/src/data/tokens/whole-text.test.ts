/** Facts about broken text: half a character is a bad row, named by its field, wherever a row has text. */
import { describe, expect, test } from "vitest";
import { RowProblem } from "../rows/problems.ts";
import { wholeText } from "./whole-text.ts";

const problemOf = (row: unknown): string => {
  try {
    wholeText(row);
  } catch (error) {
    if (error instanceof RowProblem) return `${error.reason}: ${error.message}`;
    throw error;
  }
  return "none";
};

describe("half a character", () => {
  test.each([
    [{ prompt: "a \ud83d" }, "prompt: holds half a character, \\ud83d"],
    [{ chosen: "\ude42 a" }, "chosen: holds half a character, \\ude42"],
    [
      {
        messages: [
          { role: "user", content: "a" },
          { role: "user", content: "\udbff" },
        ],
      },
      "messages[1].content",
    ],
    [{ steps: ["a", "b\ud800"] }, "steps[1]: holds"],
    [{ answer: { value: ["\udfff"] } }, "answer.value[0]: holds"],
    [{ "key \ud83d": 1 }, "holds half a character, \\ud83d"],
  ])("%j", (row, where) => {
    expect(problemOf(row)).toContain(`broken-text: `);
    expect(problemOf(row)).toContain(where);
  });

  test("whole characters of any plane, and nothing at all, are fine", () => {
    const row = {
      prompt: "🙂 é \u0000",
      answer: undefined,
      labels: [1, null],
      origin: { file: "a", line: 1 },
    };
    expect(wholeText(row)).toBe(row);
  });

  test("depth is no problem", () => {
    let nested: unknown = "\ud83d";
    for (let depth = 0; depth < 50_000; depth++) nested = [nested];
    expect(problemOf(nested)).toContain("broken-text");
  });
});
