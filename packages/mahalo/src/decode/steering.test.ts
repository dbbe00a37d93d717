/** Answers whose mix is moved on the way: what comes after is under the new weights, and the told phases repeat it. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { need } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { adaptedModel } from "../model/testing/adapted.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { Engine } from "./engine.ts";
import { generateAll } from "./generate.ts";
import type { MixPlan } from "./mix-schedule.ts";
import type { Completion, GenerateRequest } from "./request.ts";
import { pages } from "./testing/pages.ts";

const models = {
  heads: async () => {
    const model = await tinyModel("tiny-llama", { compute: "float32" });
    model.heads.addNoisyCopies(["accuracy", "engagement"], { seed: 1, std: 0.5, compute: "float32" });
    return model;
  },
  adapters: () => adaptedModel("tiny-llama"),
};

/** An answer, steered each time it has a given number of tokens; and the last plan that steering told. */
const steered = async (
  engine: Engine,
  request: GenerateRequest,
  moves: ReadonlyMap<number, Record<string, number>>,
): Promise<{ completion: Completion; plan: MixPlan | undefined }> => {
  const handle = engine.submit(request);
  let tokens = 0;
  let plan: MixPlan | undefined;
  const move = (): void => {
    const mix = moves.get(tokens);
    if (mix !== undefined) plan = handle.steer(mix);
  };
  move();
  for await (const event of handle) {
    if (event.type === "done") return { completion: event.completion, plan };
    if (event.type !== "token") continue;
    tokens += 1;
    move();
  }
  throw new Error("no end");
};

describe.each(["heads", "adapters"] as const)("with %s", (kind) => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await models[kind]();
  });
  afterAll(() => model.dispose());

  const request = {
    ids: [5, 17, 200],
    mix: { accuracy: 1 },
    maxNewTokens: 12,
    sampling: { temperature: 1 },
    seed: 4,
  };

  test("the answer is that of a request with these phases, alone and beside others", async () => {
    const moves = new Map([
      [0, { accuracy: 0.5, engagement: 0.5 }],
      [3, { engagement: 1 }],
      [7, { accuracy: 2, engagement: 6 }],
    ]);
    const engine = new Engine(model);
    const [alone, beside] = await Promise.all([
      steered(engine, request, moves),
      steered(engine, { ...request, seed: 9 }, new Map()),
    ]);
    engine.close();
    expect(alone.plan).toEqual([
      { from: { token: 0 }, mix: { accuracy: 0.5, engagement: 0.5 } },
      { from: { token: 3 }, mix: { accuracy: 0, engagement: 1 } },
      { from: { token: 7 }, mix: { accuracy: 0.25, engagement: 0.75 } },
    ]);
    const plain = { ...request, seed: 9 };
    const repeated = await generateAll(model, [{ ...request, mix: need(alone.plan, "plan") }, plain]);
    expect(repeated).toEqual([alone.completion, beside.completion]);
  });

  test("a move takes those after it away that would begin at the same token", async () => {
    const engine = new Engine(model);
    const mix = [{ mix: { accuracy: 1 } }, { from: { token: 6 }, mix: { engagement: 1 } }];
    const moves = new Map([[2, { engagement: 1 }]]);
    const { plan } = await steered(engine, { ...request, mix }, moves);
    engine.close();
    expect(plan).toEqual([
      { from: { token: 0 }, mix: { accuracy: 1, engagement: 0 } },
      { from: { token: 2 }, mix: { accuracy: 0, engagement: 1 } },
    ]);
  });

  test("a wrong mix is refused, and the answer goes on as before; after its end nothing happens", async () => {
    const engine = new Engine(model);
    const handle = engine.submit(request);
    expect(() => handle.steer({ wrong: 1 })).toThrow(
      expect.objectContaining({ code: "E_MIX_UNKNOWN_OBJECTIVE" }),
    );
    const completion = await handle.completion();
    expect(handle.steer({ accuracy: 1 })).toBeUndefined();
    engine.close();
    expect(await generateAll(model, [request])).toEqual([completion]);
  });
});

test("an answer that makes room and replays keeps the mixes that it was moved to", async () => {
  const model = await adaptedModel("tiny-llama");
  const requests = [0, 1, 2].map((seed) => ({
    ids: Array.from({ length: 40 }, (_, place) => 3 + ((place * 13 + seed) % 240)),
    mix: { accuracy: 1 },
    ...{ seed, maxNewTokens: 60, sampling: { temperature: 1 } },
  }));
  const run = async (maxBytes: number | undefined) => {
    const engine = new Engine(model, { maxBytes });
    const answers = await Promise.all(
      requests.map((request, index) => steered(engine, request, new Map([[10 + index, { engagement: 1 }]]))),
    );
    const { preemptions } = engine;
    engine.close();
    return { answers, preemptions };
  };
  const free = await run(undefined);
  const tight = await run(pages(model, 6));
  expect(tight.preemptions).toBeGreaterThan(0);
  expect(tight.answers).toEqual(free.answers);
  model.dispose();
});
