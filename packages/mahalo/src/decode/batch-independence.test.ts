/** An answer depends on its request alone: tokens and log-probabilities are the same, bit for bit, in any company. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel, LoadOptions } from "../model/folder/load.ts";
import { decodingKinds, decodingModel } from "../model/testing/adapted.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { Completion, GenerateRequest } from "./request.ts";

const held: Record<string, LoadOptions> = {
  f32: { compute: "float32" },
  bf16: { compute: "bfloat16" },
  "int8 in f32": { compute: "float32", weights: "int8" },
  "int8 in bf16": { compute: "bfloat16", weights: "int8" },
};

/** Prompts of 1 to 40 tokens; every third begins as the one before it does. */
const prompts = Array.from({ length: 21 }, (_, index) => {
  const shared = index % 3 === 2 ? index - 1 : index;
  const start = Array.from(
    { length: 1 + ((shared * 7) % 37) },
    (_, place) => 3 + ((place * 11 + shared * 5) % 240),
  );
  return shared === index ? start : [...start, 9, index];
});

const requests = prompts.map(
  (ids, index): GenerateRequest => ({
    ids,
    // More mixes than are kept as merged heads.
    mix: { accuracy: 1 + index, engagement: 20 - (index % 13) },
    maxNewTokens: 12,
    sampling: { temperature: index % 2 },
    seed: index,
    logprobs: true,
  }),
);

const cases = Object.keys(held).flatMap((name) => decodingKinds.map((kind) => [name, kind] as const));

describe.each(cases)("weights in %s, %s", (name, kind) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await decodingModel(kind, held[name] ?? {});
  });
  afterAll(() => model.dispose());

  const answers = async (
    asked: readonly GenerateRequest[],
    options: EngineOptions,
  ): Promise<Completion[]> => {
    const engine = new Engine(model, options);
    try {
      return await Promise.all(asked.map((request) => engine.submit(request).completion()));
    } finally {
      engine.close();
    }
  };

  test("alone, in batches of any size, and with or without shared beginnings", async () => {
    const alone: Completion[] = [];
    for (const request of requests) alone.push(...(await answers([request], { batchSize: 1 })));
    for (const batchSize of [2, 5, 12, 21]) {
      for (const sharePrefixes of [true, false]) {
        const together = await answers(requests, { batchSize, sharePrefixes });
        expect(together, `${batchSize} side by side`).toEqual(alone);
      }
    }
    const backwards = await answers([...requests].reverse(), { batchSize: 7, maxPromptTokensPerStep: 20 });
    expect(backwards.reverse()).toEqual(alone);
  });
});
