/** Attributions against the heads' own logits over the whole text: shares add up, views are each head's, company is nothing. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { element, lookUp, need } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import { adaptedModel } from "../model/testing/adapted.ts";
import { logitsOf, tinyModel } from "../model/testing/tiny.ts";
import type { Attribution } from "./attribution.ts";
import { Engine } from "./engine.ts";
import { generateAll } from "./generate.ts";
import { type GenerateRequest, Sequence } from "./request.ts";

/** Tokens with what is told of each. */
const explain = async (
  engine: Engine,
  request: GenerateRequest,
): Promise<{ id: number; attribution: Attribution | undefined }[]> => {
  const told = [];
  for await (const event of engine.submit(request))
    if (event.type === "token") told.push({ id: event.id, attribution: event.attribution });
  return told;
};

const logSumExp = (logits: ArrayLike<number>): number => {
  const values = Array.from(logits);
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
};

const argmax = (values: ArrayLike<number>, not = -1): number =>
  Array.from(values).reduce(
    (best, value, id) => (id !== not && (best < 0 || value > element(values, best)) ? id : best),
    -1,
  );

describe("of heads", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await tinyModel("tiny-llama", { compute: "float32" });
    model.heads.addNoisyCopies(["a", "b", "c"], { seed: 1, std: 0.5, compute: "float32" });
  });
  afterAll(() => model.dispose());

  const mixes: Mix[] = [{ a: 0.5, b: 0.3, c: 0.2 }, { a: 1 }, { b: 0.25, c: 0.75 }];

  test.each(mixes)("under %j are what the heads' logits over the whole text say", async (mix) => {
    const request = { ids: [5, 17, 200], mix, maxNewTokens: 10, sampling: { temperature: 1 }, seed: 3 };
    const engine = new Engine(model);
    const told = await explain(engine, { ...request, attribution: true });
    engine.close();
    const [{ ids } = { ids: [] }] = await generateAll(model, [request]);
    expect(told.map(({ id }) => id)).toEqual(ids);
    const { vocabSize } = model.config;
    const text = [...request.ids, ...ids];
    const logits = new Map(
      model.heads.objectives.map((name) => [name, logitsOf(model, text, model.heads.get(name).value)]),
    );
    for (const [index, { id, attribution }] of told.entries()) {
      const { runnerUp, heads } = need(attribution, "attribution");
      const from = (request.ids.length + index - 1) * vocabSize;
      const row = (name: string) => lookUp(logits, name).subarray(from, from + vocabSize);
      const mixed = Float64Array.from({ length: vocabSize }, (_, token) =>
        model.heads.objectives.reduce(
          (sum, name) => sum + weightIn(mix, name) * element(row(name), token),
          0,
        ),
      );
      expect(runnerUp.id).toBe(argmax(mixed, id));
      expect(runnerUp.logprob).toBeCloseTo(element(mixed, runnerUp.id) - logSumExp(mixed), 3);
      expect(Object.keys(heads)).toEqual(["a", "b", "c"]);
      let sum = 0;
      for (const [name, { share, logprob, first }] of Object.entries(heads)) {
        const own = row(name);
        const lead = element(own, id) - element(own, runnerUp.id);
        expect(share).toBeCloseTo(weightIn(mix, name) * lead, 4);
        expect(logprob).toBeCloseTo(element(own, id) - logSumExp(own), 3);
        expect(first.id).toBe(argmax(own));
        expect(first.logprob).toBeCloseTo(element(own, first.id) - logSumExp(own), 3);
        sum += share;
      }
      expect(sum).toBeCloseTo(element(mixed, id) - element(mixed, runnerUp.id), 4);
    }
  });

  test("do not depend on who is beside them, nor on whether others ask", async () => {
    const requests = [...mixes, ...mixes].map((mix, seed) => ({
      ...{ ids: [5, 17, 3 + seed], mix, seed, maxNewTokens: 6, sampling: { temperature: 1 } },
      attribution: seed % 2 === 0,
    }));
    const engine = new Engine(model);
    const together = await Promise.all(requests.map((request) => explain(engine, request)));
    const alone = [];
    for (const request of requests) alone.push(await explain(engine, request));
    engine.close();
    expect(together).toEqual(alone);
    expect(together.map((told) => told.every(({ attribution }) => attribution !== undefined))).toEqual(
      requests.map(({ attribution }) => attribution),
    );
  });

  test("are refused where there are no objectives", async () => {
    const plain = await tinyModel("tiny-llama");
    expect(() => new Sequence(plain, { ids: [5], attribution: true }, "request 1")).toThrow(
      expect.objectContaining({ code: "E_MIX_NO_HEADS" }),
    );
    plain.dispose();
  });
});

test.each([undefined, 4])("add up with adapters and heads of rank %s", async (headRank) => {
  const model = await adaptedModel("tiny-llama", headRank === undefined ? {} : { headRank });
  const engine = new Engine(model);
  const mix = { accuracy: 0.6, engagement: 0.4 };
  const told = await explain(engine, {
    ...{ ids: [5, 17, 200], mix, maxNewTokens: 8, sampling: { temperature: 1 }, seed: 2 },
    ...{ attribution: true, logprobs: true },
  });
  const [{ ids, logprobs = [] } = { ids: [] }] = await generateAll(model, [
    { ids: [5, 17, 200], mix, maxNewTokens: 8, sampling: { temperature: 1 }, seed: 2, logprobs: true },
  ]);
  expect(told.map(({ id }) => id)).toEqual(ids);
  for (const [index, { attribution }] of told.entries()) {
    const { runnerUp, heads } = need(attribution, "attribution");
    const lead = Object.values(heads).reduce((sum, { share }) => sum + share, 0);
    // The lead in logits is that in log-probabilities.
    expect(lead).toBeCloseTo(element(logprobs, index) - runnerUp.logprob, 3);
  }
  engine.close();
  model.dispose();
});
