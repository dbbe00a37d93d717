/** Decoding under objectives' adapters: with and without a cache, under mixes that change, and as the merged model does. */
import { join } from "node:path";
import { noGrad, scope } from "@mahalo/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LanguageModel, loadModel } from "../model/folder/load.ts";
import { exportMix } from "../model/folder/save.ts";
import { adaptedModel } from "../model/testing/adapted.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { searchAnswer } from "../search/search.ts";
import { uncachedDecoder } from "./decoder.ts";
import { generateAll } from "./generate.ts";
import type { GenerateRequest } from "./request.ts";

let model: LanguageModel;
beforeAll(async () => {
  model = await adaptedModel("tiny-llama");
});
afterAll(() => model.dispose());

/** Prompts that begin alike, long enough to be shared. */
const prompt = Array.from({ length: 40 }, (_, place) => 3 + ((place * 13) % 240));

const requests: GenerateRequest[] = [
  { ids: prompt, mix: { accuracy: 1 } },
  { ids: prompt, mix: { engagement: 1 } },
  { ids: [...prompt, 8], mix: { accuracy: 1, engagement: 1 } },
  { ids: [...prompt, 9], mix: { accuracy: 1 } },
  { ids: [5, 17, 200] },
  {
    ids: prompt,
    mix: [{ mix: { accuracy: 1 } }, { from: { token: 4 }, mix: { engagement: 1 } }],
  },
].map((request, seed) => ({
  ...request,
  seed,
  maxNewTokens: 12,
  sampling: { temperature: 1 },
  logprobs: true,
}));

test("a cache and shared beginnings give the answers of whole rows that are read anew", async () => {
  const slow = await generateAll(model, requests, { decoder: uncachedDecoder });
  for (const batchSize of [1, 2, 6]) {
    const fast = await generateAll(model, requests, { batchSize });
    expect(fast.map(({ ids }) => ids)).toEqual(slow.map(({ ids }) => ids));
    for (const [index, { logprobs = [] }] of fast.entries())
      for (const [place, logprob] of logprobs.entries())
        expect(logprob).toBeCloseTo(slow[index]?.logprobs?.[place] ?? Number.NaN, 3);
  }
});

test("the same prompt again is begun with what its own mix has read, and with no other", async () => {
  const [first] = await generateAll(model, requests.slice(1, 2));
  // One engine for all: the second finds the first's prompt, which another mix has read.
  const both = await generateAll(model, requests.slice(0, 2), { batchSize: 1 });
  expect(both[1]).toEqual(first);
});

test("a token is read under the weights that choose the next one", async () => {
  const [early, late] = [{ accuracy: 1 }, { engagement: 1 }];
  const mix = [{ mix: early }, { from: { token: 4 }, mix: late }];
  const [{ ids = [], logprobs = [] } = {}] = await generateAll(model, [
    { ids: prompt, mix, maxNewTokens: 8, logprobs: true },
  ]);
  const mixAt = (tokens: number) => (tokens < 4 ? early : late);
  const decoder = uncachedDecoder(model);
  noGrad(() =>
    scope(() => {
      let hidden_1D = decoder.extend([{ row: decoder.addRow(), ids: prompt, mix: mixAt(0) }]);
      for (const [index, id] of ids.entries()) {
        const logits_1V = model.heads.logitsUnder(hidden_1D, mixAt(index), model.backbone.kernels);
        const logps = logits_1V.to("float32").logSoftmax(-1).toFloat32Array();
        expect(logprobs[index]).toBeCloseTo(logps[id] ?? Number.NaN, 3);
        hidden_1D = decoder.step([id], [0], [mixAt(index + 1)]);
      }
    }),
  );
  expect(ids.length).toBeGreaterThan(5);
});

test("an answer under a mix is the merged and exported model's", () =>
  withFolder(async (folder) => {
    const mix = { accuracy: 0.7, engagement: 0.3 };
    await exportMix(model, mix, join(folder, "mix"));
    const merged = await loadModel(join(folder, "mix"));
    const plain = await generateAll(merged, [{ ids: prompt, maxNewTokens: 16 }]);
    const mixed = await generateAll(model, [{ ids: prompt, mix, maxNewTokens: 16 }]);
    expect(mixed[0]?.ids).toEqual(plain[0]?.ids);
    merged.dispose();
  }));

test("a search grows its candidates under its own mix", async () => {
  const ask = (mix: Record<string, number>, decoder?: typeof uncachedDecoder) =>
    searchAnswer(
      model,
      { ids: prompt, prompt: "p", mix, maxNewTokens: 8, search: { strategy: "majority", candidates: 3 } },
      { vote: (texts) => texts.map(() => 0), ...(decoder === undefined ? {} : { decoder }) },
    );
  const fast = await ask({ accuracy: 1 });
  const slow = await ask({ accuracy: 1 }, uncachedDecoder);
  expect(fast.completion).toEqual(slow.completion);
  expect((await ask({ engagement: 1 })).completion).not.toEqual(fast.completion);
});
