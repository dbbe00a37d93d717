/** A server under load: nothing is lost, everything is bounded, and it stops in good order. */
import { connect } from "node:net";
import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import {
  chatBody,
  eventsOf,
  post,
  raw,
  startServer,
  type TestServer,
} from "../../packages/mahalo/src/serve/testing/server.ts";

let server: TestServer | undefined;
const start = async (...args: Parameters<typeof startServer>): Promise<TestServer> => {
  server = await startServer(...args);
  return server;
};
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

const path = "/v1/chat/completions";
const long = (more: Record<string, unknown> = {}): Record<string, unknown> =>
  chatBody({ max_tokens: 400, temperature: 1, logit_bias: { 2: -100, 1: -100, 0: -100 }, ...more });
const client = ({ url }: TestServer, maxRetries: number): OpenAI =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries });
/** The number of a metric. */
const metric = async ({ url }: TestServer, name: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^mahalo_${name} (.*)$`, "m").exec(text)?.[1]);
};

describe("the queue", () => {
  test("beyond its bound answers 429, which OpenAI's client asks again after", async () => {
    const busy = await start({ bounds: { parallel: 1, maxWaiting: 1, maxTokens: 400 } });
    const first = Array.from({ length: 2 }, (_, seed) => post(busy, path, long({ seed })));
    await expect.poll(() => metric(busy, "num_requests_waiting")).toBe(1);
    const refused = await post(busy, path, chatBody());
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(refused.headers.get("x-should-retry")).toBe("true");
    expect(await refused.json()).toMatchObject({ error: { type: "rate_limit_error", code: "server_busy" } });
    await expect(
      client(busy, 0).chat.completions.create({
        model: "tiny",
        messages: [{ role: "user", content: "Hi" }],
        max_tokens: 2,
      }),
    ).rejects.toBeInstanceOf(OpenAI.RateLimitError);
    const patient = client(busy, 60).chat.completions.create({
      model: "tiny",
      messages: [{ role: "user", content: "Hi" }],
      max_tokens: 2,
    });
    expect((await patient).choices).toHaveLength(1);
    for (const response of await Promise.all(first)) expect(response.status).toBe(200);
  });

  test("is bounded in tokens of prompts, too", async () => {
    const busy = await start({
      bounds: { parallel: 1, maxWaiting: 100, maxWaitingTokens: 60, maxTokens: 400 },
    });
    const running = post(busy, path, long());
    await expect.poll(() => metric(busy, "num_requests_running")).toBe(1);
    const waiting = post(busy, path, long());
    await expect.poll(() => metric(busy, "num_requests_waiting")).toBe(1);
    expect(
      (await post(busy, path, chatBody({ messages: [{ role: "user", content: "word ".repeat(60) }] })))
        .status,
    ).toBe(429);
    for (const response of await Promise.all([running, waiting])) expect(response.status).toBe(200);
    expect((await post(busy, path, chatBody())).status).toBe(200);
  });

  test("forgets who goes away while waiting", async () => {
    const busy = await start({ bounds: { parallel: 1, maxWaiting: 4, maxTokens: 400 } });
    const running = post(busy, path, long());
    await expect.poll(() => metric(busy, "num_requests_running")).toBe(1);
    const controller = new AbortController();
    const impatient = Array.from({ length: 4 }, () =>
      fetch(`${busy.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(chatBody()),
        signal: controller.signal,
      }),
    );
    const gone = Promise.allSettled(impatient);
    await expect.poll(() => metric(busy, "num_requests_waiting")).toBe(4);
    controller.abort();
    await gone;
    await expect.poll(() => metric(busy, "num_requests_waiting")).toBe(0);
    expect((await running).status).toBe(200);
  });
});

describe("pipelined requests", () => {
  const request = (body: Record<string, unknown>): string => {
    const text = JSON.stringify(body);
    return `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
  };

  test("end with their connection, those too whose turn has not come", async () => {
    const piped = await start({ bounds: { parallel: 4, maxTokens: 4096, maxRequestTokens: 100_000 } });
    const socket = connect({ port: Number(new URL(piped.url).port), host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.write(request(long({ n: 4 })).repeat(4));
    await expect.poll(() => metric(piped, "num_requests_waiting")).toBeGreaterThan(0);
    socket.destroy();
    await expect.poll(() => metric(piped, "num_requests_running")).toBe(0);
    expect(await metric(piped, "num_requests_waiting")).toBe(0);
    const text = await (await fetch(`${piped.url}/metrics`)).text();
    expect(text).not.toContain('status="503"');
  });

  test("are answered in order; a stream that waits for its turn is not taken for one that nobody reads", async () => {
    const piped = await start({ bounds: { stalledAfter: 0.2, maxTokens: 400 } });
    const last = request(chatBody()).replace("Host:", "Connection: close\r\nHost:");
    const answer = await raw(
      piped,
      request(long({ n: 16 })) + request(chatBody({ stream: true })) + last,
      600_000,
    );
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
    expect(answer).toContain("data: [DONE]");
  });
});

describe("many clients", () => {
  test("that join and leave lose nothing, and each gets what it gets alone", async () => {
    const many = await start({ bounds: { parallel: 8, maxWaiting: 64, maxTokens: 64 } });
    const ask = async (index: number): Promise<string> => {
      const weight = index / 23;
      const body = chatBody({
        max_tokens: 8 + (index % 5) * 11,
        temperature: 1,
        seed: index,
        objective_weights: { accuracy: weight, engagement: 1 - weight },
      });
      if (index % 2 === 0)
        return JSON.stringify(
          ((await (await post(many, path, body)).json()) as { choices: unknown }).choices,
        );
      const events = eventsOf(await (await post(many, path, { ...body, stream: true })).text());
      expect(events.at(-1)).toBe("[DONE]");
      return events
        .slice(0, -1)
        .map(
          (event) =>
            (JSON.parse(event) as { choices: { delta: { content?: string } }[] }).choices[0]?.delta.content ??
            "",
        )
        .join("");
    };
    // Some leave in the middle of theirs.
    const leaving = Array.from({ length: 8 }, async () => {
      const controller = new AbortController();
      const response = await fetch(`${many.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(chatBody({ stream: true, max_tokens: 64 })),
        signal: controller.signal,
      });
      await response.body?.getReader().read();
      controller.abort();
    });
    const together = await Promise.all(Array.from({ length: 24 }, (_, index) => ask(index)));
    await Promise.all(leaving);
    for (const [index, answer] of together.entries()) expect(answer).toBe(await ask(index));
    await expect.poll(() => metric(many, "num_requests_running")).toBe(0);
  });

  test("a client that does not read is cut, and its row is free", async () => {
    const slow = await start({ bounds: { stalledAfter: 0.3, maxTokens: 4096, maxRequestTokens: 1_000_000 } });
    const body = JSON.stringify(
      long({ stream: true, n: 16, logprobs: true, top_logprobs: 20, max_tokens: 200 }),
    );
    const socket = connect({ port: Number(new URL(slow.url).port), host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await expect.poll(() => metric(slow, "num_requests_running")).toBe(16);
    await expect.poll(() => metric(slow, "num_requests_running")).toBe(0);
    expect((await post(slow, path, chatBody())).status).toBe(200);
    socket.destroy();
  });
});

describe("the end", () => {
  test("waits for what runs, takes nothing new, and is over", async () => {
    const closing = await start({ bounds: { maxTokens: 400 } });
    const running = post(closing, path, long({ stream: true }));
    await expect.poll(() => metric(closing, "num_requests_running")).toBe(1);
    const response = await running;
    const closed = closing.close();
    const late = await post(closing, path, chatBody());
    expect(late.status).toBe(503);
    expect(await late.json()).toMatchObject({ error: { code: "not_ready" } });
    expect((await fetch(`${closing.url}/ready`)).status).toBe(503);
    expect((await fetch(`${closing.url}/health`)).status).toBe(200);
    expect(eventsOf(await response.text()).at(-1)).toBe("[DONE]");
    await closed;
    await closing.stopped;
  });

  test("tells those who are not done within its limit, in a stream and as a status", async () => {
    const closing = await start({ bounds: { maxTokens: 4096, maxRequestTokens: 100_000, drainFor: 0.2 } });
    const body = long({ max_tokens: 400, n: 16 });
    const stream = await post(closing, path, { ...body, stream: true });
    const whole = post(closing, path, body);
    await expect.poll(() => metric(closing, "num_requests_running")).toBe(16);
    const closed = closing.close();
    const events = eventsOf(await stream.text());
    expect(JSON.parse(events.at(-1) ?? "null")).toMatchObject({
      error: { type: "service_unavailable_error", code: "not_ready" },
    });
    expect((await whole).status).toBe(503);
    await closed;
  });
});
