/** A strategy is one file and one line: REBASE and a particle filter search like those that are there. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../../model/folder/load.ts";
import { tinyModel } from "../../model/testing/tiny.ts";
import type { Scorer } from "../scorer.ts";
import { searchAnswer } from "../search.ts";
import { particles, rebase } from "../testing/strategies.ts";
import type { SearchTree } from "../tree.ts";
import { sideBySide, strategies } from "./registry.ts";

strategies.add("rebase", rebase);
strategies.add("particles", particles);

/** Likes long texts. */
const byLength: Scorer = {
  objectives: ["length"],
  tokens: 0,
  begin: async () => 0,
  score: async (steps) => steps.map(({ text }) => ({ state: 0, scores: { length: text.length / 3 } })),
  drop: () => undefined,
  dispose: () => undefined,
};

let model: LanguageModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama", { training: false });
});
afterAll(() => model.dispose());

const run = async (strategy: string, seed = 3): Promise<SearchTree> => {
  const search = { strategy: strategy, candidates: 6, maxStepTokens: 4, maxSteps: 4 };
  const request = { ids: [5, 17, 200, 42], prompt: "Two?", seed, maxNewTokens: 40, search };
  return (await searchAnswer(model, request, { scorer: byLength })).tree;
};

test("stands among the names that settings allow", () => {
  expect(strategies.names).toContain("rebase");
  expect(strategies.names).toContain("particles");
});

describe.each(["rebase", "particles"])("%s", (strategy) => {
  test("searches, repeatably, and says under which name", async () => {
    const [tree, again, other] = [await run(strategy), await run(strategy), await run(strategy, 4)];
    expect(tree.strategy).toBe(strategy);
    expect(again).toEqual(tree);
    expect(other.nodes).not.toEqual(tree.nodes);
    expect(tree.path.length).toBeGreaterThan(1);
  });

  test("grows different numbers of candidates out of paths, as it shares them out", async () => {
    const { nodes } = await run(strategy);
    const children = nodes.flatMap(({ id, kept, finish }) => {
      const own = nodes.filter(({ parent }) => parent === id);
      return kept && finish === undefined && own.length > 0
        ? [own.reduce((sum, { copies }) => sum + copies, 0)]
        : [];
    });
    expect(new Set(children).size).toBeGreaterThan(1);
    for (const step of [1, 2, 3, 4]) {
      const grown = nodes.filter((node) => node.step === step).reduce((sum, { copies }) => sum + copies, 0);
      // A rounded share may be half a candidate more.
      expect(grown).toBeLessThanOrEqual(strategy === "rebase" ? 9 : 6);
    }
  });
});

test("what a plan counts is what a strategy begins with", () => {
  const sizes = { candidates: 5, width: 4 };
  const rows = (strategy: string): number => sideBySide({ ...sizes, strategy });
  expect([rows("step"), rows("beam"), rows("dvts")]).toEqual([5, 20, 20]);
  expect([rows("best-of-n"), rows("majority"), rows("weighted-vote")]).toEqual([5, 5, 5]);
});
