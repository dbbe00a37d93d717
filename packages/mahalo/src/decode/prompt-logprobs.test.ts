/** A prompt's own log-probabilities: those of its tokens when they are generated one by one, under every mix. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { layOutModel } from "../cli/testing/run.ts";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { adaptedModel } from "../model/testing/adapted.ts";
import { IDS, tinyModel } from "../model/testing/tiny.ts";
import { generateAll } from "./generate.ts";
import type { MixPlan } from "./mix-schedule.ts";
import { promptLogprobs } from "./prompt-logprobs.ts";

const heads = async (): Promise<LanguageModel> => {
  const folder = await mkdtemp(join(tmpdir(), "mahalo-prompt-logprobs-"));
  try {
    return await loadModel(await layOutModel(folder));
  } finally {
    await rm(folder, { recursive: true });
  }
};

test.each<[string, () => Promise<LanguageModel>, MixPlan | undefined]>([
  ["a plain model", () => tinyModel("tiny-qwen3"), undefined],
  ["heads, all alike", heads, undefined],
  ["heads under a mix", heads, { accuracy: 0.3, engagement: 0.7 }],
  ["adapters under a mix", () => adaptedModel("tiny-llama"), { accuracy: 0.3, engagement: 0.7 }],
])("%s", async (_, open, mix) => {
  const model = await open();
  try {
    // Longer than one piece of logits.
    const [answer] = await generateAll(model, [
      { ids: IDS, mix, maxNewTokens: 80, logprobs: true, topLogprobs: 3, sampling: { temperature: 1 } },
    ]);
    const ids = [...IDS, ...(answer?.ids ?? [])];
    const told = promptLogprobs(model, ids, mix, 3);
    expect(told).toHaveLength(ids.length - 1);
    const ofAnswer = told.slice(IDS.length - 1);
    expect(ofAnswer).toHaveLength(answer?.logprobs?.length ?? -1);
    for (const [index, { logprob, top }] of ofAnswer.entries()) {
      expect(logprob).toBeCloseTo(answer?.logprobs?.[index] ?? Number.NaN, 4);
      expect(top.map(({ id }) => id)).toEqual(answer?.topLogprobs?.[index]?.map(({ id }) => id));
    }
  } finally {
    model.dispose();
  }
});

test("a prompt of one token has none", async () => {
  const model = await tinyModel("tiny-llama");
  expect(promptLogprobs(model, [5], undefined)).toEqual([]);
  model.dispose();
});
