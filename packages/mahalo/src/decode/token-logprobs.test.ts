/** Likeliest tokens against a full log-softmax and sort: with equals, in both dtypes, and in any company. */
import { scope, tensor } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { element, zip } from "../core/need.ts";
import { rng } from "../core/random.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { logitsOf, tinyModel } from "../model/testing/tiny.ts";
import { decode } from "../search/decode.ts";
import { generateAll } from "./generate.ts";
import { type GenerateRequest, Sequence } from "./request.ts";
import { likeliestTokens, type TokenLogprob, tokenLogprobs } from "./token-logprobs.ts";

/** The k likeliest of a row of log-probabilities, by a sort of all. */
const sorted = (logps: Float32Array, count: number): TokenLogprob[] =>
  Array.from(logps, (logprob, id) => ({ id, logprob }))
    .sort((a, b) => b.logprob - a.logprob || a.id - b.id)
    .slice(0, count);

/** Log-softmax in float64. */
const logSoftmax = (logits: Float32Array): Float64Array => {
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
};

/** Rows of one width whose logits are few different ones, so that many are equal, or many. */
const rows = fc.record({
  width: fc.integer({ min: 1, max: 300 }),
  kinds: fc.constantFrom(1, 2, 9, 100, 100_000),
  counts: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 4 }),
  seed: fc.nat(1e6),
});
const logitsFor = (width: number, kinds: number, count: number, seed: number): Float32Array => {
  const random = rng(seed, "logits");
  return Float32Array.from({ length: width * count }, () => 12 * (Math.floor(random.next() * kinds) / kinds));
};

test("are those of a full sort, whichever of equals the largest are", () => {
  fc.assert(
    fc.property(rows, ({ width, kinds, counts, seed }) => {
      const flat = logitsFor(width, kinds, counts.length, seed);
      const tops = scope(() => likeliestTokens(tensor(flat, { shape: [counts.length, width] }), counts));
      const expected = counts.map((count, row) =>
        sorted(flat.subarray(row * width, (row + 1) * width), count),
      );
      expect(tops).toEqual(expected);
    }),
  );
});

test.each(["float32", "bfloat16"] as const)(
  "of %s logits have the log-probabilities of a log-softmax",
  (dtype) => {
    fc.assert(
      fc.property(rows, ({ width, kinds, counts, seed }) => {
        const ids = counts.map((_, row) => (seed + 31 * row) % width);
        const [told, values] = scope(() => {
          const flat = logitsFor(width, kinds, counts.length, seed);
          const logits_NV = tensor(flat, { shape: [counts.length, width] }).to(dtype);
          return [tokenLogprobs(logits_NV, ids, counts), logits_NV.toFloat32Array()] as const;
        });
        for (const [row, [{ logprob, top }, count]] of zip(told, counts).entries()) {
          const exact = logSoftmax(values.subarray(row * width, (row + 1) * width));
          expect(top).toHaveLength(Math.min(count, width));
          for (const one of top) expect(Math.abs(one.logprob - element(exact, one.id))).toBeLessThan(1e-4);
          // Equal logits have equal log-probabilities, and others come in the order of the exact ones.
          const order = sorted(Float32Array.from(exact), count);
          expect(top.map(({ id }) => id)).toEqual(order.map(({ id }) => id));
          const id = element(ids, row);
          expect(Math.abs(logprob - element(exact, id))).toBeLessThan(1e-4);
          // A token has one log-probability, wherever it is told.
          for (const one of top) if (one.id === id) expect(one.logprob).toBe(logprob);
        }
      }),
      // Fixed: two exact log-probabilities may round to one.
      { seed: 5 },
    );
  },
);

const dtypes = ["float32", "bfloat16"] as const;
describe.each(dtypes)("answers in %s", (compute) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await tinyModel("tiny-llama", { compute, training: false });
    model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute });
  });
  afterAll(() => model.dispose());

  const requests = [0, 1, 5, 20, 3].map(
    (topLogprobs, seed): GenerateRequest => ({
      ids: [5, 17, 3 + seed],
      mix: seed % 2 === 0 ? { a: 1 } : { a: 0.3, b: 0.7 },
      seed,
      maxNewTokens: 8,
      logprobs: true,
      topLogprobs,
      sampling: { temperature: seed % 2, presencePenalty: seed % 3 },
    }),
  );

  test("tell as many as are asked for with each token, whoever is beside them", async () => {
    const together = await generateAll(model, requests);
    const alone = [];
    for (const request of requests) alone.push(...(await generateAll(model, [request])));
    expect(together).toEqual(alone);
    for (const [{ ids, logprobs = [], topLogprobs }, request] of zip(together, requests)) {
      const count = request.topLogprobs ?? 0;
      if (count === 0) {
        expect(topLogprobs).toBeUndefined();
        continue;
      }
      expect(topLogprobs?.map(({ length }) => length)).toEqual(ids.map(() => count));
      for (const [id, logprob, top] of ids.map(
        (id, index) => [id, element(logprobs, index), element(topLogprobs ?? [], index)] as const,
      )) {
        const own = top.find((one) => one.id === id);
        if (own !== undefined) expect(own.logprob).toBe(logprob);
        else expect(logprob).toBeLessThanOrEqual(element(top, count - 1).logprob);
      }
    }
    // What is not asked for changes nothing.
    const plain = await generateAll(
      model,
      requests.map((request) => ({ ...request, topLogprobs: 0 })),
    );
    expect(together.map(({ topLogprobs: _, ...rest }) => rest)).toEqual(plain);
  });

  test("come with the events as they come with the completion", async () => {
    const request: GenerateRequest = { ...requests[2], ids: [5, 17] };
    const events: (readonly TokenLogprob[])[] = [];
    for await (const event of decode(model, request)) {
      if (event.type === "token") events.push(event.topLogprobs ?? []);
      if (event.type === "done") expect(event.completion.topLogprobs).toEqual(events);
    }
    expect(events).toHaveLength(8);
  });
});

test("are those of one pass over the whole text under the mix, before bias and penalties", async () => {
  const model = await tinyModel("tiny-llama");
  const request = { ids: [5, 17, 200], maxNewTokens: 10, logprobs: true, topLogprobs: 5 };
  const settings = { logitBias: { 9: 50 }, sampling: { frequencyPenalty: 2 } };
  const [{ ids = [], topLogprobs = [] } = {}] = await generateAll(model, [{ ...request, ...settings }]);
  const { vocabSize } = model.config;
  const logits = logitsOf(model, [...request.ids, ...ids]);
  for (const [index, top] of topLogprobs.entries()) {
    const from = (request.ids.length + index - 1) * vocabSize;
    const exact = logSoftmax(logits.subarray(from, from + vocabSize));
    expect(top.map(({ id }) => id)).toEqual(sorted(Float32Array.from(exact), 5).map(({ id }) => id));
    for (const { id, logprob } of top) expect(Math.abs(logprob - element(exact, id))).toBeLessThan(1e-3);
  }
  const code = (wrong: object) => () => new Sequence(model, { ...request, ...wrong }, "request 2");
  expect(code({ logprobs: false })).toThrow(/request 2: topLogprobs: needs logprobs/);
  for (const topLogprobs of [21, -1, 1.5])
    expect(code({ topLogprobs })).toThrow(expect.objectContaining({ code: "E_GENERATE_REQUEST" }));
  model.dispose();
});
