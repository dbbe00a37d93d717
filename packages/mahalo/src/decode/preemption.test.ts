/** Rows that make room and come back: every answer is what it is with room for all, bit for bit, and nothing is told twice. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { element, need, zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { decodingKinds, decodingModel } from "../model/testing/adapted.ts";
import { Engine, type EngineOptions } from "./engine.ts";
import type { AnswerEvent } from "./events.ts";
import { generateAll } from "./generate.ts";
import { PAGE_POSITIONS } from "./kv/kv-pages.ts";
import type { MixPlan } from "./mix-schedule.ts";
import type { Completion, GenerateRequest } from "./request.ts";
import { pages } from "./testing/pages.ts";

const prompt = (length: number, by: number): number[] =>
  Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * by + index * by) % 200));

/** A bias that takes tokens out. */
const never = (ids: readonly number[]): Record<number, number> =>
  Object.fromEntries(ids.map((id) => [id, -100]));

/** Submits requests to an engine; gives each one's events as they come. */
const submitAll = (engine: Engine, requests: readonly GenerateRequest[]) =>
  requests.map((request, index) => {
    const events: AnswerEvent[] = [];
    const handle = engine.submit(request, `request ${index}`, (event) => events.push(event));
    return { handle, events };
  });

/** Steps until all is answered, within the bound. */
const drain = (engine: Engine, maxBytes: number): void => {
  for (let at = 0; engine.active + engine.waiting > 0; at++) {
    if (at > 3000) throw new Error("the engine does not come to an end");
    engine.step();
    if (engine.usedBytes > maxBytes) throw new Error("the engine holds more than it may");
  }
};

/** The completion that events end with, after checking that they tell all of it once, in order, and nothing else. */
const completionOf = (events: readonly AnswerEvent[], promptTokens: number): Completion => {
  const [first, ...rest] = events;
  expect(first).toMatchObject({ type: "start", promptTokens });
  const last = rest.pop();
  if (last?.type !== "done") throw new Error("no end");
  const tokens = rest.filter((event) => event.type === "token");
  const steps = rest.filter((event) => event.type === "step");
  expect(rest).toHaveLength(tokens.length + steps.length);
  const { completion } = last;
  expect(tokens.map(({ id }) => id)).toEqual(completion.ids);
  expect(tokens.map(({ text }) => text).join("")).toBe(completion.text);
  expect(tokens.flatMap(({ logprob }) => logprob ?? [])).toEqual(completion.logprobs);
  expect(steps.map(({ steps }) => steps)).toEqual(steps.map((_, index) => index + 1));
  return completion;
};

/** Mixes, some of which change early in an answer, so that rows come back under another than they began with. */
const mixes: readonly MixPlan[] = [
  { accuracy: 1 },
  { accuracy: 0.3, engagement: 0.7 },
  [
    { mix: { accuracy: 1 } },
    { from: { token: 2 }, mix: { engagement: 1 } },
    { from: { token: 15 }, mix: { accuracy: 1 } },
  ],
  [
    { mix: { engagement: 1 } },
    { from: { step: 1 }, mix: { accuracy: 1 } },
    { from: { step: 2 }, mix: { engagement: 1 } },
    { from: { step: 4 }, mix: { accuracy: 0.5, engagement: 0.5 } },
  ],
];
const newline = 13;
const request = fc.record({
  length: fc.integer({ min: 1, max: 75 }),
  stem: fc.nat(2),
  mix: fc.constantFrom(...mixes),
  maxNewTokens: fc.integer({ min: 1, max: 70 }),
  temperature: fc.constantFrom(0, 1, 1.6),
  frequencyPenalty: fc.constantFrom(0, 0.4),
  topLogprobs: fc.constantFrom(0, 2),
});
const requests = fc.array(request, { minLength: 2, maxLength: 7 }).map((list) =>
  list.map(
    ({ length, stem, temperature, frequencyPenalty, ...rest }, seed): GenerateRequest => ({
      ...rest,
      ...{ ids: prompt(length, stem), seed, logprobs: true },
      sampling: { temperature, frequencyPenalty },
      // Lines are short.
      ...{ step: "line", logitBias: { [newline]: 4 } },
    }),
  ),
);

const dtypes = ["float32", "bfloat16"] as const;
const cases = dtypes.flatMap((compute) => decodingKinds.map((kind) => [compute, kind] as const));

describe.each(cases)("in %s with %s", (compute, kind) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await decodingModel(kind, { compute });
  });
  afterAll(() => model.dispose());

  const answers = (list: readonly GenerateRequest[], options: EngineOptions & { maxBytes: number }) => {
    const engine = new Engine(model, options);
    const submitted = submitAll(engine, list);
    drain(engine, options.maxBytes);
    const { preemptions } = engine;
    if (options.sharePrefixes === false) expect(engine.usedBytes).toBe(0);
    engine.close();
    expect(engine.usedBytes).toBe(0);
    const completions = zip(submitted, list).map(([{ handle, events }, { ids }]) => {
      handle.throwIfFailed();
      return completionOf(events, ids.length);
    });
    return { completions, preemptions };
  };

  test("answers are the same with what is used reserved, in little memory, as with the longest in much", () => {
    // Whatever else is drawn, these outgrow five pages, since none of them ends early.
    const outgrowing = mixes.map(
      (mix, seed): GenerateRequest => ({
        ...{ ids: prompt(20, seed), mix, seed, maxNewTokens: 60, logprobs: true },
        sampling: { temperature: 1 },
        ...{ step: "line", logitBias: { [newline]: 4, ...never(model.tokenizer.eosIds) } },
      }),
    );
    let preemptions = 0;
    fc.assert(
      fc.property(
        requests,
        fc.integer({ min: 5, max: 9 }),
        fc.integer({ min: 2, max: 7 }),
        fc.boolean(),
        (list, count, batchSize, sharePrefixes) => {
          const much = { maxBytes: pages(model, 200), batchSize, sharePrefixes };
          const expected = answers(list, { ...much, reserve: "longest" });
          const little = { ...much, maxBytes: pages(model, count) };
          const used = answers(list, { ...little, reserve: "used" });
          expect(used.completions).toEqual(expected.completions);
          const longest = answers(list, { ...little, reserve: "longest" });
          expect(longest.completions).toEqual(expected.completions);
          expect([expected.preemptions, longest.preemptions]).toEqual([0, 0]);
          preemptions += used.preemptions;
        },
      ),
      { numRuns: 15, examples: [[outgrowing, 5, 4, false]] },
    );
    expect(preemptions).toBeGreaterThan(0);
  });
});

test.each(dtypes)("tokens are replayed in %s under the mixes that read them", async (compute) => {
  const model = await decodingModel("adapters", { compute });
  const list = mixes.map(
    (mix, seed): GenerateRequest => ({
      ...{ ids: prompt(20, seed), mix, seed, maxNewTokens: 60, logprobs: true },
      sampling: { temperature: 1 },
      ...{ step: "line", logitBias: { [newline]: 4, ...never(model.tokenizer.eosIds) } },
    }),
  );
  const expected = await generateAll(model, list);
  expect(expected.every(({ text }) => text.split("\n").length > 4)).toBe(true);
  for (const count of [4, 5, 6]) {
    // Each in turn is the youngest, and makes room.
    for (const [shift] of list.entries()) {
      const order = list.map((_, index) => (index + shift) % list.length);
      const engine = new Engine(model, { maxBytes: pages(model, count), batchSize: 4 });
      const submitted = submitAll(
        engine,
        order.map((index) => element(list, index)),
      );
      drain(engine, pages(model, count));
      expect(engine.preemptions).toBeGreaterThan(0);
      engine.close();
      const completions = submitted.map(({ events }) => completionOf(events, 20));
      expect(completions).toEqual(order.map((index) => expected[index]));
    }
  }
  model.dispose();
});

describe("a row that makes room", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await decodingModel("heads", { compute: "float32" });
  });
  afterAll(() => model.dispose());

  /** Requests of a page at first and of two in the end, whose answers have no end token. */
  const growing = (count: number): GenerateRequest[] =>
    Array.from({ length: count }, (_, seed) => ({
      ids: prompt(20, seed),
      maxNewTokens: 40,
      seed,
      sampling: { temperature: 1 },
      logitBias: never(model.tokenizer.eosIds),
      logprobs: true,
    }));
  const tokensOf = (events: readonly AnswerEvent[]): number =>
    events.filter(({ type }) => type === "token").length;

  test("is the youngest: the oldest gets a token at every step, and all end in their order", () => {
    const engine = new Engine(model, { maxBytes: pages(model, 4), sharePrefixes: false });
    const submitted = submitAll(engine, growing(4));
    // Each has a page, and another to begin with, so that two of four begin.
    engine.step();
    expect([engine.active, engine.waiting]).toEqual([2, 2]);
    const ended: number[] = [];
    for (let step = 1; engine.active + engine.waiting > 0; step++) {
      if (step <= 40) expect(tokensOf(need(submitted[0], "request").events)).toBe(step);
      engine.step();
      for (const [index, { handle }] of submitted.entries())
        if (handle.over && !ended.includes(index)) ended.push(index);
    }
    expect(ended).toEqual([0, 1, 2, 3]);
    expect(submitted.map(({ events }) => tokensOf(events))).toEqual([40, 40, 40, 40]);
    expect(engine.preemptions).toBeGreaterThan(0);
    expect(engine.usedBytes).toBe(0);
    engine.close();
  });

  test("waits, and tells nothing while it replays what it had", async () => {
    const list = growing(4);
    const expected = await generateAll(model, list);
    const engine = new Engine(model, { maxBytes: pages(model, 5), batchSize: 4, sharePrefixes: false });
    const submitted = submitAll(engine, list);
    let replayed = 0;
    while (engine.active + engine.waiting > 0) {
      const before = submitted.map(({ events }) => tokensOf(events));
      const { active } = engine;
      engine.step();
      const after = submitted.map(({ events }) => tokensOf(events));
      const came = zip(after, before).reduce((sum, [now, then]) => sum + now - then, 0);
      if (engine.active >= active && came < active) replayed += active - came;
    }
    expect(engine.preemptions).toBeGreaterThan(0);
    expect(replayed).toBeGreaterThan(0);
    engine.close();
    for (const [{ events }, completion] of zip(submitted, expected)) {
      expect(events.filter(({ type }) => type === "start")).toHaveLength(1);
      expect(events.at(-1)).toEqual({ type: "done", completion });
      expect(tokensOf(events)).toBe(completion.ids.length);
    }
  });

  test("lets go of all it holds where it is cancelled as it waits or replays, and no other is changed", async () => {
    const expected = await generateAll(model, growing(4));
    const when = { waiting: 0, replaying: 0 };
    for (let stop = 1; stop < 90; stop += 4) {
      const engine = new Engine(model, { maxBytes: pages(model, 5), batchSize: 4, sharePrefixes: false });
      const submitted = submitAll(engine, growing(4));
      for (let step = 0; step < stop; step++) engine.step();
      const before = submitted.map(({ events }) => events.length);
      // The last request that has begun and has not ended: the youngest, which is the first to make room.
      const place = submitted.findLastIndex(({ handle, events }) => events.length > 0 && !handle.over);
      const { handle, events } = need(submitted[Math.max(place, 0)], "request");
      const [active, preemptions] = [engine.active, engine.preemptions];
      handle.cancel();
      if (preemptions > 0) when[engine.active === active ? "waiting" : "replaying"] += 1;
      drain(engine, pages(model, 5));
      expect(engine.usedBytes).toBe(0);
      engine.close();
      for (const [index, { events: all }] of submitted.entries()) {
        if (all === events) expect(all).toHaveLength(element(before, index));
        else expect(all.at(-1)).toEqual({ type: "done", completion: expected[index] });
      }
    }
    expect(Math.min(...Object.values(when))).toBeGreaterThan(0);
  });

  test("comes after cached prefixes, which nobody waits for", () => {
    const maxBytes = pages(model, 5);
    const engine = new Engine(model, { maxBytes });
    submitAll(engine, [{ ids: prompt(40, 7), maxNewTokens: 1 }]);
    drain(engine, maxBytes);
    expect(engine.usedBytes).toBe(pages(model, 2));
    const submitted = submitAll(engine, growing(2));
    engine.step();
    expect([engine.active, engine.usedBytes]).toEqual([2, pages(model, 4)]);
    drain(engine, maxBytes);
    expect(engine.preemptions).toBe(0);
    expect(submitted.map(({ events }) => tokensOf(events))).toEqual([40, 40]);
    engine.close();
  });

  test("lets more requests decode together than their longest answers would", () => {
    const list = Array.from({ length: 6 }, (_, seed): GenerateRequest => {
      return { ids: prompt(20, seed), maxNewTokens: 7 * PAGE_POSITIONS, seed };
    });
    const active = (["longest", "used"] as const).map((reserve) => {
      const engine = new Engine(model, { maxBytes: pages(model, 16), reserve });
      submitAll(engine, list);
      engine.step();
      const { active } = engine;
      engine.close();
      return active;
    });
    expect(active).toEqual([2, 6]);
    expect(() => new Engine(model, JSON.parse('{"reserve":"none"}'))).toThrow(
      /reserve: "none" is not one of/,
    );
  });
});
