/** Rollouts by an endpoint: what it is asked, what becomes of its answers, and what of its faults. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { stepEnds } from "../data/tokens/steps.ts";
import { generateAll } from "../decode/generate.ts";
import {
  answers,
  cutAtOnce,
  cutInTheMiddle,
  type SeenCall,
  sends,
  silence,
  startEndpoint,
  type TestEndpoint,
} from "../endpoint/testing/server.ts";
import { openModelSource } from "../model/folder/source.ts";
import { tinyFolder, tinyModel, withFolder } from "../model/testing/tiny.ts";
import { studentView } from "./dialogue.ts";
import {
  type EndpointRolloutOptions,
  endpointGenerator,
  endpointGeneratorContent,
  endpointGeneratorSchema,
} from "./endpoint-generator.ts";
import { allRollouts } from "./file.ts";
import type { Continuation } from "./generator.ts";
import { planResponses, type RunRolloutsOptions, runRollouts } from "./monte-carlo.ts";
import { rollOutDialogues } from "./rollout.ts";
import { asModel, endpointRows } from "./testing/endpoint-rows.ts";
import { textJudge, tinyGenerator } from "./testing/rollouts.ts";
import { answerSteps, answerText } from "./text.ts";

let server: TestEndpoint;
beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));
beforeEach(async () => {
  server = await startEndpoint(answers(asModel));
});
afterEach(() => server.close());

const tiny = await openModelSource(tinyFolder("tiny-llama"));
const local = { ...tiny, content: "tiny-llama" };

const declare = (options: object = {}) =>
  endpointGeneratorSchema.parse({ baseUrl: server.baseUrl, model: "big", firstWait: 0.001, ...options });
const open = (options: object = {}, more: Partial<EndpointRolloutOptions> = {}) =>
  endpointGenerator(declare(options), {
    step: { by: "line" },
    sampling: { temperature: 0.7, topP: 0.9 },
    maxNewTokens: 20,
    ...more,
  });
type Opened = ReturnType<typeof open>;

const run = async (
  out: string,
  generator: Opened,
  {
    count = 2,
    samples = 2,
    ...more
  }: { count?: number; samples?: number } & Partial<RunRolloutsOptions> = {},
) => {
  const tasks = planResponses(endpointRows(count), generator, { samples });
  const options = { generator, judge: textJudge(), judgeContent: "text", batchSize: 4, ...more };
  const summary = await runRollouts(tasks, { out, ...options });
  return { summary, written: await allRollouts(out) };
};

describe("from a prompt", () => {
  test("an answer is a chat completion of its own, with the settings and a seed of its own", async () => {
    const generator = open({ request: { top_k: 5, stream: null } }, { sampling: { minP: 0.1 } });
    const prepared = generator.prepare("Well?", undefined);
    const told: number[] = [];
    const made = await generator.run(
      [1, 2].map((seed) => ({ row: prepared, from: 0, seed })),
      { onDone: () => told.push(1) },
    );
    expect(server.seen.map(({ path }) => path)).toEqual(Array(2).fill("/v1/chat/completions"));
    expect(server.seen.map(({ body }) => body).sort((a, b) => (a.seed ?? 0) - (b.seed ?? 0))).toEqual(
      [1, 2].map((seed) => ({
        model: "big",
        messages: [{ role: "user", content: "Well?" }],
        temperature: 0,
        top_p: 1,
        top_k: 5,
        min_p: 0.1,
        max_tokens: 20,
        seed,
      })),
    );
    expect(made.map(({ text }) => text)).toEqual(
      [1, 2].map((seed) => asModel(server.seen.find(({ body }) => body.seed === seed) as SeenCall)),
    );
    expect(made.every(({ finish, tokens }) => finish === "end" && tokens === 3)).toBe(true);
    expect(told).toHaveLength(2);
  });

  test("several may come of one request, and those that do not come are asked for", async () => {
    // Never more than two choices, whatever is asked; at first none at all.
    server.usually = answers(
      ({ body }, choice) => `${body.n ?? 1} ${body.seed} ${choice}`,
      ({ body }) => (server.seen.length === 1 ? 0 : Math.min(2, body.n ?? 1)),
    );
    const generator = open({ perRequest: 5, concurrency: 1 });
    const row = generator.prepare("Well?", undefined);
    const requests = Array.from({ length: 6 }, (_, index) => ({ row, from: 0, seed: index }));
    const made = await generator.run(requests);
    expect(made.map(({ text }) => text)).toEqual(["5 0 0", "5 0 1", "3 2 0", "3 2 1", "1 4 0", "1 5 0"]);
    expect(server.seen.map(({ body }) => [body.n, body.seed])).toEqual([
      [5, 0],
      [5, 0],
      [3, 2],
      [undefined, 4],
      [undefined, 5],
    ]);
    // Which of several choices took how many tokens is not said.
    expect(made.map(({ tokens }) => tokens)).toEqual([...Array(4).fill(undefined), 3, 3]);
  });

  test("choices come in the order of their index, and no more than asked", async () => {
    const choice = (index: number) => ({ index, message: { content: `c${index}` }, finish_reason: "stop" });
    server.usually = sends(200, { choices: [choice(2), choice(0), choice(1)] });
    const generator = open({ perRequest: 2 });
    const row = generator.prepare("Well?", undefined);
    const made = await generator.run([0, 1].map((seed) => ({ row, from: 0, seed })));
    expect(made.map(({ text }) => text)).toEqual(["c0", "c1"]);
  });
});

describe("from a step", () => {
  test("chat goes on inside the assistant's open message, and the text is prefix and answer as they are", () =>
    withFolder(async (folder) => {
      const { written, summary } = await run(join(folder, "r.jsonl"), open());
      expect(summary).toMatchObject({ rows: 2, rollouts: 8 });
      const seen = new Map(server.seen.map((call) => [asModel(call), call.body]));
      for (const [index, row] of written.entries()) {
        expect(row.steps).toEqual([`We have ${index}.\n`, "One more.\n\n", `It is ${index + 1}.`]);
        for (const rollout of row.rollouts) {
          if (rollout.finish === "recorded") continue;
          const prefix = row.steps.slice(0, rollout.from).join("");
          expect(seen.get(rollout.text)).toMatchObject({
            messages: [
              { role: "user", content: row.prompt },
              { role: "assistant", content: prefix },
            ],
            continue_final_message: true,
            add_generation_prompt: false,
          });
          expect(answerText(row, rollout)).toBe(prefix + rollout.text);
          expect(answerSteps(row, rollout)).toHaveLength(rollout.steps);
          expect(answerSteps(row, rollout)?.join("")).toBe(prefix + rollout.text);
        }
      }
    }));

  test("completions get the very tokens that our own generation has, and steps end at the same ones", async () => {
    const model = await tinyModel("tiny-llama", { training: false });
    const step = { by: "line" } as const;
    const own = tinyGenerator(model, {
      stepEnds: (ids) => stepEnds(model.tokenizer, ids, step),
      boundary: step,
    });
    const theirs = open({ api: "completions" }, { local });
    for (const { prompt, response } of endpointRows(2)) {
      const row = own.prepare(prompt, response);
      expect(theirs.prepare(prompt, response)).toEqual(row);
      for (const [from] of [...row.steps, "end"].entries()) {
        server.seen.length = 0;
        await theirs.run([{ row, from, seed: 1 }]);
        const prefix = row.steps.slice(0, from).flatMap(({ ids }) => ids);
        expect(server.seen[0]).toMatchObject({
          path: "/v1/completions",
          body: { prompt: [...row.promptIds, ...prefix], max_tokens: 20, seed: 1 },
        });
        expect(server.seen[0]?.body).not.toHaveProperty("continue_final_message");
      }
    }
    model.dispose();
  });

  test("completions of a server that has our model are, letter for letter, our own answers", async () => {
    const model = await tinyModel("tiny-llama", { training: false });
    const sampling = { temperature: 1 };
    server.usually = async (response, call) => {
      const { prompt: ids = [], seed, max_tokens } = call.body;
      const request = { ids, seed, sampling, maxNewTokens: Number(max_tokens) };
      const [made] = await generateAll(model, [request]);
      const finish_reason = made?.finish === "length" ? "length" : "stop";
      answers(() => ({ text: made?.text ?? "", finish_reason }))(response, call);
    };
    const step = { by: "line" } as const;
    const ends = (ids: readonly number[]): number[] => stepEnds(model.tokenizer, ids, step);
    const own = tinyGenerator(model, { stepEnds: ends, boundary: step, maxNewTokens: 20 });
    const theirs = open({ api: "completions" }, { local, sampling });
    const requests = endpointRows(2).flatMap(({ prompt, response }) => {
      const row = own.prepare(prompt, response);
      return [0, 1, 2].map((from) => ({ row, from, seed: 7 + from }));
    });
    const told = (made: Continuation[]) => made.map(({ text, finish }) => ({ text, finish }));
    expect(told(await theirs.run(requests))).toEqual(told(await own.run(requests)));
    model.dispose();
  });

  test("completions end at the context of the tokenizer's model, and prompts lose their beginning", async () => {
    const config = { ...tiny.config, maxPositions: 40 };
    const generator = open({ api: "completions" }, { local: { ...local, config }, maxPromptTokens: 30 });
    const row = generator.prepare("How many are these all together? ".repeat(9), undefined);
    expect(row.promptIds).toHaveLength(30);
    server.usually = answers(() => ({ text: "so", finish_reason: "length" }));
    expect(await generator.run([{ row, from: 0, seed: 0 }])).toMatchObject([{ finish: "context" }]);
    expect(server.seen[0]?.body).toMatchObject({ prompt: row.promptIds, max_tokens: 10 });
  });

  test("an answer's steps go on behind the prefix's; what is blank makes none", async () => {
    const generator = open({}, { step: { by: "blank-line" } });
    const row = generator.prepare("Well?", "a\n\nb\n\nc");
    const steps = async (text: string, from: number) => {
      server.usually = answers(() => text);
      const [one] = await generator.run([{ row, from, seed: 0 }]);
      return [one?.steps, one?.cuts];
    };
    expect(await steps("c\n\nd", 2)).toEqual([4, [3, 4]]);
    expect(await steps("c\nd", 2)).toEqual([3, [3]]);
    expect(await steps("\n ", 2)).toEqual([2, [2]]);
    expect(await steps("", 2)).toEqual([2, []]);
    expect(await steps("", 0)).toEqual([0, []]);
  });
});

describe("an answer's end", () => {
  test.each([
    ["stop", {}, "end"],
    ["stop", { stop_reason: null }, "end"],
    ["stop", { stop_reason: 2 }, "end"],
    ["stop", { stop_reason: "\n\n" }, "stop"],
    ["stop", { matched_stop: "###" }, "stop"],
    ["eos_token", {}, "end"],
    ["stop_sequence", {}, "stop"],
    ["content_filter", {}, "stop"],
    ["length", {}, "length"],
    [null, {}, "end"],
  ])("%s with %j is %s", async (finish_reason, more, finish) => {
    server.usually = answers(() => ({ text: "so", finish_reason, ...more }));
    const generator = open();
    const row = generator.prepare("Well?", undefined);
    expect(await generator.run([{ row, from: 0, seed: 0 }])).toMatchObject([{ text: "so", finish }]);
  });

  test("of another sort is a fault of the endpoint's, which is asked again and then named", async () => {
    server.usually = answers(() => ({ text: "so", finish_reason: "tool_calls" }));
    const generator = open({ tries: 2 });
    const row = generator.prepare("Well?", undefined);
    await expect(generator.run([{ row, from: 0, seed: 0 }])).rejects.toMatchObject({
      code: "E_ENDPOINT_FAILED",
      message: expect.stringMatching(
        /finish_reason.*"tool_calls" is not a reason why an answer ended.*tried 2 times/s,
      ),
    });
  });
});

describe("a server that misbehaves", () => {
  test.each([
    ["asks to wait", sends(429, {}, { "retry-after": "0" })],
    ["breaks down", sends(500, "oh")],
    ["cuts the connection", cutAtOnce],
    ["cuts its answer", cutInTheMiddle],
    ["gives no choice", answers(asModel, () => 0)],
    ["gives a choice without a message", sends(200, { choices: [{ finish_reason: "stop" }] })],
    ["broke an answer off", answers(() => ({ text: "so", finish_reason: "abort" }))],
    ["says nothing", silence],
  ])("and %s changes nothing in the file", async (_what, fault) =>
    withFolder(async (folder) => {
      const [good, bad] = [join(folder, "good.jsonl"), join(folder, "bad.jsonl")];
      await run(good, open());
      server.next.push(fault, fault, fault);
      // Many tries, since on a busy machine a good answer too may come late.
      await run(bad, open(fault === silence ? { timeout: 1, tries: 20 } : {}));
      expect(readFileSync(bad)).toEqual(readFileSync(good));
    }),
  );

  test("and never takes the request ends the run with its reason, what was whole kept", () =>
    withFolder(async (folder) => {
      const out = join(folder, "r.jsonl");
      server.usually = (response, call) =>
        server.seen.length > 4
          ? sends(400, { error: { message: "continue_final_message is unknown" } })(response, call)
          : answers(asModel)(response, call);
      await expect(run(out, open())).rejects.toMatchObject({
        code: "E_ENDPOINT_REFUSED",
        message: expect.stringContaining("continue_final_message is unknown"),
      });
      expect(await allRollouts(out)).toHaveLength(1);
      server.usually = answers(asModel);
      expect((await run(out, open())).summary).toMatchObject({ rows: 2, kept: 1 });
      await run(join(folder, "at-once.jsonl"), open());
      expect(readFileSync(out)).toEqual(readFileSync(join(folder, "at-once.jsonl")));
    }));
});

test("answers keep their places however late they come, and no more are asked for at a time than allowed", () =>
  withFolder(async (folder) => {
    await run(join(folder, "in-order.jsonl"), open({ concurrency: 1 }), { batchSize: 100 });
    server.usually = async (response, call) => {
      await sleep(8 * (server.seen.length % 3));
      answers(asModel)(response, call);
    };
    await run(join(folder, "late.jsonl"), open({ concurrency: 3 }), { batchSize: 100 });
    expect(readFileSync(join(folder, "late.jsonl"))).toEqual(readFileSync(join(folder, "in-order.jsonl")));
    expect(server.mostRunning).toBeLessThanOrEqual(3);
  }));

test("an abort ends at once, and the same run goes on from the last batch", () =>
  withFolder(async (folder) => {
    const out = join(folder, "r.jsonl");
    const controller = new AbortController();
    server.usually = (response, call) => {
      // The third batch's first request gets no answer.
      if (server.seen.length > 8) controller.abort();
      else answers(asModel)(response, call);
    };
    await expect(run(out, open(), { count: 4, signal: controller.signal })).rejects.toMatchObject({
      code: "E_INTERRUPTED",
    });
    expect(await allRollouts(out)).toHaveLength(2);
    server.usually = answers(asModel);
    expect((await run(out, open(), { count: 4 })).summary).toMatchObject({ rows: 4, kept: 2 });
    await run(join(folder, "at-once.jsonl"), open(), { count: 4 });
    expect(readFileSync(out)).toEqual(readFileSync(join(folder, "at-once.jsonl")));
  }));

test("with a cache no answer is asked for twice, and only those of the batch under way are kept", () =>
  withFolder(async (folder) => {
    const out = join(folder, "r.jsonl");
    const cache = join(folder, "answers");
    const opened = (calls: number) => open({ budget: { calls }, concurrency: 1 }, { cache });
    // Two batches of four; the budget ends in the second.
    await expect(run(out, opened(6))).rejects.toMatchObject({ code: "E_ENDPOINT_BUDGET" });
    expect(server.seen).toHaveLength(6);
    const { summary } = await run(out, opened(100));
    expect(summary).toMatchObject({ kept: 1, rollouts: 8 });
    expect(server.seen).toHaveLength(8);
    const [file = ""] = readdirSync(cache);
    const lines = readFileSync(join(cache, file), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines.join()).not.toContain("apiKey");
    await run(join(folder, "without.jsonl"), open());
    expect(readFileSync(out)).toEqual(readFileSync(join(folder, "without.jsonl")));
  }));

describe("a file of rollouts", () => {
  test("is gone on with under another key, patience and speed, and under no other model, address or way", () =>
    withFolder(async (folder) => {
      const out = join(folder, "r.jsonl");
      process.env.MAHALO_TEST_ENDPOINT_KEY = "sk-test";
      await run(out, open());
      const calls = server.seen.length;
      const same = { apiKeyEnv: "MAHALO_TEST_ENDPOINT_KEY", concurrency: 1, tries: 2, timeout: 7 };
      await run(out, open({ ...same, baseUrl: `${server.baseUrl}/`, budget: { calls: 9 } }));
      expect(server.seen).toHaveLength(calls);
      for (const other of [{ model: "other" }, { request: { top_k: 5 } }, { perRequest: 2 }]) {
        await expect(run(out, open(other))).rejects.toMatchObject({ code: "E_ROLLOUT_OTHER" });
      }
      await expect(run(out, open({}, { sampling: {} }))).rejects.toMatchObject({ code: "E_ROLLOUT_OTHER" });
      expect(JSON.stringify(endpointGeneratorContent(declare(same)))).not.toMatch(/KEY|timeout/);
      delete process.env.MAHALO_TEST_ENDPOINT_KEY;
    }));
});

test("a student is played by the endpoint, under the persona that is given", () =>
  withFolder(async (folder) => {
    const turn = (role: "user" | "assistant", content: string) => ({ role, content });
    const messages = [
      turn("user", "I think 3 x 4 is 7."),
      turn("assistant", "How did you get there?"),
      turn("user", "I added."),
      turn("assistant", "What would three groups of four be?"),
    ];
    const row = { objective: "interest", messages, origin: { file: "d.jsonl", line: 1 } };
    server.usually = answers(() => "Oh!\n\nTwelve?");
    const out = join(folder, "d.jsonl");
    const summary = await rollOutDialogues([row], {
      generator: open(),
      student: true,
      persona: "You are Ben.",
      judge: { kind: "rule", minWords: 2 },
      out,
      samples: 3,
    });
    expect(summary).toMatchObject({ rows: 2, rollouts: 3, meanScore: 1 });
    expect(server.seen).toHaveLength(3);
    for (const { body } of server.seen) expect(body.messages).toEqual(studentView(messages, "You are Ben."));
    const [, last] = await allRollouts(out);
    expect(last?.rollouts).toMatchObject(Array(3).fill({ from: 1, steps: 1, text: "Oh!\n\nTwelve?" }));
  }));
