/** Naming an objective in the prompt: where the name stands, and that heads of their own need none. */
import { describe, expect, test } from "vitest";
import { RewardHead, RewardHeads } from "./reward-heads.ts";
import { type NamingModel, namedPrompt } from "./reward-prompt.ts";

const head = (name: string): RewardHead => new RewardHead({ name, kind: "hard" }, new Map());
const tokenizer: NamingModel["tokenizer"] = { encode: (text) => [...Buffer.from(text)] };
const name = [...Buffer.from("Objective: wit\n\n")];

describe("a prompt for a model whose prompts name the objective", () => {
  const rewards = new RewardHeads([head("unified")], { in: "prompt", names: ["wit", "care"] });
  const model: NamingModel = { config: { bosId: 1 }, tokenizer, rewards };

  test("begins with the name", () => {
    expect(namedPrompt(model, "wit", [300, 301])).toEqual([...name, 300, 301]);
    expect(namedPrompt({ ...model, config: { bosId: undefined } }, "wit", [1, 301])).toEqual([
      ...name,
      1,
      301,
    ]);
  });

  test("keeps a token that begins the text at its beginning, but not one that begins each turn", () => {
    expect(namedPrompt(model, "wit", [1, 300])).toEqual([1, ...name, 300]);
    expect(namedPrompt(model, "wit", [1, 300, 1, 301])).toEqual([...name, 1, 300, 1, 301]);
  });

  test("must be of an objective that the model scores", () => {
    expect(() => namedPrompt(model, "wti", [300])).toThrow(
      expect.objectContaining({ code: "E_REWARD_OBJECTIVE" }),
    );
  });
});

test("a prompt for objectives with heads of their own is the prompt", () => {
  const rewards = new RewardHeads([head("wit"), head("care")]);
  expect(namedPrompt({ config: { bosId: 1 }, tokenizer, rewards }, "care", [1, 300])).toEqual([1, 300]);
});
