/** Mixes that change within an answer: the tokens of a decoder that swaps heads by hand, and errors that name the field. */
import { MahaloError, scope } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StepScanner } from "../data/tokens/steps.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { Conversation } from "../search/conversation.ts";
import { uncachedDecoder } from "./decoder.ts";
import { generateAll } from "./generate.ts";
import type { MixPhase, MixPlan } from "./mix-schedule.ts";
import type { GenerateRequest } from "./request.ts";

let model: LanguageModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama");
  model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute: "float32" });
});
afterAll(() => model.dispose());

const boundary = { by: "sentence", minTokens: 2 } as const;

/** The likeliest tokens under the mix that `mixAt` gives for so many tokens and steps, everything computed anew. */
const byHand = (
  ids: readonly number[],
  count: number,
  mixAt: (tokens: number, steps: number) => Mix,
): { ids: number[]; steps: number } => {
  const scanner = new StepScanner(model.tokenizer, boundary);
  const answer: number[] = [];
  let steps = 0;
  while (answer.length < count) {
    const next = scope(() => {
      const decoder = uncachedDecoder(model);
      const hidden_RD = decoder.extend([{ row: decoder.addRow(), ids: [...ids, ...answer] }]);
      const head = model.heads.mix(mixAt(answer.length, steps));
      return Number(hidden_RD.matmul(head.t()).argmax(-1).item());
    });
    answer.push(next);
    if (scanner.push(next)) steps++;
    if (model.tokenizer.eosIds.includes(next)) break;
  }
  return { ids: answer, steps };
};

const answer = async (request: GenerateRequest): Promise<number[]> =>
  (await generateAll(model, [request])).flatMap(({ ids }) => ids);

describe("a schedule", () => {
  const weights: Mix[] = [{ a: 1 }, { b: 1 }, { a: 0.5, b: 0.5 }];
  const phases = (unit: "token" | "step", starts: readonly number[]): MixPhase[] =>
    weights.map((mix, index) => {
      const start = starts[index] ?? 0;
      return { from: unit === "token" ? { token: start } : { step: start }, mix };
    });
  const mixAt = (starts: readonly number[], now: number): Mix =>
    weights[starts.findLastIndex((start) => start <= now)] ?? {};

  test("by tokens is a decoder that swaps heads by hand", async () => {
    const starts = [0, 4, 9];
    for (const ids of [[5, 17], [42], [7, 7, 9]]) {
      const hand = byHand(ids, 16, (tokens) => mixAt(starts, tokens));
      expect(await answer({ ids, maxNewTokens: 16, mix: phases("token", starts) })).toEqual(hand.ids);
    }
  });

  test("by steps is a decoder that swaps heads at the boundary", async () => {
    const starts = [0, 1, 3];
    let most = 0;
    for (const ids of [[5, 17], [42], [7, 7, 9], [3, 60, 61], [250, 8], [100]]) {
      const hand = byHand(ids, 40, (_, steps) => mixAt(starts, steps));
      most = Math.max(most, hand.steps);
      const request = { ids, maxNewTokens: 40, mix: phases("step", starts), step: boundary };
      expect(await answer(request)).toEqual(hand.ids);
    }
    // Some answer has gone through a change of weights.
    expect(most).toBeGreaterThan(1);
  });

  test("of one phase is its mix", async () => {
    const ask = (mix: MixPlan) => answer({ ids: [5, 17], maxNewTokens: 12, mix });
    expect(await ask([{ mix: { a: 1 } }])).toEqual(await ask({ a: 1 }));
  });

  test("may be changed in the middle of a conversation", async () => {
    const reply = async (mix: MixPlan, before?: MixPlan): Promise<string> => {
      const chat = new Conversation(model, { maxNewTokens: 10, mix: before ?? mix });
      if (before !== undefined) for await (const _ of chat.say("hello"));
      chat.reset();
      chat.mix = mix;
      let text = "";
      for await (const piece of chat.say("hello")) text += piece;
      chat.dispose();
      return text;
    };
    const plan: MixPlan = [{ mix: { a: 1 } }, { from: { token: 4 }, mix: { b: 1 } }];
    expect(await reply(plan, { b: 1 })).toBe(await reply(plan));
    expect(await reply(plan)).not.toBe(await reply({ a: 1 }));
  });

  test.each<[string, MixPlan | unknown, string, RegExp]>([
    ["no phase", [], "E_MIX_SCHEDULE", /request 1: mix: .*at least/],
    ["an unknown key", [{ mix: { a: 1 }, until: 3 }], "E_MIX_SCHEDULE", /until/],
    ["a start that is none", [{ from: { word: 1 }, mix: { a: 1 } }], "E_MIX_SCHEDULE", /\[0\]\.from|0\.from/],
    ["a negative start", [{ from: { token: -1 }, mix: { a: 1 } }], "E_MIX_SCHEDULE", /from/],
    [
      "a late beginning",
      [{ from: { token: 2 }, mix: { a: 1 } }],
      "E_MIX_SCHEDULE",
      /mix\[0\]\.from.*begins at 0/,
    ],
    [
      "phases out of order",
      [{ mix: { a: 1 } }, { from: { token: 5 }, mix: { b: 1 } }, { from: { token: 5 }, mix: { a: 1 } }],
      "E_MIX_SCHEDULE",
      /mix\[2\]\.from: token 5 does not come after token 5/,
    ],
    [
      "a second phase without a start",
      [{ mix: { a: 1 } }, { mix: { b: 1 } }],
      "E_MIX_SCHEDULE",
      /mix\[1\]\.from/,
    ],
    [
      "two units",
      [{ mix: { a: 1 } }, { from: { step: 1 }, mix: { b: 1 } }, { from: { token: 9 }, mix: { a: 1 } }],
      "E_MIX_SCHEDULE",
      /mix\[2\]\.from: a token, while other phases begin at a step/,
    ],
    [
      "an unknown objective",
      [{ mix: { a: 1 } }, { from: { token: 1 }, mix: { c: 1 } }],
      "E_MIX_UNKNOWN_OBJECTIVE",
      /mix\[1\]\.mix\.c/,
    ],
    ["weights of 0", [{ mix: { a: 0 } }], "E_MIX_SUM", /mix\[0\]\.mix: the weights sum to 0/],
  ])("refuses %s", async (_what, mix, code, message) => {
    const request = { ids: [5], mix: mix as MixPlan, step: boundary };
    const error = await generateAll(model, [request]).then(
      () => undefined,
      (one: unknown) => one,
    );
    expect(error).toBeInstanceOf(MahaloError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test("by steps needs a boundary", async () => {
    const mix: MixPlan = [{ mix: { a: 1 } }, { from: { step: 1 }, mix: { b: 1 } }];
    await expect(generateAll(model, [{ ids: [5], mix }])).rejects.toMatchObject({
      code: "E_MIX_SCHEDULE",
      hint: expect.stringMatching(/step/),
    });
  });
});
