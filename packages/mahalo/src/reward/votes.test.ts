/** Votes: answers of one meaning in whatever form. */
import { expect, test } from "vitest";
import { votesOf } from "./votes.ts";

test("answers that mean the same share a number, in whatever form they stand", () => {
  const texts = ["The answer is 1/2.", "So \\boxed{0.5}", "#### 3", "I do not know.", "3 apples"];
  expect(votesOf(texts)).toEqual([0, 0, 1, undefined, 1]);
});
