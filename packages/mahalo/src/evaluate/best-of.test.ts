/** Choosing among samples: ties, votes, unread answers, and the figures of a case worked out by hand. */
import { describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import { bestBy, bestOf, type Candidate, majority } from "./best-of.ts";

const one = (score: number, steps: number[], vote?: number): Candidate => ({ score, steps, vote });

describe("choices", () => {
  test("a vote goes to the larger class, to the first of equals, and to those that state something", () => {
    const [a, b, c] = [one(0, [], 1), one(1, [], 2), one(1, [], 2)];
    expect(majority([a, b, c])).toBe(b);
    expect(majority([a, b])).toBe(a);
    expect(majority([one(0, []), b])).toBe(b);
    const silent = one(0, []);
    expect(majority([silent, one(1, [])])).toBe(silent);
    expect(majority([])).toBeUndefined();
  });

  test("weights change the vote", () => {
    const [a, b, c] = [one(0, [0.9], 1), one(1, [0.2], 2), one(1, [0.3], 2)];
    expect(majority([a, b, c], ({ steps }) => steps.at(-1) ?? 0)).toBe(a);
  });

  test("a reward model chooses by last, worst, product or mean; what it could not read comes last", () => {
    const [a, b] = [one(0, [0.1, 0.9]), one(1, [0.6, 0.8])];
    expect(bestBy([a, b], "last")).toBe(a);
    expect(bestBy([a, b], "min")).toBe(b);
    expect(bestBy([a, b], "product")).toBe(b);
    expect(bestBy([a, b], "mean")).toBe(b);
    expect(bestBy([one(1, []), one(0, [-5])], "last")?.steps).toEqual([-5]);
  });
});

test("figures of two prompts by hand", () => {
  const prompts = [
    [one(1, [0.2, 0.9], 7), one(0, [0.5, 0.4], 8), one(0, [0.1, 0.3], 8), one(0, [0.1, 0.1], 9)],
    [one(0, [0.3, 0.2], 1), one(1, [0.6, 0.8], 2), one(1, [0.2, 0.1], 2), one(0, [0.0, 0.0])],
  ];
  const found = bestOf(prompts, rng(0, "test"));
  expect(found.prompts).toBe(2);
  expect(found.samples).toBe(4);
  expect(found.one.mean).toBe(0.375);
  expect(found.any.mean).toBe(1);
  expect(found.votes?.mean).toBe(0.5);
  // 0.9 against 0.4 + 0.3, and 0.8 + 0.1 against 0.2.
  expect(found.weightedVotes?.mean).toBe(1);
  expect(found.byModel.last?.mean).toBe(1);
  expect(found.byModel.mean?.mean).toBe(1);
  expect(found.byModel.min?.mean).toBe(0.5);
  expect(found.gain.mean).toBe(0.625);
  expect(found.overVotes?.mean).toBe(0.5);
  expect(found.stepAuc?.mean).toBeGreaterThan(0.5);
  // 1 of the first prompt; of the second 3 in 4, since 0.1 lies below 0.2.
  expect(found.promptAuc).toMatchObject({ mean: 0.875, n: 2 });
  expect(found.stepAuc?.low).toBeLessThanOrEqual(found.stepAuc?.mean ?? 0);
  expect(bestOf(prompts, rng(0, "test"))).toEqual(found);
});

test("without answers that state anything there are no votes, without wrong ones no curve", () => {
  const found = bestOf([[one(1, [0.1]), one(1, [0.2])]], rng(0, "test"));
  expect(found.votes).toBeUndefined();
  expect([found.stepAuc, found.promptAuc]).toEqual([undefined, undefined]);
  expect(found.one.mean).toBe(1);
});
