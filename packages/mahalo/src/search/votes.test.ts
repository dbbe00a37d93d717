/** Votes: answers of one meaning in whatever form. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { votesOf } from "./votes.ts";

test("answers that mean the same share a number, in whatever form they stand", () => {
  const texts = ["The answer is 1/2.", "So \\boxed{0.5}", "#### 3", "I do not know.", "3 apples"];
  expect(votesOf(texts)).toEqual([0, 0, 1, undefined, 1]);
});

test("an answer that means two others joins them, wherever it comes", () => {
  expect(votesOf(["25%", "0.25", "25"])).toEqual([0, 0, 0]);
  expect(votesOf(["0.25", "25%", "25"])).toEqual([0, 0, 0]);
  expect(votesOf(["0.25", "25", "25%"])).toEqual([0, 0, 0]);
  expect(votesOf(["0.25", "25"])).toEqual([0, 1]);
  expect(votesOf(["7", "0.25", "8", "25", "7.0", "25%"])).toEqual([0, 1, 2, 1, 0, 1]);
});

test("classes do not depend on the order", () => {
  const pool = [
    "25%",
    "0.25",
    "25",
    "1/4",
    "7 m",
    "7",
    "7 km",
    "x = 7",
    "2 dozen",
    "24",
    "24 eggs",
    "no idea",
  ];
  /** Which pairs of answers are of one class, by name. */
  const pairs = (texts: readonly string[]): string[] => {
    const votes = votesOf(texts);
    return texts
      .flatMap((a, i) => texts.flatMap((b, j) => (votes[i] === votes[j] ? [`${a} & ${b}`] : [])))
      .sort();
  };
  fc.assert(
    fc.property(fc.shuffledSubarray(pool), (texts) => {
      expect(pairs(texts)).toEqual(pairs([...texts].sort()));
    }),
    { numRuns: 60 },
  );
});
