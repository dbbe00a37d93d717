/** Generation: batched equals single, cached equals uncached, every row under its own mix, token for token. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { type TinyName, tinyModel, tinyNames } from "../model/testing/tiny.ts";
import { uncachedDecoder } from "./decoder.ts";
import { type GenerateOptions, generate, generateAll } from "./generate.ts";
import { logitMixture } from "./logit-mixing.ts";
import type { GenerateRequest } from "./request.ts";

const models = new Map<TinyName, LanguageModel>();
const modelOf = (name: TinyName): LanguageModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
};
beforeAll(async () => {
  for (const name of tinyNames) {
    const model = await tinyModel(name);
    // Noise far above training's, so that heads say different things.
    model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute: "float32" });
    models.set(name, model);
  }
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});

const prompts = [[5, 17, 200], [42], [7, 7, 9, 11, 13, 100, 21], [3, 60, 61, 62], [250, 8]];
const mixes = [{ a: 1 }, { b: 1 }, { a: 0.3, b: 0.7 }, undefined, { a: 1 }];

const requests = (extra: Partial<GenerateRequest> = {}): GenerateRequest[] =>
  prompts.map((ids, index) => ({
    ids,
    mix: mixes[index],
    seed: index,
    maxNewTokens: 4 + 3 * index,
    ...extra,
  }));

const idsOf = async (
  model: LanguageModel,
  list: readonly GenerateRequest[],
  options: GenerateOptions = {},
): Promise<number[][]> => (await generateAll(model, list, options)).map(({ ids }) => ids);

const alone = async (model: LanguageModel, list: readonly GenerateRequest[], options: GenerateOptions = {}) =>
  (await Promise.all(list.map((request) => idsOf(model, [request], options)))).flat();

describe.each(tinyNames)("%s", (name) => {
  test.each([
    ["greedy", {}],
    ["sampled", { sampling: { temperature: 1.3, topK: 40, topP: 0.95, repetitionPenalty: 1.2 } }],
  ])("%s: rows side by side are what each is alone, with the cache and without", async (_kind, extra) => {
    const model = modelOf(name);
    const expected = await alone(model, requests(extra), { decoder: uncachedDecoder });
    expect(await alone(model, requests(extra))).toEqual(expected);
    for (const batchSize of [1, 2, 3, 16]) {
      expect(await idsOf(model, requests(extra), { batchSize })).toEqual(expected);
    }
    expect(await idsOf(model, requests(extra), { batchSize: 2, decoder: uncachedDecoder })).toEqual(expected);
  });
});

describe("generate", () => {
  test("does not mind in which order and company requests come", async () => {
    const model = modelOf("tiny-llama");
    const list = requests({ sampling: { temperature: 1 } });
    const expected = await alone(model, list);
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 1 }),
        fc.integer({ min: 1, max: 5 }),
        async (order, batchSize) => {
          const chosen = order.flatMap((at) => list[at] ?? []);
          expect(await idsOf(model, chosen, { batchSize })).toEqual(order.map((at) => expected[at]));
        },
      ),
      { numRuns: 20 },
    );
  });

  test("answers under a mix as a model whose only head is the merged one", async () => {
    const model = modelOf("tiny-qwen3");
    const mix = { a: 0.25, b: 0.75 };
    const [ids = []] = await idsOf(model, [{ ids: [5, 6], mix, maxNewTokens: 12 }]);
    // The plain way: all heads at every token, weighted, over the whole text anew.
    let text = [5, 6];
    const expected: number[] = [];
    while (expected.length < ids.length) {
      const next = scope(() => {
        const decoder = uncachedDecoder(model);
        const hidden_RD = decoder.extend([{ row: decoder.addRow(), ids: text }]);
        const logits = (name: string) => ops.linear(hidden_RD, model.heads.get(name).value);
        const weighted = logits("a").mul(0.25).add(logits("b").mul(0.75));
        return weighted.argmax(-1).item();
      });
      expected.push(next);
      text = [...text, next];
    }
    expect(ids).toEqual(expected);
  });

  test("rows of more mixes than are kept merged are what each is alone", async () => {
    const model = modelOf("tiny-llama");
    const list = Array.from({ length: 14 }, (_, index): GenerateRequest => {
      const mix = { a: index + 1, b: 14 - index };
      const sampling = index % 2 === 0 ? {} : { temperature: 1.1, topK: 30 };
      return {
        ids: [5, 17, index],
        mix,
        seed: index,
        maxNewTokens: 6 + (index % 3),
        sampling,
        logprobs: true,
      };
    });
    const expected = await alone(model, list);
    const together = await generateAll(model, list);
    expect(together.map(({ ids }) => ids)).toEqual(expected);
    expect(together.every(({ ids, logprobs }) => logprobs?.length === ids.length)).toBe(true);
  });

  test("so are those of several models that answer as one", async () => {
    const models = [await tinyModel("tiny-llama"), await tinyModel("tiny-llama")];
    const [first, second] = models;
    if (first === undefined || second === undefined) throw new Error("no models");
    const joint = logitMixture(
      new Map([
        ["a", first],
        ["b", second],
      ]),
    );
    const list = Array.from({ length: 10 }, (_, index): GenerateRequest => {
      return { ids: [5, 17, index], mix: { a: index + 1, b: 10 - index }, maxNewTokens: 4 };
    });
    const together = await idsOf(joint.model, list, { decoder: joint.decoder });
    // The models are the same, so every mix of them is.
    expect(together).toEqual(
      await alone(
        first,
        list.map(({ mix: _, ...rest }) => rest),
      ),
    );
    joint.model.dispose();
    for (const model of models) model.dispose();
  });

  test("the same seed gives the same answer, another seed another", async () => {
    const model = modelOf("tiny-llama");
    const ask = (seed: number) =>
      idsOf(model, [{ ids: [5, 17], seed, maxNewTokens: 20, sampling: { temperature: 1 } }]);
    expect(await ask(3)).toEqual(await ask(3));
    expect(await ask(3)).not.toEqual(await ask(4));
  });

  test("tells of every token, and the texts of all are the answer's", async () => {
    const model = modelOf("tiny-llama");
    const texts = ["", ""];
    const tokens = [0, 0];
    const finished: string[] = [];
    for await (const event of generate(model, [
      { ids: [5], maxNewTokens: 6 },
      { ids: [9, 9], maxNewTokens: 3 },
    ])) {
      if (event.type === "token") {
        texts[event.index] += event.text;
        tokens[event.index] = (tokens[event.index] ?? 0) + 1;
      } else if (event.type === "done") {
        expect(event.completion.text).toBe(texts[event.index]);
        expect(event.completion.ids).toHaveLength(tokens[event.index] ?? 0);
        finished.push(event.completion.finish);
      }
    }
    expect(finished).toHaveLength(2);
  });

  test("ends at an end token, which is no part of the text", async () => {
    const model = modelOf("tiny-llama");
    const [end = 0] = model.tokenizer.eosIds;
    const { heads } = model;
    const base = heads.get("a").value;
    const bias = scope(() => {
      // A head whose end token always wins: its row is a multiple of the hidden state that comes first.
      const decoder = uncachedDecoder(model);
      return decoder
        .extend([{ row: decoder.addRow(), ids: [5] }])
        .mul(100)
        .squeeze(0)
        .toFloat32Array();
    });
    const put = (row: Tensor): void => {
      noGrad(() => scope(() => base.narrow(0, end, 1).copy_(row)));
      heads.clearMixes();
    };
    const kept = noGrad(() => base.narrow(0, end, 1).clone());
    put(tensor(bias, { shape: [1, bias.length] }));
    const [completion] = await generateAll(model, [{ ids: [5], mix: { a: 1 }, maxNewTokens: 9 }]);
    put(kept);
    expect(completion).toEqual({ text: "", ids: [end], finish: "end" });
  });

  test("ends at the model's context", async () => {
    const model = modelOf("tiny-llama");
    const { maxPositions } = model.config;
    const ids = Array.from({ length: maxPositions - 2 }, (_, index) => 3 + (index % 50));
    const [completion] = await generateAll(model, [{ ids, maxNewTokens: 50 }]);
    expect(completion?.ids.length).toBeLessThanOrEqual(2);
    if (completion?.finish !== "end") expect(completion?.finish).toBe("context");
    await expect(generateAll(model, [{ ids: [...ids, 1, 2] }])).rejects.toMatchObject({
      code: "E_GENERATE_CONTEXT",
    });
  });

  test("stops before a stop string", async () => {
    const model = modelOf("tiny-llama");
    const [whole] = await generateAll(model, [{ ids: [5, 17], maxNewTokens: 30 }]);
    const stop = whole?.text.slice(4, 7) ?? "";
    const [cut] = await generateAll(model, [{ ids: [5, 17], maxNewTokens: 30, stop: [stop] }]);
    expect(cut?.finish).toBe("stop");
    expect(cut?.text).toBe(whole?.text.slice(0, whole.text.indexOf(stop)));
  });

  test("refuses a wrong request before it decodes anything", async () => {
    const model = modelOf("tiny-llama");
    const refusal = (request: GenerateRequest, options?: GenerateOptions) =>
      expect(generateAll(model, [{ ids: [5] }, request], options)).rejects;
    await refusal({ ids: [] }).toThrow(/request 2.*ids/s);
    await refusal({ ids: [5], mix: { accuracy: 1 } }).toMatchObject({ code: "E_MIX_UNKNOWN_OBJECTIVE" });
    await refusal({ ids: [5], mix: { a: -1 } }).toMatchObject({ code: "E_MIX_WEIGHT" });
    await refusal({ ids: [5], sampling: { topP: 2 } }).toMatchObject({ code: "E_SAMPLING" });
    await refusal({ ids: [5], maxNewTokens: 0 }).toMatchObject({ code: "E_GENERATE_REQUEST" });
    await refusal({ ids: [5], stop: [""] }).toMatchObject({ code: "E_GENERATE_REQUEST" });
    await refusal({ ids: [1_000_000] }).toMatchObject({ code: "E_TOKEN_ID" });
    await refusal({ ids: [5] }, { batchSize: 0 }).toMatchObject({ code: "E_BATCH_SIZE" });
  });

  test("stops between two steps when it is told to", async () => {
    const controller = new AbortController();
    const steps = generate(modelOf("tiny-llama"), [{ ids: [5], maxNewTokens: 500 }], {
      signal: controller.signal,
    });
    await steps.next();
    controller.abort();
    await expect(
      (async () => {
        for await (const _ of steps);
      })(),
    ).rejects.toMatchObject({ code: "E_INTERRUPTED" });
  });
});
