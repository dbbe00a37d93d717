/** Math-Shepherd rows become labelled steps, tag by tag; text that does not match is refused, never shifted. */
import { expect, test } from "vitest";
import { RowProblem } from "../problems.ts";
import { mathShepherd } from "./math-shepherd.ts";

const text = (...tags: string[]): string =>
  ["Ann has 3 pens + 4 more. How many? Step 1: 3 + 4 = 7 ", "\nStep 2: 7 - 1 = 6 ", "\nThe answer is: 6 "]
    .map((part, index) => part + (tags[index] ?? ""))
    .join("");
const read = (input: string, label: string) => mathShepherd.read({ input, label, task: "GSM8K" });

test("a + is 1 and a - is 0, at the tags' places and nowhere else", () => {
  expect(read(text("ки", "ки", "ки"), text("+", "-", "-"))).toEqual([
    {
      prompt: "Ann has 3 pens + 4 more. How many?",
      completions: ["Step 1: 3 + 4 = 7", "Step 2: 7 - 1 = 6", "The answer is: 6"],
      labels: [1, 0, 0],
    },
  ]);
});

test('the solution begins at the last "Step 1:" before the first tag', () => {
  const [row] = read("What does Step 1: say? Step 1: a ки", "What does Step 1: say? Step 1: a +");
  expect(row).toMatchObject({ prompt: "What does Step 1: say?", completions: ["Step 1: a"] });
});

test("a tag that the label has too is a part of the text", () => {
  const [row] = read("Ann? Step 1: маки ки\nStep 2: ки 3 ки", "Ann? Step 1: маки +\nStep 2: ки 3 -");
  expect(row).toMatchObject({ completions: ["Step 1: маки", "Step 2: ки 3"], labels: [1, 0] });
});

test("other texts are refused and say where", () => {
  const refuse = (input: string, label: string, why: string) => {
    expect(() => read(input, label)).toThrow(RowProblem);
    expect(() => read(input, label)).toThrow(why);
  };
  refuse(text("ки", "ки", "ки"), text("+", "?", "+"), "with + or - for tag 2");
  refuse(text("ки", "ки", "ки"), text("+", "-"), "for tag 3");
  refuse(text("ки"), text("+").replace("Ann", "Ben"), "for tag 1");
  refuse("Step 1: a", "Step 1: a", "has no tag");
  refuse("a ки", "a +", "Step 1:");
  expect(() => mathShepherd.read({ input: "a" })).toThrow("label");
});
