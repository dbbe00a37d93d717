/** Prompts that join rows: nothing is read twice, nothing is overwritten that another copies, answers stay the same. */
import { scope } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { type TinyName, tinyModel } from "../model/testing/tiny.ts";
import { cachedDecoder, type Decoder, uncachedDecoder } from "./decoder.ts";
import { type GenerateOptions, generateAll } from "./generate.ts";
import { planPrefill, prefill } from "./prefill.ts";
import type { GenerateRequest } from "./request.ts";

const models = new Map<TinyName, LanguageModel>();
const modelOf = (name: TinyName): LanguageModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
};
const names = ["tiny-llama", "tiny-qwen3"] as const;
beforeAll(async () => {
  for (const name of names) {
    const model = await tinyModel(name);
    model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute: "float32" });
    models.set(name, model);
  }
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});

/** Token ids that differ by stem. */
const stem = (length: number, by: number): number[] =>
  Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * by + index * by) % 200));

const promptsOf = (prompts: readonly (readonly number[])[]) => prompts.map((ids) => ({ ids }));

describe("a plan", () => {
  const none = (): number => 0;

  test("lets later prompts begin with what an earlier one reads", () => {
    const a = stem(40, 1);
    expect(planPrefill(promptsOf([a, a.slice(0, 30), stem(30, 2)]), none)).toEqual([
      undefined,
      { prompt: 0, length: 29 },
      undefined,
    ]);
  });

  test("goes on from rows where they hold as much", () => {
    const a = stem(40, 1);
    expect(planPrefill(promptsOf([a, a.slice(0, 30)]), ({ ids }) => Math.min(29, ids.length))).toEqual([
      undefined,
      undefined,
    ]);
    expect(planPrefill(promptsOf([a, a.slice(0, 30)]), () => 28)).toEqual([
      undefined,
      { prompt: 0, length: 29 },
    ]);
  });

  test("shares nothing between mixes", () => {
    const a = stem(40, 1);
    const under = (share: number) => ({ ids: a, mix: { a: share, b: 1 - share } });
    expect(planPrefill([under(0.5), under(0.25), under(0.5)], none)).toEqual([
      undefined,
      undefined,
      { prompt: 0, length: 39 },
    ]);
  });

  test("lets short common beginnings be read again", () => {
    const a = stem(15, 1);
    expect(
      planPrefill(
        promptsOf([
          [...a, 5],
          [...a, 6],
        ]),
        none,
      ),
    ).toEqual([undefined, undefined]);
  });

  test("of any prompts never goes on from one that is read in the second pass, nor for the last token", () => {
    const ids = fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 40 }), fc.nat(2))
      .map(([by, length, end]) => [...stem(length, by), 210 + end]);
    fc.assert(
      fc.property(fc.array(ids, { minLength: 1, maxLength: 8 }), fc.nat(40), (prompts, held) => {
        const plan = planPrefill(promptsOf(prompts), () => held);
        for (const [index, source] of plan.entries()) {
          if (source === undefined) continue;
          const { prompt, length } = source;
          expect(prompts[index]?.slice(0, length)).toEqual(prompts[prompt]?.slice(0, length));
          expect(length).toBeLessThan(prompts[index]?.length ?? 0);
          expect(length).toBeGreaterThan(held);
          expect(plan[prompt]).toBeUndefined();
          expect(prompt).toBeLessThan(index);
        }
      }),
      { numRuns: 200 },
    );
  });
});

/** A decoder that counts the tokens it reads. */
const counting =
  (count: (tokens: number) => void) =>
  (model: LanguageModel): Decoder => {
    const inner = cachedDecoder(model);
    return {
      ...inner,
      get rows() {
        return inner.rows;
      },
      get bytes() {
        return inner.bytes;
      },
      extend: (extensions) => {
        count(extensions.reduce((total, { ids }) => total + ids.length, 0));
        return inner.extend(extensions);
      },
    };
  };

const run = async (
  model: LanguageModel,
  requests: readonly GenerateRequest[],
  options: GenerateOptions,
): Promise<number[][]> => (await generateAll(model, requests, options)).map(({ ids }) => ids);

describe.each(names)("%s", (name) => {
  // Three samples from every prefix of one response, the longest first, then another prompt's.
  const growing = (by: number): number[][] =>
    [70, 55, 41, 22].flatMap((length) => Array.from({ length: 3 }, () => stem(length, by)));
  const requests = (extra: Partial<GenerateRequest> = {}): GenerateRequest[] =>
    [...growing(1), ...growing(2), stem(5, 3)].map((ids, index) => ({
      ids,
      seed: index,
      mix: index % 2 === 0 ? { a: 1 } : { a: 0.4, b: 0.6 },
      maxNewTokens: 3 + (index % 7),
      ...extra,
    }));

  test.each([
    ["greedy", {}],
    ["sampled", { sampling: { temperature: 1.2, topK: 50 } }],
  ])(
    "%s: with shared prefixes every token is the one that every prompt read from scratch gives",
    async (_kind, extra) => {
      const model = modelOf(name);
      const expected = await run(model, requests(extra), { batchSize: 1, decoder: uncachedDecoder });
      for (const batchSize of [1, 5, 40]) {
        expect(await run(model, requests(extra), { batchSize, sharePrefixes: true })).toEqual(expected);
      }
      expect(
        await run(model, requests(extra), { batchSize: 5, sharePrefixes: true, decoder: uncachedDecoder }),
      ).toEqual(expected);
    },
  );

  test("answers of any prompts do not depend on sharing", async () => {
    const model = modelOf(name);
    const request = fc.record({
      ids: fc
        .tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 50 }))
        .map(([by, length]) => stem(length, by)),
      seed: fc.nat(1000),
      maxNewTokens: fc.integer({ min: 1, max: 6 }),
      sampling: fc.constant({ temperature: 1 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(request, { minLength: 1, maxLength: 9 }),
        fc.integer({ min: 1, max: 6 }),
        async (list, batchSize) => {
          const plain = await run(model, list, { batchSize });
          expect(await run(model, list, { batchSize, sharePrefixes: true })).toEqual(plain);
        },
      ),
      { numRuns: 15 },
    );
  });
});

test("a prefix that prompts share is read once, in whatever batches they join", async () => {
  const model = modelOf("tiny-llama");
  const list = [70, 55, 41, 22].flatMap((length) =>
    Array.from({ length: 6 }, (_, index) => ({
      ids: stem(length, 1),
      maxNewTokens: 2 + ((index + length) % 5),
    })),
  );
  for (const batchSize of [1, 4, 24]) {
    let read = 0;
    await run(model, list, {
      batchSize,
      sharePrefixes: true,
      decoder: counting((tokens) => {
        read += tokens;
      }),
    });
    // The longest prompt whole, of every other one its last token.
    expect(read).toBe(70 + list.length - 1);
  }
});

test("without sharing every prompt is read whole", async () => {
  let read = 0;
  const list = Array.from({ length: 3 }, () => ({ ids: stem(20, 1), maxNewTokens: 2 }));
  const decoder = counting((tokens) => {
    read += tokens;
  });
  await run(modelOf("tiny-llama"), list, { decoder, batchSize: 2 });
  expect(read).toBe(60);
});

test("prompts begin with what live and cached prefixes hold, and leave these as they are", () => {
  const model = modelOf("tiny-llama");
  const decoder = cachedDecoder(model);
  const [a, b] = [stem(40, 1), stem(40, 2)];
  scope(() => {
    prefill(decoder, promptsOf([a, b]), { share: true });
    decoder.insertPrefix(0);
    expect([0].map((row) => decoder.ids(row))).toEqual([b]);
    const before = decoder.usedBytes;
    const joined = prefill(decoder, promptsOf([[...b, 5], [...a, 6], [...b.slice(0, 20), 7], a]), {
      share: true,
    });
    expect(joined.flatMap(({ prompts }) => prompts).toSorted()).toEqual([0, 1, 2, 3]);
    const rows = joined.flatMap(({ prompts, rows }) =>
      prompts.map((prompt, index) => ({ prompt, ids: decoder.ids(rows[index] ?? 0) })),
    );
    expect(rows.toSorted((one, other) => one.prompt - other.prompt).map(({ ids }) => ids)).toEqual([
      [...b, 5],
      [...a, 6],
      [...b.slice(0, 20), 7],
      a,
    ]);
    expect(decoder.ids(0)).toEqual(b);
    // A page for each that goes on, however long what it shares.
    expect(decoder.usedBytes).toBeLessThanOrEqual(before + 4 * decoder.bytesFor([1]));
  });
  decoder.dispose();
});
