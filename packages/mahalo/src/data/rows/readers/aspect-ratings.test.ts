/** UltraFeedback rows become pairs of every aspect: the highest rating against each lower one, and never against an equal. */
import { expect, test } from "vitest";
import { aspectRatings } from "./aspect-ratings.ts";

const answer = (response: string, helpfulness: unknown, honesty: unknown) => ({
  model: "some-model",
  response,
  annotations: {
    helpfulness: { Rating: helpfulness, Rationale: "why", Type: ["1"] },
    honesty: { Rating: honesty, Rationale: "why" },
  },
  overall_score: 7,
});
const row = (...completions: object[]) => ({ source: "a", instruction: "Why?", models: [], completions });
const pair = (objective: string, chosen: string, rejected: string) => ({
  objective,
  prompt: "Why?",
  chosen,
  rejected,
});

test("each aspect has pairs of its own, under its name", () => {
  const found = aspectRatings.read(
    row(answer("a", "2", "5"), answer("b", "5", "5"), answer("c", "5", "N/A"), answer("d", "3", "1")),
  );
  expect(found).toEqual([
    pair("helpfulness", "b", "d"),
    pair("helpfulness", "b", "a"),
    pair("honesty", "a", "d"),
  ]);
});

test("an answer without text or rating takes no part, and equal ratings make no pair", () => {
  expect(aspectRatings.read(row(answer("a", "5", 3), answer(" ", "1", 2), answer("b", null, 3)))).toEqual([]);
  const missing = { response: "c", annotations: { helpfulness: { Rating: "4" } } };
  expect(aspectRatings.read(row(answer("a", "5", "N/A"), missing))).toEqual([pair("helpfulness", "a", "c")]);
});

test("a row of another form is refused with its field", () => {
  expect(() => aspectRatings.read({ instruction: "Why?" })).toThrow("completions");
  expect(() => aspectRatings.read(row({ response: "a" }))).toThrow("completions[0].annotations");
});
