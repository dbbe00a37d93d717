/** Bias and penalties in answers: against a loop that adjusts whole rows, natively and row by row, in any company. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { element, zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { logitsOf, tinyModel } from "../model/testing/tiny.ts";
import { searchAnswer } from "../search/search.ts";
import { uncachedDecoder } from "./decoder.ts";
import { generateAll } from "./generate.ts";
import { nextTokens } from "./next-tokens.ts";
import { type GenerateRequest, Sequence } from "./request.ts";
import type { Sampling, SamplingInput } from "./sampling.ts";

const models = new Map<string, LanguageModel>();
const dtypes = ["float32", "bfloat16"] as const;
beforeAll(async () => {
  for (const compute of dtypes) {
    const model = await tinyModel("tiny-llama", { compute, training: false });
    model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute });
    models.set(compute, model);
  }
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});
const modelOf = (compute: string): LanguageModel => {
  const model = models.get(compute);
  if (model === undefined) throw new Error(`no model in ${compute}`);
  return model;
};

const mix = { a: 1 };
const idsOf = async (requests: readonly GenerateRequest[], batchSize = 16): Promise<number[][]> =>
  (await generateAll(modelOf("float32"), requests, { batchSize })).map(({ ids }) => ids);

test("a greedy answer is the loop's that adjusts every row by hand", async () => {
  const model = modelOf("float32");
  const prompt = [5, 17, 200, 5];
  const settings = { repetitionPenalty: 1.1, frequencyPenalty: 0.7, presencePenalty: 0.4 };
  const logitBias = { 17: 2, 30: -5, 99: 1.5 };
  const [ids = []] = await idsOf([{ ids: prompt, mix, sampling: settings, logitBias, maxNewTokens: 40 }]);
  const head = model.heads.get("a").value;
  const answer: number[] = [];
  while (answer.length < ids.length) {
    const width = model.config.vocabSize;
    const text = [...prompt, ...answer];
    const row = logitsOf(model, text, head).slice(-width);
    for (const [id, bias] of Object.entries(logitBias)) row[Number(id)] = element(row, Number(id)) + bias;
    for (const id of new Set(text)) {
      const logit = element(row, id);
      row[id] = logit > 0 ? logit / 1.1 : logit * 1.1;
    }
    for (const id of answer) row[id] = element(row, id) - 0.7;
    for (const id of new Set(answer)) row[id] = element(row, id) - 0.4;
    answer.push(row.indexOf(Math.max(...row)));
  }
  expect(ids.length).toBeGreaterThan(10);
  expect(ids).toEqual(answer);
});

test("a bias of 100 is always taken, one of -100 never, and log-probabilities stay those of the model", async () => {
  const request: GenerateRequest = { ids: [5, 17], mix, maxNewTokens: 6, logprobs: true };
  const [plain] = await generateAll(modelOf("float32"), [request]);
  const first = element(plain?.ids ?? [], 0);
  const [forced, banned, same] = await generateAll(modelOf("float32"), [
    { ...request, logitBias: { [first]: 100 } },
    { ...request, logitBias: { [first]: -100 } },
    { ...request, logitBias: { 7: 0 } },
  ]);
  expect(forced?.ids).toEqual(Array(6).fill(first));
  expect(forced?.logprobs?.[0]).toBe(plain?.logprobs?.[0]);
  expect(banned?.ids).not.toContain(first);
  expect(banned?.logprobs?.[0]).toBeLessThan(element(plain?.logprobs ?? [], 0));
  expect(same).toEqual(plain);
});

test("penalties that repeated words must notice are noticed", async () => {
  const ask = (sampling: SamplingInput) => ({ ids: [5, 17], mix, maxNewTokens: 60, sampling });
  const distinct = async (sampling: SamplingInput): Promise<number> => {
    const [ids = []] = await idsOf([ask(sampling)]);
    return new Set(ids).size / ids.length;
  };
  const plain = await distinct({});
  expect(await distinct({ frequencyPenalty: 2, presencePenalty: 2 })).toBeGreaterThan(plain);
  expect(await distinct({ frequencyPenalty: -2, presencePenalty: -2 })).toBeLessThan(plain);
});

test("a request with a wrong bias is refused", () => {
  const code = (logitBias: object) => () =>
    new Sequence(modelOf("float32"), { ids: [5], ...JSON.parse(JSON.stringify({ logitBias })) }, "request 3");
  for (const id of ["-1", "1.5", "word", "1000000"])
    expect(code({ [id]: 1 })).toThrow(
      expect.objectContaining({
        code: "E_TOKEN_ID",
        message: expect.stringContaining("request 3: logitBias"),
      }),
    );
  for (const bias of [101, -100.5, "1"])
    expect(code({ 5: bias })).toThrow(expect.objectContaining({ code: "E_GENERATE_REQUEST" }));
  expect(code({ 5: 100 })).not.toThrow();
});

/** Settings and text of a row. */
type Asked = {
  sampling: Omit<Sampling, "minP">;
  logitBias: Record<number, number>;
  answer: number[];
  mix: Mix;
  seed: number;
};

const sampling = fc.record({
  temperature: fc.constantFrom(0, 0.7, 1, 1.6),
  topK: fc.constantFrom(0, 20),
  topP: fc.constantFrom(1, 0.9),
  repetitionPenalty: fc.constantFrom(1, 1, 1.3),
  frequencyPenalty: fc.constantFrom(0, 0, 0.8),
  presencePenalty: fc.constantFrom(0, 0, -1.1),
});
const asked: fc.Arbitrary<Asked> = fc.record<Asked>({
  sampling,
  logitBias: fc.oneof(fc.constant({}), fc.constant({ 9: 3, 44: -100, 200: 0.25 })),
  answer: fc.array(fc.integer({ min: 3, max: 200 }), { maxLength: 12 }),
  mix: fc.constantFrom<Mix[]>({ a: 1 }, { a: 0.3, b: 0.7 }),
  seed: fc.nat(99),
});

describe.each(dtypes)("of logits in %s", (compute) => {
  const sequence = ({ sampling, logitBias, answer, mix, seed }: Asked): Sequence => {
    const request = { ids: [5, 17, 200], sampling, logitBias, mix, seed, maxNewTokens: 50 };
    const made = new Sequence(modelOf(compute), request);
    for (const id of answer) made.accept(id);
    return made;
  };
  const hiddenOf = (rows: number): Tensor => {
    const { hiddenSize } = modelOf(compute).config;
    const values = Array.from({ length: rows * hiddenSize }, (_, at) => Math.sin(at * (at % 7) + at));
    return tensor(values, { shape: [rows, hiddenSize] }).to(compute);
  };
  const choose = (list: readonly Asked[], native: boolean) =>
    noGrad(() =>
      scope(() => nextTokens(modelOf(compute), hiddenOf(list.length), list.map(sequence), { native })),
    );

  test("the native draw and the one row by row are the same, and a row is what it is alone", () => {
    fc.assert(
      fc.property(fc.array(asked, { minLength: 1, maxLength: 6 }), (list) => {
        const together = choose(list, true);
        expect(together).toEqual(choose(list, false));
        const alone = list.map((one, row) =>
          noGrad(() =>
            scope(() => {
              const hidden_1D = hiddenOf(list.length).narrow(0, row, 1);
              return nextTokens(modelOf(compute), hidden_1D, [sequence(one)], { native: true })[0];
            }),
          ),
        );
        expect(together).toEqual(alone);
      }),
      // Fixed: one number in some ten million falls where rounding decides between two tokens.
      { numRuns: 100, seed: 7 },
    );
  });

  test("rows without settings draw from the very logits that they drew from before", () => {
    fc.assert(
      fc.property(fc.array(asked, { minLength: 1, maxLength: 6 }), (list) => {
        const plain = list.map((one, index): Asked => {
          if (index % 2 > 0) return one;
          const none = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
          return { ...one, sampling: { ...one.sampling, ...none }, logitBias: {}, mix };
        });
        const chosen = choose(plain, true);
        noGrad(() =>
          scope(() => {
            const { heads, backbone } = modelOf(compute);
            const logits_RV = heads.logitsUnder(hiddenOf(list.length), mix, backbone.kernels);
            for (const [row, [one, choice]] of zip(plain, chosen).entries()) {
              if (row % 2 > 0) continue;
              const { temperature, topK, topP } = one.sampling;
              const settings = tensor(Float64Array.of(temperature, topK, topP, 0), { shape: [1, 4] });
              const uniform = temperature === 0 ? 0 : sequence(one).uniform();
              const drawn = ops.drawTokens(
                logits_RV.narrow(0, row, 1),
                settings,
                tensor(Float64Array.of(uniform)),
              );
              expect(choice).toEqual({ id: drawn.item() });
            }
          }),
        );
      }),
      { numRuns: 50 },
    );
  });
});

test("answers with settings are what each is alone, with the cache and without", async () => {
  const list = Array.from({ length: 9 }, (_, seed): GenerateRequest => {
    const settings = [{}, { frequencyPenalty: 0.6 }, { presencePenalty: 1, repetitionPenalty: 1.2 }];
    return {
      ids: [5, 17, 3 + seed],
      mix: { a: 1 + (seed % 2), b: 1 },
      seed,
      maxNewTokens: 12,
      sampling: { temperature: seed % 4, ...settings[seed % 3] },
      logitBias: seed % 2 === 0 ? { 40: 2 } : undefined,
    };
  });
  const alone = (await Promise.all(list.map((request) => idsOf([request])))).flat();
  for (const batchSize of [2, 9]) expect(await idsOf(list, batchSize)).toEqual(alone);
  const slow = await generateAll(modelOf("float32"), list, { decoder: uncachedDecoder });
  expect(slow.map(({ ids }) => ids)).toEqual(alone);
});

test("candidates of a search carry what their text has used from step to step", async () => {
  const request = {
    ids: [5, 17],
    mix,
    maxNewTokens: 30,
    sampling: { temperature: 0, frequencyPenalty: 1.5, presencePenalty: 0.5, repetitionPenalty: 1.1 },
    logitBias: { 33: 1 },
  };
  const [ids = []] = await idsOf([request]);
  const { completion } = await searchAnswer(
    modelOf("float32"),
    {
      ...request,
      prompt: "p",
      search: {
        strategy: "majority",
        candidates: 1,
        step: "line",
        maxStepTokens: 4,
        maxSteps: 50,
        boxed: false,
      },
    },
    { vote: (texts) => texts.map(() => 0) },
  );
  expect(completion.ids.length).toBeGreaterThan(8);
  expect(ids.slice(0, completion.ids.length)).toEqual(completion.ids);
});
