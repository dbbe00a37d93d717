/** The rules that take one of a search's answers: worked examples, ties, and answers that state nothing. */
import { describe, expect, test } from "vitest";
import { choiceOf, choices, strategies } from "./registry.ts";
import type { Finished } from "./types.ts";

const answers = (...given: [total: number, vote: number | undefined][]): Finished[] =>
  given.map(([total, vote], id) => ({
    node: { id, step: 1, group: 0, text: "", ids: [], copies: 1, kept: true },
    total,
    vote,
  }));
const taken = (rule: string, finished: readonly Finished[]): number | undefined =>
  choices.get(rule).choose(finished)?.node.id;

describe("by hand", () => {
  const four = answers([0.9, 1], [0.5, 0], [0.4, 0], [0.2, 0]);
  test("the best has the highest score", () => expect(taken("best", four)).toBe(0));
  test("most answers state 0, the first of them is taken", () => expect(taken("majority", four)).toBe(1));
  test("scores less the lowest weigh: 0.7 against 0.3 + 0.2 + 0", () =>
    expect(taken("weighted-vote", four)).toBe(0));
  test("the best of the class with most weight is taken", () =>
    expect(taken("weighted-vote", answers([0.9, 1], [0.7, 0], [0.8, 0], [0.1, 2]))).toBe(2));
});

test("of equals the first is taken", () => {
  for (const rule of choices.names) expect(taken(rule, answers([1, 0], [1, 1], [1, 2])), rule).toBe(0);
});

test("answers that state nothing do not vote; where none does, the first or the best is taken", () => {
  expect(taken("majority", answers([9, undefined], [1, 0], [8, undefined]))).toBe(1);
  expect(taken("weighted-vote", answers([9, undefined], [1, 0], [8, undefined]))).toBe(1);
  expect(taken("majority", answers([1, undefined], [2, undefined]))).toBe(0);
  expect(taken("weighted-vote", answers([1, undefined], [2, undefined]))).toBe(1);
});

test("only votes among whole answers need no scores", () => {
  const free = strategies.names.flatMap((strategy) =>
    [undefined, ...choices.names].flatMap((rule) =>
      choiceOf(strategy, rule).scored ? [] : [`${strategy}, ${rule}`],
    ),
  );
  expect(free).toEqual([
    "best-of-n, majority",
    "majority, undefined",
    "majority, majority",
    "weighted-vote, majority",
  ]);
});
