/** The scheduler: rows are what each is alone, whoever joins, leaves or is cancelled, and memory stays in its bound. */
import { MahaloError, noGrad, ops, scope } from "@mahalo/torch";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { decode } from "../search/decode.ts";
import { cachedDecoder, type Decoder, uncachedDecoder } from "./decoder.ts";
import { Engine } from "./engine.ts";
import type { AnswerEvent } from "./events.ts";
import { generateAll } from "./generate.ts";
import { type KvShape, PAGE_POSITIONS, pageBytes } from "./kv/kv-pages.ts";
import type { Completion, GenerateRequest } from "./request.ts";
import type { RequestHandle } from "./request-handle.ts";

let model: LanguageModel;
beforeAll(async () => {
  model = await tinyModel("tiny-llama");
  model.heads.addNoisyCopies(["a", "b"], { seed: 1, std: 0.5, compute: "float32" });
});
afterAll(() => model.dispose());

const prompt = (length: number, by: number): number[] =>
  Array.from({ length }, (_, index) => 3 + ((7 * index + 31 * by + index * by) % 200));

/** Requests of every kind, some of which begin alike. */
const requests: readonly GenerateRequest[] = [
  { ids: [5, 17, 200], mix: { a: 1 }, maxNewTokens: 9 },
  { ids: prompt(40, 1), mix: { a: 0.3, b: 0.7 }, maxNewTokens: 5, sampling: { temperature: 1 }, seed: 4 },
  { ids: prompt(60, 1), mix: { b: 1 }, maxNewTokens: 12, logprobs: true },
  {
    ids: [42],
    mix: [{ mix: { a: 1 } }, { from: { token: 3 }, mix: { b: 1 } }],
    maxNewTokens: 8,
    sampling: { temperature: 1.3, topK: 40, topP: 0.95, repetitionPenalty: 1.2 },
    seed: 9,
  },
  { ids: prompt(33, 1), maxNewTokens: 3, sampling: { temperature: 0.8 }, seed: 1, step: "line" },
  { ids: prompt(20, 2), mix: { a: 1 }, maxNewTokens: 1 },
];

let expected: Completion[];
beforeAll(async () => {
  expected = [];
  for (const request of requests) {
    expected.push(...(await generateAll(model, [request], { decoder: uncachedDecoder })));
  }
});

const plain = ({ logprobs: _, ...rest }: Completion): Omit<Completion, "logprobs"> => rest;

const shapeOf = (): KvShape => {
  const { layers, kvHeads, headDim } = model.config;
  return { layers, kvHeads, headDim, dtype: "float32", device: "cpu" };
};

/** Steps until all is answered. */
const drain = (engine: Engine): void => {
  for (let at = 0; engine.active + engine.waiting > 0; at++) {
    if (at > 500) throw new Error("the engine does not come to an end");
    engine.step();
  }
};

type Action = { kind: "submit"; request: number } | { kind: "step" } | { kind: "cancel"; handle: number };

const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("submit" as const), request: fc.nat(requests.length - 1) }),
    fc.constant<Action>({ kind: "step" }),
    fc.constant<Action>({ kind: "step" }),
    fc.record({ kind: fc.constant("cancel" as const), handle: fc.nat(20) }),
  ),
  { minLength: 1, maxLength: 24 },
);

describe("an engine", () => {
  test("answers each request as it would alone, whoever joins, leaves or is cancelled", () => {
    fc.assert(
      fc.property(
        actions,
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        fc.option(fc.integer({ min: 3, max: 12 })),
        (list, batchSize, sharePrefixes, pages) => {
          const maxBytes = pages === null ? undefined : pages * pageBytes(shapeOf());
          const engine = new Engine(model, { batchSize, sharePrefixes, maxBytes });
          const handles: { handle: RequestHandle; request: number; events: AnswerEvent[] }[] = [];
          for (const action of list) {
            if (action.kind === "step") engine.step();
            else if (action.kind === "cancel")
              handles[action.handle % Math.max(1, handles.length)]?.handle.cancel();
            else {
              const { request } = action;
              const events: AnswerEvent[] = [];
              const one = requests[request] as GenerateRequest;
              const handle = engine.submit(one, "request", (event) => events.push(event));
              handles.push({ handle, request, events });
            }
            expect(engine.active).toBeLessThanOrEqual(batchSize);
            if (maxBytes !== undefined) expect(engine.usedBytes).toBeLessThanOrEqual(maxBytes);
          }
          drain(engine);
          for (const { handle, request, events } of handles) {
            handle.throwIfFailed();
            const whole = expected[request];
            if (whole === undefined) throw new Error("no answer");
            const ids = events.flatMap((event) => (event.type === "token" ? [event.id] : []));
            expect(ids).toEqual(whole.ids.slice(0, ids.length));
            const last = events.at(-1);
            if (last?.type === "done") expect(plain(last.completion)).toEqual(plain(whole));
          }
          engine.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  test("lets what does not fit in memory wait, and answers all", async () => {
    const maxBytes = 4 * pageBytes(shapeOf());
    const engine = new Engine(model, { maxBytes, batchSize: 8 });
    const list = Array.from({ length: 6 }, (_, index): GenerateRequest => {
      return { ids: prompt(40, index), maxNewTokens: 20, mix: { a: 1 } };
    });
    const handles = list.map((request) => engine.submit(request));
    engine.step();
    // Two pages each.
    expect([engine.active, engine.waiting]).toEqual([2, 4]);
    const ids = await Promise.all(handles.map(async (handle) => (await handle.completion()).ids));
    expect(engine.usedBytes).toBeLessThanOrEqual(maxBytes);
    engine.close();
    expect(ids).toEqual((await generateAll(model, list)).map((one) => one.ids));
  });

  test("refuses what could never fit, and says what it needs", () => {
    const engine = new Engine(model, { maxBytes: 3 * pageBytes(shapeOf()) });
    const ask = (maxNewTokens: number) => engine.submit({ ids: prompt(60, 1), maxNewTokens }, "request 7");
    expect(() => ask(100)).toThrow(
      expect.objectContaining({
        code: "E_KV_MEMORY",
        message: expect.stringMatching(/^request 7: .* 160 tokens .* needs .* limit is/),
      }),
    );
    expect(ask(3 * PAGE_POSITIONS - 60).over).toBe(false);
    engine.close();
  });

  test("gives a cancelled request's place and memory to the next", () => {
    const engine = new Engine(model, { batchSize: 1, sharePrefixes: false });
    const first = engine.submit({ ids: prompt(40, 1), maxNewTokens: 100 });
    const second = engine.submit({ ids: [5], maxNewTokens: 2 });
    engine.step();
    expect([engine.active, engine.waiting]).toEqual([1, 1]);
    first.cancel();
    expect([engine.active, engine.usedBytes]).toEqual([0, 0]);
    drain(engine);
    expect([first.over, second.over]).toEqual([true, true]);
    engine.close();
  });

  test("reads what prompts share once, from live and finished rows", async () => {
    let read = 0;
    const counting = (one: LanguageModel): Decoder => {
      const inner = cachedDecoder(one);
      return {
        ...inner,
        extend: (extensions) => {
          for (const { ids } of extensions) read += ids.length;
          return inner.extend(extensions);
        },
      };
    };
    const engine = new Engine(model, { decoder: counting });
    const system = prompt(100, 1);
    await engine.submit({ ids: [...system, 5], maxNewTokens: 4 }).completion();
    expect(read).toBe(101);
    await Promise.all(
      [6, 7].map((id) => engine.submit({ ids: [...system, id], maxNewTokens: 4 }).completion()),
    );
    expect(read).toBe(103);
    engine.close();
  });

  test("reads so many prompt tokens between two steps and no more, but for a longer prompt alone", () => {
    const engine = new Engine(model, { maxPromptTokensPerStep: 50, sharePrefixes: false });
    for (const length of [20, 20, 20, 80, 5])
      engine.submit({ ids: prompt(length, length), maxNewTokens: 20 });
    const active = Array.from({ length: 4 }, () => {
      engine.step();
      return engine.active;
    });
    expect(active).toEqual([2, 3, 4, 5]);
    engine.close();
  });

  test("fails the row that goes wrong and no other", async () => {
    const { heads } = model;
    const head = heads.get("b").value;
    const kept = noGrad(() => head.clone());
    noGrad(() => scope(() => ops.fill_(head, Number.NaN)));
    heads.clearMixes();
    const engine = new Engine(model);
    const sampling = { temperature: 1 };
    const wrong = engine.submit({ ids: [5], mix: { b: 1 }, sampling });
    const right = engine.submit({ ids: [5, 17, 200], mix: { a: 1 }, maxNewTokens: 9 });
    const results = await Promise.allSettled([wrong.completion(), right.completion()]);
    noGrad(() => scope(() => ops.copy_(head, kept)));
    heads.clearMixes();
    kept.dispose();
    engine.close();
    expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "E_LOGITS" } });
    expect(results[1]).toMatchObject({ status: "fulfilled", value: expected[0] });
  });

  test("fails those that decode when a step fails, and goes on with the others", async () => {
    let broken = true;
    const decoder = (one: LanguageModel): Decoder => {
      const inner = cachedDecoder(one);
      return {
        ...inner,
        step: (tokens, rows) => {
          if (broken) throw new MahaloError("E_TORCH", "broken");
          return inner.step(tokens, rows);
        },
      };
    };
    const engine = new Engine(model, { batchSize: 1, decoder });
    const handles = [requests[0], requests[0]].map((one) => engine.submit(one ?? { ids: [1] }));
    const [first, second] = handles;
    engine.step();
    engine.step();
    broken = false;
    await expect(first?.completion()).rejects.toMatchObject({ code: "E_TORCH" });
    expect(await second?.completion()).toEqual(expected[0]);
    engine.close();
  });

  test("steps only while somebody reads, and ends with its readers when it is closed", async () => {
    const engine = new Engine(model);
    const handle = engine.submit({ ids: [5], maxNewTokens: 50 });
    expect((await handle.next()).value).toMatchObject({ type: "start" });
    expect((await handle.next()).value).toMatchObject({ type: "token" });
    await new Promise((done) => setTimeout(done, 5));
    expect(engine.active).toBe(1);
    engine.close();
    expect((await handle.next()).done).toBe(true);
    await expect(handle.completion()).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    expect(() => engine.submit({ ids: [5] })).toThrow(/closed/);
    engine.close();
  });

  test("may be told anything by those who listen, in the middle of a step", async () => {
    const engine = new Engine(model, { batchSize: 2 });
    const events: string[] = [];
    const handles: RequestHandle[] = [];
    handles.push(
      engine.submit({ ids: [5, 17, 200], mix: { a: 1 }, maxNewTokens: 20 }, "first", (event) => {
        events.push(event.type);
        engine.step();
        if (events.length === 3) handles.push(engine.submit(requests[0] ?? { ids: [1] }));
        if (events.length === 4) handles[0]?.cancel();
      }),
    );
    drain(engine);
    expect(events).toEqual(["start", "token", "token", "token"]);
    expect(await handles[1]?.completion()).toEqual(expected[0]);
    const last = engine.submit({ ids: [5], maxNewTokens: 9 }, "last", () => engine.close());
    engine.step();
    expect(last.over).toBe(true);
  });

  test("tells of a start once, with what of the prompt was held already", async () => {
    const engine = new Engine(model);
    const system = prompt(100, 1);
    const starts: AnswerEvent[] = [];
    const ask = (end: number) =>
      engine.submit({ ids: [...system, end], maxNewTokens: 4 }, "request", (event) => {
        if (event.type === "start") starts.push(event);
      });
    ask(5);
    drain(engine);
    // Finished rows hold the beginning now; so does, for prompts that join together, the one of them that is read first.
    for (const end of [6, 7]) ask(end);
    const other = prompt(40, 2);
    for (const end of [5, 6]) engine.submit({ ids: [...other, end] }, "other", (event) => starts.push(event));
    engine.step();
    expect(starts.filter(({ type }) => type === "start")).toEqual(
      [0, 100, 100, 0, 40].map((cachedTokens, index) => ({
        type: "start",
        promptTokens: index < 3 ? 101 : 41,
        cachedTokens,
      })),
    );
    engine.close();
    const alone = new Engine(model, { sharePrefixes: false });
    const first = [];
    for (let index = 0; index < 2; index++) {
      const handle = alone.submit({ ids: system, maxNewTokens: 1 });
      first.push((await handle.next()).value);
      await handle.completion();
    }
    expect(first).toEqual(Array(2).fill({ type: "start", promptTokens: 100, cachedTokens: 0 }));
    alone.close();
  });

  test("may be closed, and a request cancelled, as it starts", () => {
    for (const stop of ["close", "cancel"] as const) {
      const engine = new Engine(model);
      const told: string[] = [];
      const handles: RequestHandle[] = [];
      const listen = ({ type }: AnswerEvent): void => {
        told.push(type);
        if (stop === "close") engine.close();
        else handles[0]?.cancel();
      };
      // Two passes: the second goes on from what the first has read.
      handles.push(engine.submit({ ids: [...prompt(40, 1), 5], maxNewTokens: 3 }, "first", listen));
      const last = engine.submit({ ids: [...prompt(40, 1), 6], maxNewTokens: 3 });
      engine.step();
      expect([handles[0]?.over, last.over, told]).toEqual([true, stop === "close", ["start"]]);
      if (stop === "cancel") expect(engine.active).toBe(1);
      engine.close();
    }
  });

  test("refuses options that make no sense", () => {
    const code = (options: object) => () => new Engine(model, options);
    expect(code({ batchSize: 0 })).toThrow(expect.objectContaining({ code: "E_BATCH_SIZE" }));
    expect(code({ maxBytes: -1 })).toThrow(/maxBytes: -1/);
    expect(code({ maxPromptTokensPerStep: 0.5 })).toThrow(/maxPromptTokensPerStep/);
  });
});

describe("decode", () => {
  test("tells tokens, steps and the end", async () => {
    const events: AnswerEvent[] = [];
    const request: GenerateRequest = {
      ids: [5, 17],
      maxNewTokens: 24,
      step: { by: "sentence", minTokens: 3 },
      sampling: { temperature: 1.5 },
      logprobs: true,
    };
    for await (const event of decode(model, request)) events.push(event);
    expect(events[0]).toEqual({ type: "start", promptTokens: 2, cachedTokens: 0 });
    expect(events.filter(({ type }) => type === "start")).toHaveLength(1);
    const tokens = events.filter((event) => event.type === "token");
    const done = events.at(-1);
    if (done?.type !== "done") throw new Error("no end");
    expect(done.completion.ids).toEqual(tokens.map(({ id }) => id));
    expect(done.completion.text).toBe(tokens.map(({ text }) => text).join(""));
    expect(done.completion.logprobs).toEqual(tokens.map(({ logprob }) => logprob));
    const steps = events.filter((event) => event.type === "step");
    expect(steps.map(({ steps }) => steps)).toEqual(steps.map((_, index) => index + 1));
    expect(steps.at(-1)?.tokens).toBe(tokens.length);
  });

  test("in an engine of others cancels its request when its reader leaves", async () => {
    const engine = new Engine(model);
    const other = engine.submit(requests[0] ?? { ids: [1] });
    for await (const event of decode(model, { ids: [9], maxNewTokens: 200 }, { engine })) {
      if (event.type === "token") break;
    }
    expect(engine.active).toBe(1);
    expect(await other.completion()).toEqual(expected[0]);
    const controller = new AbortController();
    const stopped = decode(model, { ids: [9], maxNewTokens: 200 }, { engine, signal: controller.signal });
    await stopped.next();
    controller.abort();
    await expect(stopped.next()).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    expect(engine.active).toBe(0);
    engine.close();
  });
});
