/** Reward models as scorers: every kind of head, one model for all objectives, other tokens, cut texts, states. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodePrompt } from "../../data/tokens/encode.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { newHead, RewardHeads } from "../../model/reward/reward-heads.ts";
import type { RewardModel } from "../../model/reward/reward-model.ts";
import { namedPrompt } from "../../model/reward/reward-prompt.ts";
import { tinyRewardModel } from "../../rollout/testing/reward-model.ts";
import { scoreSteps } from "../../scoring/score.ts";
import { encodeScored } from "../../scoring/score-text.ts";
import type { ScoredStep, Scorer } from "../scorer.ts";
import { modelScorer, sameTokens } from "./model-scorer.ts";
import { severalScorers } from "./several-scorers.ts";

let model: RewardModel;
/** The same with one head for objectives that the prompt names. */
let unified: RewardModel;
beforeAll(async () => {
  model = await tinyRewardModel();
  const rewards = new RewardHeads([newHead({ name: "all", kind: "hard" }, model.config.hiddenSize, 2)], {
    in: "prompt",
    names: ["grace", "wit"],
  });
  unified = { ...model, rewards };
});
afterAll(() => {
  unified.rewards.dispose();
  model.dispose();
});

const prompt = [{ role: "user" as const, content: "What is 2 + 2?" }];
const texts = ["2 + 2 = 4\n", "2 + 2 = 4\nSo 4.", "No."];

/** A tokenizer that has one token more: the guided model writes with other tokens. */
const other = (tokenizer: Tokenizer): Tokenizer =>
  new Proxy(tokenizer, {
    get: (target, name) => {
      if (name === "vocabSize") return target.vocabSize + 1;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });

const stepOf = (from: number, text: string, more: Partial<ScoredStep> = {}): ScoredStep => ({
  from,
  ids: model.tokenizer.encode(text),
  text,
  ended: false,
  exact: true,
  ...more,
});

/** What scoring a whole text says behind its last token. */
const whole = (of: RewardModel, objective: string, ids: readonly number[]): number => {
  const { tokenizer, template } = of;
  const promptIds = namedPrompt(of, objective, encodePrompt(prompt, { tokenizer, template }));
  const row = { prompt: promptIds, response: ids, ends: [ids.length], objective };
  return scoreSteps(of, [row])[0]?.[0] ?? Number.NaN;
};

const withScorer = async <T>(scorer: Scorer, body: (scorer: Scorer) => Promise<T>): Promise<T> => {
  try {
    return await body(scorer);
  } finally {
    scorer.dispose();
  }
};

describe("scores", () => {
  test("of every kind of head are those of the text scored at once, and only new tokens are read", () =>
    withScorer(modelScorer(model, { tokenizer: model.tokenizer }), async (scorer) => {
      expect(scorer.objectives).toEqual(model.rewards.objectives);
      const root = await scorer.begin(prompt);
      const before = scorer.tokens;
      const steps = texts.map((text) => stepOf(root, text));
      const found = await scorer.score(steps);
      expect(scorer.tokens - before).toBe(steps.reduce((sum, { ids }) => sum + ids.length, 0));
      for (const [index, { scores }] of found.entries()) {
        for (const name of scorer.objectives)
          expect(scores[name]).toBeCloseTo(whole(model, name, steps[index]?.ids ?? []), 4);
      }
    }));

  test("of one model that reads its objective in the prompt are each objective's own", () =>
    withScorer(
      modelScorer(unified, { tokenizer: model.tokenizer, names: { wit: "funny" } }),
      async (scorer) => {
        expect(scorer.objectives).toEqual(["grace", "funny"]);
        const steps = [stepOf(await scorer.begin(prompt), "So 4.")];
        const [{ scores = {} } = {}] = await scorer.score(steps);
        const ids = steps[0]?.ids ?? [];
        expect(scores.grace).toBeCloseTo(whole(unified, "grace", ids), 4);
        expect(scores.funny).toBeCloseTo(whole(unified, "wit", ids), 4);
      },
    ));

  test("of a model with other tokens are those of the text, which it reads from where it differs", () =>
    withScorer(
      modelScorer(model, { tokenizer: other(model.tokenizer), objectives: ["value"] }),
      async (scorer) => {
        const root = await scorer.begin(prompt);
        const [{ state = -1 } = {}] = await scorer.score([stepOf(root, "2 + 2 = 4\n", { ids: [1, 2] })]);
        const before = scorer.tokens;
        const next = stepOf(state, "2 + 2 = 4\nSo 4.", { ids: [3], ended: true });
        const [{ scores = {} } = {}] = await scorer.score([next]);
        const { response } = encodeScored(model, prompt, next.text, { objective: "value" });
        expect(scores.value).toBeCloseTo(whole(model, "value", response), 4);
        expect(scorer.tokens - before).toBeLessThan(response.length);
        const nothing = await scorer.score([stepOf(root, "", { ids: [4], ended: true })]);
        expect(nothing[0]?.scores.value).toBeCloseTo(
          whole(model, "value", model.tokenizer.eosIds.slice(0, 1)),
          4,
        );
        const unsaid = await scorer.score([stepOf(root, "", { ids: [4] })]);
        expect(unsaid[0]?.scores.value).toSatisfy(Number.isFinite);
      },
    ));

  test("of a text that a stop string has cut leave out what was cut", () =>
    withScorer(modelScorer(model, { tokenizer: model.tokenizer, objectives: ["value"] }), async (scorer) => {
      const root = await scorer.begin(prompt);
      const cut = stepOf(root, "So 4", { ids: model.tokenizer.encode("So 4. STOP"), exact: false });
      const [{ scores = {} } = {}] = await scorer.score([cut]);
      expect(scores.value).toBeCloseTo(whole(model, "value", model.tokenizer.encode("So 4")), 4);
    }));
});

describe("states", () => {
  test("keep their prefixes whatever is forked and dropped around them", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ grow: fc.boolean(), at: fc.nat(), text: fc.nat() }), { maxLength: 10 }),
        (moves) =>
          withScorer(
            modelScorer(model, { tokenizer: model.tokenizer, objectives: ["soft"] }),
            async (scorer) => {
              let alive = [{ state: await scorer.begin(prompt), ids: [] as readonly number[] }];
              for (const { grow, at, text } of moves) {
                const one = alive[at % Math.max(1, alive.length)];
                if (one === undefined) break;
                if (!grow) {
                  scorer.drop(one.state);
                  alive = alive.filter((kept) => kept !== one);
                  continue;
                }
                const step = stepOf(one.state, texts[text % texts.length] ?? "");
                const [found] = await scorer.score([step]);
                const ids = [...one.ids, ...step.ids];
                expect(found?.scores.soft).toBeCloseTo(whole(model, "soft", ids), 4);
                alive.push({ state: found?.state ?? -1, ids });
              }
            },
          ),
      ),
      { numRuns: 12, seed: 5 },
    ));

  test("that are gone, and texts beyond the context, are errors with a code; nothing is left behind", () =>
    withScorer(modelScorer(model, { tokenizer: model.tokenizer, objectives: ["value"] }), async (scorer) => {
      const root = await scorer.begin(prompt);
      const long = stepOf(root, "x", { ids: Array.from({ length: model.config.maxPositions }, () => 5) });
      await expect(scorer.score([stepOf(root, "So 4."), long])).rejects.toMatchObject({
        code: "E_SCORE_CONTEXT",
      });
      expect(await scorer.score([stepOf(root, "So 4.")])).toHaveLength(1);
      scorer.drop(root);
      await expect(scorer.score([stepOf(root, "So 4.")])).rejects.toMatchObject({ code: "E_SCORER_STATE" });
    }));

  test("of scorers side by side are let go where a later one fails", async () => {
    const dropped: number[] = [];
    const fine: Scorer = {
      objectives: ["fine"],
      tokens: 0,
      begin: async () => 7,
      score: async (steps) => steps.map((_, index) => ({ state: 10 + index, scores: { fine: 1 } })),
      drop: (state) => dropped.push(state),
      dispose: () => undefined,
    };
    let begins = true;
    const broken: Scorer = {
      ...fine,
      objectives: ["broken"],
      begin: async () => {
        if (begins) return 3;
        throw new Error("no");
      },
      score: async () => {
        throw new Error("never");
      },
    };
    const both = severalScorers([fine, broken]);
    const state = await both.begin(prompt);
    await expect(both.score([stepOf(state, "a"), stepOf(state, "b")])).rejects.toThrow("never");
    expect(dropped).toEqual([10, 11]);
    begins = false;
    await expect(both.begin(prompt)).rejects.toThrow("no");
    expect(dropped).toEqual([10, 11, 7]);
  });
});

test("tokenizers are the same where their tokens are", () => {
  expect(sameTokens(model.tokenizer, unified.tokenizer)).toBe(true);
  expect(sameTokens(model.tokenizer, other(model.tokenizer))).toBe(false);
});
