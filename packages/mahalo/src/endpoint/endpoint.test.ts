/** Tests of calls to an endpoint that misbehaves. */
import { setImmediate as nextTick, setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chat, completionSchema } from "./chat.ts";
import type { Clock } from "./clock.ts";
import { Endpoint } from "./endpoint.ts";
import { endpointSchema } from "./options.ts";
import {
  type Behaviour,
  completion,
  cutAtOnce,
  cutInTheMiddle,
  drips,
  floods,
  says,
  sends,
  silence,
  startEndpoint,
  type TestEndpoint,
  unpacksTo,
} from "./testing/server.ts";

let server: TestEndpoint;
beforeEach(async () => {
  server = await startEndpoint();
});
afterEach(() => server.close());

/** A clock whose waits take no time, and the waits it was asked for. */
const quickClock = (): { clock: Clock; waits: number[] } => {
  const waits: number[] = [];
  let now = Date.parse("2026-01-02T03:04:05Z");
  return {
    waits,
    clock: {
      now: () => now,
      wait: async (milliseconds) => {
        waits.push(milliseconds);
        now += milliseconds;
        await nextTick();
      },
    },
  };
};

const open = (options: object = {}, environment: NodeJS.ProcessEnv = {}) => {
  const { clock, waits } = quickClock();
  const given = endpointSchema.parse({ baseUrl: server.baseUrl, model: "judge", ...options });
  return { endpoint: new Endpoint(given, { environment, clock }), waits };
};
const ask = (endpoint: Endpoint, request: object = {}, signal?: AbortSignal) =>
  chat(endpoint, [{ role: "user", content: "Well?" }], completionSchema.parse(request), { signal });

describe("a call", () => {
  test("sends model, messages and options, and gives the text", async () => {
    const { endpoint } = open();
    expect(await ask(endpoint, { request: { seed: 3, max_tokens: null } })).toEqual({
      text: "yes",
      finish: "stop",
    });
    const [call] = server.seen;
    expect(call?.path).toBe("/v1/chat/completions");
    expect(call?.body).toEqual({
      model: "judge",
      messages: [{ role: "user", content: "Well?" }],
      temperature: 0,
      stream: false,
      seed: 3,
    });
    expect(call?.headers.authorization).toBeUndefined();
    expect(endpoint.usage).toEqual({ calls: 1, tokens: 10 });
  });

  test("a reply without text or reason is an empty one", async () => {
    server.next.push(says(null, { choices: [{ message: {} }] }));
    expect(await ask(open().endpoint)).toEqual({ text: "", finish: "" });
  });

  test("tokens that the endpoint does not count are estimated", async () => {
    server.next.push(says("yes", { usage: null }));
    const { endpoint } = open();
    await ask(endpoint);
    expect(endpoint.usage.tokens).toBeGreaterThan(20);
  });

  test("sends the key of the variable that is named, and says it in no message", async () => {
    const { endpoint } = open({ apiKeyEnv: "JUDGE_KEY" }, { JUDGE_KEY: " sk-secret\n" });
    server.next.push(sends(401, { error: { message: "wrong key: sk-secret" } }));
    await expect(ask(endpoint)).rejects.toMatchObject({
      code: "E_ENDPOINT_DENIED",
      message: expect.stringContaining("wrong key: (the API key)"),
    });
    expect(server.seen[0]?.headers.authorization).toBe("Bearer sk-secret");
    expect(() => open({ apiKeyEnv: "JUDGE_KEY" })).toThrow(
      expect.objectContaining({ code: "E_ENDPOINT_KEY" }),
    );
  });
});

describe("a key that the server says again is taken out", () => {
  const key = 'sk-ver/y"secret';
  const base64 = Buffer.from(`user:${key}`).toString("base64");
  const openWithKey = (options: object = {}) =>
    open({ apiKeyEnv: "JUDGE_KEY", tries: 1, ...options }, { JUDGE_KEY: key });

  test.each<[string, Behaviour]>([
    [
      "of a redirect's address",
      sends(307, "", { location: `http://elsewhere.example/?k=${encodeURIComponent(key)}` }),
    ],
    ["of an error in JSON", sends(401, { error: { message: `wrong: ${key}` } })],
    [
      "of an error in JSON, as code points",
      sends(401, JSON.stringify({ detail: `wrong: ${key}` }).replace("s", "\\u0073")),
    ],
    ["of an error in base64", sends(400, { message: base64 })],
    ["of an error that is cut", sends(400, { message: `${"x".repeat(290)} ${key}` })],
    ["of a page", sends(500, `bad key ${key}`, { "content-type": "text/plain" })],
    ["of a content type", sends(200, "", { "content-type": `text/plain; k=${base64}` })],
    ["of an error under a status of success", sends(200, { error: { message: key } })],
  ])("%s", async (_, fault) => {
    server.usually = fault;
    const error: unknown = await ask(openWithKey().endpoint).catch((thrown: unknown) => thrown);
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      expect(cause.message).not.toMatch(/sk-v|secret|c2stdm|stdmVy|zZWNyZX/);
    }
    expect(error).toMatchObject({ code: expect.stringMatching(/^E_ENDPOINT_/) });
  });

  test("of an answer", async () => {
    server.usually = says(`my key is ${key}, or ${base64}`);
    const { text } = await ask(openWithKey().endpoint);
    expect(text).toMatch(/^my key is \(the API key\), or \S*\(the API key\)/);
  });

  test("and one that no header can carry is refused before anything is sent", () => {
    expect(() => open({ apiKeyEnv: "JUDGE_KEY" }, { JUDGE_KEY: "sk-\u00fc" })).toThrow(
      expect.objectContaining({ code: "E_ENDPOINT_KEY", message: expect.not.stringContaining("sk-") }),
    );
  });
});

describe("a failure that may pass is tried again", () => {
  const faults: [string, Behaviour][] = [
    ["status 500", sends(500, { error: { message: "oh" } })],
    ["status 503 with a page", sends(503, "<html>", { "content-type": "text/html" })],
    ["a connection cut at once", cutAtOnce],
    ["a connection cut in the middle of the body", cutInTheMiddle],
    ["a body that is no JSON", sends(200, '{"choices": [')],
    ["an empty body", sends(200, "")],
    ["JSON of another form", sends(200, { choices: [] })],
    ["JSON that is no object", sends(200, "[1]")],
    ["a wrong content type", sends(200, completion("yes"), { "content-type": "text/plain" })],
    ["an error under a status of success", sends(200, { error: { message: "overloaded" } })],
    ["JSON nested without end", sends(200, "[".repeat(100_000))],
    ["JSON of a megabyte of rubbish", sends(200, JSON.stringify({ x: Array(100_000).fill("rubbish") }))],
    ["bytes that are no text", sends(200, "\u0000\u0001\ufffd{")],
  ];

  test.each(faults)("%s", async (_, fault) => {
    const { endpoint, waits } = open();
    server.next.push(fault, fault);
    expect((await ask(endpoint)).text).toBe("yes");
    expect(server.seen).toHaveLength(3);
    expect(waits).toHaveLength(2);
    expect(endpoint.usage.calls).toBe(3);
  });

  test.each(faults)("%s, until the tries are used up", async (_, fault) => {
    const { endpoint } = open({ tries: 3 });
    server.usually = fault;
    await expect(ask(endpoint)).rejects.toMatchObject({
      code: "E_ENDPOINT_FAILED",
      message: expect.stringMatching(/^http:\/\/127.*\(tried 3 times\)$/),
    });
    expect(server.seen).toHaveLength(3);
  });

  test.each([
    ["no answer", silence],
    ["a body that drips", drips],
  ])("%s within the time limit", async (_, fault) => {
    server.next.push(fault);
    // Many tries, since on a busy machine a good answer too may come late.
    const { endpoint } = open({ timeout: 1, tries: 20 });
    expect((await ask(endpoint)).text).toBe("yes");
    expect(server.seen.length).toBeGreaterThan(1);
    server.usually = fault;
    await expect(ask(open({ timeout: 0.05, tries: 1 }).endpoint)).rejects.toThrow(
      "no complete reply within 0.05 s",
    );
  });

  test("nobody there", async () => {
    await server.close();
    await expect(ask(open({ tries: 2 }).endpoint)).rejects.toThrow(/ECONNREFUSED.*tried 2 times/);
  });
});

describe("Retry-After", () => {
  test("is waited for, in seconds or until a date", async () => {
    const { endpoint, waits } = open();
    server.next.push(sends(429, {}, { "retry-after": "7" }));
    server.next.push(sends(503, {}, { "retry-after": "Fri, 02 Jan 2026 03:04:25 GMT" }));
    await ask(endpoint);
    expect(waits[0]).toBe(7000);
    // 7 of the 20 seconds until then have passed.
    expect(waits[1]).toBe(13000);
  });

  test("holds the other calls back too", async () => {
    const { endpoint, waits } = open({ concurrency: 1 });
    server.next.push(sends(429, {}, { "retry-after": "30" }));
    await expect(
      chat(endpoint, [{ role: "user", content: "a" }], completionSchema.parse({}), {
        ending: AbortSignal.abort(),
      }),
    ).rejects.toThrow(/429/);
    expect(waits).toEqual([]);
    server.next.push(sends(429, {}, { "retry-after": "30" }));
    await Promise.all([ask(endpoint), ask(endpoint)]);
    expect(waits[0]).toBe(30000);
  });

  test("beyond the longest wait it is an error at once", async () => {
    const { endpoint, waits } = open({ longestWait: 10 });
    server.next.push(sends(429, {}, { "retry-after": "11" }));
    await expect(ask(endpoint)).rejects.toMatchObject({ code: "E_ENDPOINT_BUSY" });
    expect([server.seen.length, waits.length]).toEqual([1, 0]);
  });
});

describe("a failure that will not pass is an error at once", () => {
  test.each<[string, Behaviour, string, RegExp]>([
    ["400", sends(400, { error: { message: "prompt too long" } }), "E_ENDPOINT_REFUSED", /prompt too long/],
    ["404", sends(404, "not here", { "content-type": "text/plain" }), "E_ENDPOINT_NOT_FOUND", /not here/],
    [
      "a redirect",
      sends(307, "", { location: "http://elsewhere.example/v1" }),
      "E_ENDPOINT_MOVED",
      /elsewhere/,
    ],
    [
      "a redirect to itself",
      sends(302, "", { location: "/v1/chat/completions" }),
      "E_ENDPOINT_MOVED",
      /redirects/,
    ],
    ["a body without end", floods, "E_ENDPOINT_HUGE", /more than \d+ bytes/],
    ["a body that unpacks to a huge one", unpacksTo(20e6), "E_ENDPOINT_HUGE", /more than \d+ bytes/],
  ])("%s", async (_, fault, code, message) => {
    server.next.push(fault);
    const failing = ask(open().endpoint);
    await expect(failing).rejects.toMatchObject({ code });
    await expect(failing).rejects.toThrow(message);
    expect(server.seen).toHaveLength(1);
  });
});

describe("the budget", () => {
  test("of calls counts tries again, and lets none beyond it", async () => {
    const { endpoint } = open({ budget: { calls: 3 } });
    server.next.push(sends(500, {}));
    await ask(endpoint);
    await ask(endpoint);
    await expect(ask(endpoint)).rejects.toMatchObject({
      code: "E_ENDPOINT_BUDGET",
      message: expect.stringContaining("3 calls"),
    });
    expect(server.seen).toHaveLength(3);
  });

  test("of tokens goes by what replies have used", async () => {
    const { endpoint } = open({ budget: { tokens: 15 } });
    await ask(endpoint);
    await ask(endpoint);
    await expect(ask(endpoint)).rejects.toThrow(/budget of 15 tokens/);
    expect(server.seen).toHaveLength(2);
  });
});

describe("concurrency", () => {
  test("the server never sees more calls at a time than the limit, and sees that many", async () => {
    // Answers only once three are there, and then waits for a fourth that must not come.
    const waiting: (() => void)[] = [];
    server.usually = async (response, call) => {
      waiting.push(() => says("yes")(response, call));
      if (waiting.length < 3) return;
      await sleep(20);
      for (const answer of waiting.splice(0)) answer();
    };
    const { endpoint } = open({ concurrency: 3 });
    await Promise.all(Array.from({ length: 12 }, () => ask(endpoint)));
    expect(server.seen).toHaveLength(12);
    expect(server.mostRunning).toBe(3);
  });
});

describe("an abort", () => {
  const interrupted = { code: "E_INTERRUPTED" };

  test("ends a call that waits for an answer, and the connection with it", async () => {
    const stop = new AbortController();
    server.usually = () => stop.abort();
    await expect(ask(open().endpoint, {}, stop.signal)).rejects.toMatchObject(interrupted);
    while (server.running > 0) await nextTick();
  });

  test("ends a wait for the next try, and sends nothing more", async () => {
    const stop = new AbortController();
    const given = endpointSchema.parse({
      baseUrl: server.baseUrl,
      model: "judge",
      firstWait: 3000,
      longestWait: 3000,
    });
    server.usually = (response, call) => {
      sends(500, {})(response, call);
      response.once("close", () => stop.abort());
    };
    await expect(ask(new Endpoint(given), {}, stop.signal)).rejects.toMatchObject(interrupted);
    expect(server.seen).toHaveLength(1);
  });

  test("before the call lets nothing be sent", async () => {
    await expect(ask(open().endpoint, {}, AbortSignal.abort())).rejects.toMatchObject(interrupted);
    expect(server.seen).toHaveLength(0);
  });
});

test.each([
  ["localhost:8000", /http/],
  ["nonsense", /address/],
  ["http://user:secret@host/v1", /must not contain a user name/],
  ["https://host/v1?key=secret", /path/],
])("%s is no base URL, and its secrets are not repeated", (baseUrl, message) => {
  const result = endpointSchema.safeParse({ baseUrl, model: "m" });
  expect(result.error?.issues[0]?.message).toMatch(message);
  expect(JSON.stringify(result.error?.issues)).not.toContain("secret");
});

test("a key in the place of its variable's name is refused without repeating it", () => {
  const result = endpointSchema.safeParse({ baseUrl: "http://h/v1", model: "m", apiKeyEnv: "sk-abc-123" });
  expect(JSON.stringify(result.error?.issues)).toMatch(/never a key itself/);
  expect(JSON.stringify(result.error?.issues)).not.toContain("sk-abc");
});
