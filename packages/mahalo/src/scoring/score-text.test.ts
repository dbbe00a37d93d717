/** Steps in tokens: given as texts they end where the boundary would end them, whatever the tokenizer merges. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RewardModel } from "../model/reward/reward-model.ts";
import { tinyRewards } from "../model/testing/rewards.ts";
import { encodeScored, scoredObjective } from "./score-text.ts";

let model: RewardModel;
beforeAll(async () => {
  model = await tinyRewards("tiny-llama", [{ name: "accuracy", kind: "soft" }], { boundary: { by: "line" } });
});
afterAll(() => model.dispose());

describe("given steps", () => {
  test("end where the boundary ends them, and the last one takes the end of the turn", () => {
    const word = fc.constantFrom("It is so.", "2 + 2 = 4", "héllo", "日本", "So");
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        const steps = words.map((text, index) => (index < words.length - 1 ? `${text}\n` : text));
        const given = encodeScored(model, "What?", steps);
        expect(given).toEqual(encodeScored(model, "What?", steps.join("")));
        expect(given.ends).toHaveLength(words.length);
        expect(given.ends.at(-1)).toBe(given.response.length);
      }),
      { numRuns: 40 },
    );
  });
});

test("the boundary is what is asked for, else the model's", () => {
  const text = "One.\nTwo.\n\nThree.";
  expect(encodeScored(model, "What?", text).ends).toHaveLength(3);
  expect(encodeScored(model, "What?", text, { boundary: { by: "blank-line" } }).ends).toHaveLength(2);
  expect(encodeScored({ ...model, boundary: undefined }, "What?", text).ends).toHaveLength(1);
});

test("an objective that prompts name stands in the prompt, and must be named", async () => {
  const unified = await tinyRewards("tiny-llama", [{ name: "unified", kind: "hard" }], {
    promptObjectives: ["wit", "care"],
  });
  const plain = encodeScored(model, "What?", "So.");
  const wit = encodeScored(unified, "What?", "So.", { objective: "wit" });
  const care = encodeScored(unified, "What?", "So.", { objective: "care" });
  expect(wit.response).toEqual(plain.response);
  expect(wit.prompt.length).toBeGreaterThan(plain.prompt.length);
  expect(wit.prompt).not.toEqual(care.prompt);
  expect(() => scoredObjective(unified)).toThrow(/several objectives/);
  expect(() => scoredObjective(unified, "wits")).toThrow(/"wits"/);
  unified.dispose();
});

test("a text beyond the model's context is refused, never cut", () => {
  expect(() => encodeScored(model, "What?", "It is so. ".repeat(300))).toThrow(/tokens are more than/);
});
