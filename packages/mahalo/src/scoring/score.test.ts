/** Scoring: one pass is every prefix by itself, and neither packing nor shared prompts change a score. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { aggregateScores } from "../core/aggregate.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { distance, type TinyName } from "../model/testing/tiny.ts";
import { tinyRewardModel } from "../rollout/testing/reward-model.ts";
import { type ScoredResponse, scoreSteps } from "./score.ts";
import { unitScore } from "./unit-score.ts";

const names: readonly TinyName[] = ["tiny-llama", "tiny-qwen3"];
const models = new Map<TinyName, RewardModel>();
beforeAll(async () => {
  for (const name of names) models.set(name, await tinyRewardModel(name));
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});
const modelOf = (name: TinyName): RewardModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no ${name}`);
  return model;
};

const tokens = (seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => (seed * 31 + index * 17) % 200);

/** Two prompts, five responses of one to four steps, under all heads by turns. */
const responses: ScoredResponse[] = [3, 9, 14, 2, 20].map((length, index) => ({
  prompt: tokens(index % 2, 6 + (index % 2)),
  response: tokens(index + 5, length),
  ends: [1, 4, 9, 13].filter((end) => end < length).concat(length),
  objective: headKinds.names[index % headKinds.names.length],
}));

const flat = (scores: readonly (readonly number[])[]): number[] => scores.flat();

describe.each(names)("%s", (name) => {
  test("all steps of one pass score as every prefix does alone", () => {
    const model = modelOf(name);
    const together = scoreSteps(model, responses);
    const prefixes = responses.flatMap(({ prompt, response, ends, objective }) =>
      ends.map(
        (end): ScoredResponse => ({ prompt, response: response.slice(0, end), ends: [end], objective }),
      ),
    );
    const alone = prefixes.map((prefix) => scoreSteps(model, [prefix], { sharePrompts: false })).flat(2);
    expect(together.map(({ length }) => length)).toEqual(responses.map(({ ends }) => ends.length));
    expect(distance(flat(together), alone)).toBeLessThan(1e-5);
  });

  test("packing and shared prompts change no score", () => {
    const model = modelOf(name);
    const plain = flat(
      responses.map((response) => scoreSteps(model, [response], { sharePrompts: false })[0] ?? []),
    );
    for (const sharePrompts of [true, false]) {
      for (const maxTokensPerMicrobatch of [1, 20, 40, 8192]) {
        const scores = scoreSteps(model, responses, { sharePrompts, maxTokensPerMicrobatch });
        expect(distance(flat(scores), plain)).toBeLessThan(1e-5);
      }
    }
  });
});

test("what follows the last step, and responses beside it, are not seen", () => {
  const model = modelOf("tiny-llama");
  fc.assert(
    fc.property(
      fc.array(fc.nat(199), { minLength: 1, maxLength: 12 }),
      fc.array(fc.nat(199), { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      (response, more, sharePrompts) => {
        const one = { prompt: [5, 17], response, ends: [response.length], objective: "soft" };
        const longer = { ...one, response: [...response, ...more] };
        const other = { ...one, response: more, ends: [more.length] };
        const [alone = []] = scoreSteps(model, [one]);
        const [first = [], second = []] = scoreSteps(model, [longer, one, other], { sharePrompts });
        expect(distance([...first, ...second], [...alone, ...alone])).toBeLessThan(1e-5);
      },
    ),
    { numRuns: 20 },
  );
});

test("says how far it is, and stops when asked to", () => {
  const model = modelOf("tiny-llama");
  const seen: number[] = [];
  scoreSteps(model, responses, { maxTokensPerMicrobatch: 1, onProgress: (done) => seen.push(done) });
  expect(seen).toEqual([1, 2, 3, 4, 5]);
  const stop = new AbortController();
  stop.abort();
  expect(() => scoreSteps(model, responses, { signal: stop.signal })).toThrow(/stopped/);
});

test("what cannot be scored is an error: no prompt, no step, steps beyond the end, an unknown objective", () => {
  const model = modelOf("tiny-llama");
  const good = { prompt: [1], response: [2, 3], ends: [2], objective: "soft" };
  const wrong = (change: Partial<ScoredResponse>) => () => scoreSteps(model, [good, { ...good, ...change }]);
  expect(wrong({ prompt: [] })).toThrow(/response 2 .*prompt/);
  expect(wrong({ ends: [] })).toThrow(/no step/);
  expect(wrong({ ends: [3] })).toThrow(/end at 3 of 2/);
  expect(wrong({ ends: [2, 1] })).toThrow(/end at 2, 1/);
  expect(wrong({ objective: "sofd" })).toThrow(/did you mean "soft"|"sofd"/);
  expect(wrong({ objective: undefined })).toThrow(expect.objectContaining({ code: "E_REWARD_OBJECTIVE" }));
  expect(scoreSteps(model, [])).toEqual([]);
});

describe("one number for a response", () => {
  test("is its last score, its least, the product or the mean", () => {
    expect(aggregateScores([0.5, 0.25, 0.75])).toEqual({
      last: 0.75,
      min: 0.25,
      product: 0.09375,
      mean: 0.5,
    });
    expect(aggregateScores([-2])).toEqual({ last: -2, min: -2, product: -2, mean: -2 });
    expect(() => aggregateScores([])).toThrow(/no score/);
  });

  test("in [0, 1] is a probability as it is, another number by the logistic function", () => {
    expect(unitScore("soft", 0.3)).toBe(0.3);
    expect(unitScore("hard", 1)).toBe(1);
    expect(unitScore("value", 0)).toBe(0.5);
    expect(unitScore("bradley-terry", Math.log(3))).toBeCloseTo(0.75, 12);
  });
});
