/** Hostile requests to a real server: each gets its exact status and body, and a normal request is answered after it. */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  chatBody,
  post,
  raw,
  startServer,
  type TestServer,
} from "../../packages/mahalo/src/serve/testing/server.ts";

let server: TestServer;
const key = "a-key-of-the-test";
const auth = { authorization: `Bearer ${key}` };
beforeAll(async () => {
  server = await startServer({ keys: [key], bounds: { maxBody: 64 * 1024, maxTokens: 32, stalledAfter: 1 } });
});
afterAll(() => server.stop());

const normal = async (): Promise<void> => {
  const response = await post(server, "/v1/chat/completions", chatBody(), auth);
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ choices: [{ message: { role: "assistant" } }] });
};

/** An error's shape and its exact fields. */
const expectError = async (
  response: Response,
  status: number,
  code: string,
  param: string | null,
): Promise<void> => {
  const body: unknown = await response.json();
  expect({ status: response.status, body }).toEqual({
    status,
    body: { error: { message: expect.any(String), type: expect.any(String), param, code } },
  });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
};

/** Numbers that no numeric field takes; as JSON text, since some have no other form. */
const badNumbers = ["NaN", "Infinity", "1e308", "-1", "9007199254740992", '"1"', "[]", "{}", "true"];
const invalidJson = new Set(["NaN", "Infinity"]);
const numericFields = [
  "n",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "top_logprobs",
];

describe("numbers", () => {
  const rows = numericFields.flatMap((field) => badNumbers.map((value) => [field, value] as const));
  test.each(rows)("%s: %s", async (field, value) => {
    const text = JSON.stringify(chatBody({ [field]: "VALUE", logprobs: true })).replace('"VALUE"', value);
    const response = await post(server, "/v1/chat/completions", text, auth);
    if (invalidJson.has(value)) await expectError(response, 400, "invalid_json", null);
    else {
      const number = /^[-\d]/.test(value);
      await expectError(
        response,
        400,
        number && !/^(n|m|s|top_[kl]).*/.test(field)
          ? "invalid_value"
          : expect.stringMatching(/^invalid_(value|type)$/),
        field,
      );
    }
    await normal();
  });

  test.each(numericFields)("%s: null means that it is not given", async (field) => {
    expect((await post(server, "/v1/chat/completions", chatBody({ [field]: null }), auth)).status).toBe(200);
  });
});

describe("bodies", () => {
  const message = (content: unknown): Record<string, unknown> =>
    chatBody({ messages: [{ role: "user", content }] });
  const rows: [name: string, body: unknown, status: number, code: string, param: string | null][] = [
    ["empty", "", 400, "invalid_json", null],
    ["no JSON", "{", 400, "invalid_json", null],
    ["a list", "[]", 400, "invalid_type", null],
    ["null", "null", 400, "invalid_type", null],
    ["not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), 400, "invalid_json", null],
    ["deep JSON", `{"model":${"[".repeat(20_000)}${"]".repeat(20_000)}}`, 400, "invalid_json", null],
    ["too large", message("x".repeat(70_000)), 413, "body_too_large", null],
    ["an unknown field", chatBody({ temprature: 1 }), 400, "unknown_parameter", "temprature"],
    [
      "a template",
      chatBody({ chat_template: "{% for x in range(10**9) %}{% endfor %}" }),
      400,
      "unknown_parameter",
      "chat_template",
    ],
    [
      "template arguments",
      chatBody({ chat_template_kwargs: { a: 1 } }),
      400,
      "unknown_parameter",
      "chat_template_kwargs",
    ],
    ["a path to an adapter", chatBody({ lora_path: "/etc/passwd" }), 400, "unknown_parameter", "lora_path"],
    [
      "__proto__",
      '{"model":"tiny","__proto__":{"n":1},"messages":[]}',
      400,
      "unknown_parameter",
      "__proto__",
    ],
    ["no messages", chatBody({ messages: [] }), 400, "invalid_value", "messages"],
    ["messages missing", { model: "tiny" }, 400, "missing_required_parameter", "messages"],
    ["no model", chatBody({ model: undefined }), 400, "missing_required_parameter", "model"],
    ["an unknown model", chatBody({ model: "../../etc/passwd" }), 404, "model_not_found", "model"],
    ["a model as a list", chatBody({ model: ["tiny"] }), 400, "invalid_type", "model"],
    [
      "an unknown role",
      chatBody({ messages: [{ role: "root", content: "Hi" }] }),
      400,
      "invalid_value",
      "messages[0].role",
    ],
    ["content null", message(null), 400, "missing_required_parameter", "messages[0].content"],
    ["content a number", message(7), 400, expect.any(String) as unknown as string, "messages[0].content"],
    [
      "an image",
      message([{ type: "image_url", image_url: { url: "file:///etc/passwd" } }]),
      400,
      expect.any(String) as unknown as string,
      expect.stringContaining("messages[0].content") as unknown as string,
    ],
    ["half a character", message("\ud800"), 400, "invalid_value", "messages[0].content"],
    [
      "a penalty that is next to nothing",
      chatBody({ repetition_penalty: 1e-300 }),
      400,
      "invalid_value",
      "repetition_penalty",
    ],
    [
      "a temperature that is next to nothing",
      chatBody({ temperature: 1e-300 }),
      400,
      "invalid_value",
      "temperature",
    ],
    [
      "phases by step",
      chatBody({
        objective_weights: [{ mix: { accuracy: 1 } }, { from: { step: 1 }, mix: { engagement: 1 } }],
      }),
      400,
      "invalid_value",
      "objective_weights",
    ],
    ["huge n", chatBody({ n: 1_000_000 }), 400, "invalid_value", "n"],
    ["huge max_tokens", chatBody({ max_tokens: 1_000_000 }), 400, "invalid_value", "max_tokens"],
    ["two lengths", chatBody({ max_completion_tokens: 5 }), 400, "invalid_value", "max_tokens"],
    ["best_of", chatBody({ best_of: 1_000_000 }), 400, "unknown_parameter", "best_of"],
    ["five stops", chatBody({ stop: ["a", "b", "c", "d", "e"] }), 400, "invalid_value", "stop"],
    ["a long stop", chatBody({ stop: "x".repeat(300) }), 400, "invalid_value", "stop"],
    ["an empty stop", chatBody({ stop: "" }), 400, "invalid_value", "stop"],
    ["a bias of a word", chatBody({ logit_bias: { hello: 1 } }), 400, "invalid_value", "logit_bias.hello"],
    [
      "a bias of no token",
      chatBody({ logit_bias: { 99999999: 1 } }),
      400,
      "invalid_value",
      "logit_bias.99999999",
    ],
    ["a bias too large", chatBody({ logit_bias: { 5: 101 } }), 400, "invalid_value", "logit_bias.5"],
    ["top_logprobs alone", chatBody({ top_logprobs: 2 }), 400, "invalid_value", "top_logprobs"],
    [
      "stream_options alone",
      chatBody({ stream_options: { include_usage: true } }),
      400,
      "invalid_value",
      "stream_options",
    ],
    [
      "a JSON format",
      chatBody({ response_format: { type: "json_object" } }),
      400,
      "invalid_value",
      "response_format.type",
    ],
    ["kept answers", chatBody({ store: true }), 400, "invalid_value", "store"],
    ["audio", chatBody({ modalities: ["audio"] }), 400, "unknown_parameter", "modalities"],
    ["a forced call", chatBody({ tool_choice: "required" }), 400, "invalid_value", "tool_choice"],
    [
      "an unknown objective",
      chatBody({ objective_weights: { accurcy: 1 } }),
      400,
      "invalid_value",
      "objective_weights",
    ],
    [
      "a negative weight",
      chatBody({ objective_weights: { accuracy: -1 } }),
      400,
      "invalid_value",
      "objective_weights.accuracy",
    ],
    [
      "weights of zero",
      chatBody({ objective_weights: { accuracy: 0 } }),
      400,
      "invalid_value",
      "objective_weights",
    ],
    [
      "weights of a word",
      chatBody({ objective_weights: "accuracy" }),
      400,
      expect.any(String) as unknown as string,
      "objective_weights",
    ],
    [
      "weights in a name that are none",
      chatBody({ model: "tiny@accuracy=x" }),
      400,
      "invalid_value",
      "model",
    ],
    [
      "two mixes",
      chatBody({ model: "tiny@accuracy=1", objective_weights: { engagement: 1 } }),
      400,
      "conflicting_weights",
      "model",
    ],
    [
      "metadata of objects",
      chatBody({ metadata: { mix: { accuracy: 1 } } }),
      400,
      "invalid_type",
      "metadata.mix",
    ],
    ["a target without a sweep", chatBody({ target: { accuracy: ">=0.5" } }), 400, "invalid_value", "target"],
    ["a position without a sweep", chatBody({ at: 0.5 }), 400, "invalid_value", "at"],
    [
      "maximize without a target",
      chatBody({ maximize: "accuracy" }),
      400,
      "missing_required_parameter",
      "maximize",
    ],
    [
      "a prompt longer than the context",
      message("word ".repeat(12_000)),
      400,
      "context_length_exceeded",
      null,
    ],
  ];
  test.each(rows)("%s", async (_, body, status, code, param) => {
    await expectError(await post(server, "/v1/chat/completions", body, auth), status, code, param);
    await normal();
  });
});

test("what the template refuses is told without folders of the server", async () => {
  const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object" } } }];
  const response = await post(server, "/v1/chat/completions", chatBody({ tools }), auth);
  const told = await response.text();
  expect(response.status).toBe(400);
  expect(told).toContain("the chat template");
  expect(told).not.toContain(server.folder);
  expect(told).not.toMatch(/\/(tmp|home|usr|var)\//);
});

describe("the wire", () => {
  const line = (path: string, headers: readonly string[] = []): string =>
    [`GET ${path} HTTP/1.1`, "Host: 127.0.0.1", "Connection: close", ...headers, "", ""].join("\r\n");
  const withKey = `Authorization: Bearer ${key}`;
  const statusOf = (answer: string): number => Number(answer.split(" ", 2)[1]);

  const rows: [name: string, request: () => string, status: number, code: string][] = [
    ["no key", () => line("/v1/models"), 401, "missing_api_key"],
    ["a path that ends in health", () => line("/v1/models/../../health"), 401, "missing_api_key"],
    ["an encoded path", () => line("/v1/models/..%2f..%2fhealth", [withKey]), 404, "model_not_found"],
    [
      "a Host that smuggles a path",
      () => line("/v1/models").replace("127.0.0.1", "127.0.0.1/health?"),
      403,
      "host_not_allowed",
    ],
    [
      "another Host",
      () => line("/v1/models", [withKey]).replace("127.0.0.1", "evil.example"),
      403,
      "host_not_allowed",
    ],
    [
      "a foreign Origin",
      () => line("/v1/models", [withKey, "Origin: http://evil.example"]),
      403,
      "origin_not_allowed",
    ],
    [
      "headers of 1 MB",
      () => line("/v1/models", [withKey, `X-Long: ${"x".repeat(2 ** 20)}`]),
      431,
      "bad_request",
    ],
    ["no HTTP", () => "GARBAGE\r\n\r\n", 400, "bad_request"],
    ["no such route", () => line("/v1/nowhere", [withKey]), 404, "route_not_found"],
    [
      "a form",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`,
      415,
      "unsupported_media_type",
    ],
    [
      "a length that is declared too large",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{`,
      413,
      "body_too_large",
    ],
    [
      "two lengths",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      400,
      "bad_request",
    ],
    [
      "a length and chunks",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      "bad_request",
    ],
    [
      "10 MB in chunks without a length",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${"x".repeat(0x10000)}\r\n`.repeat(160)}0\r\n\r\n`,
      413,
      "body_too_large",
    ],
    [
      "a body that is longer than its length",
      () =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n${withKey}\r\nContent-Type: application/json\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{"model":"tiny"}`,
      400,
      "bad_request",
    ],
  ];
  test.each(rows)("%s", async (_, request, status, code) => {
    const answer = await raw(server, request());
    expect(answer.slice(0, 400)).toContain(`HTTP/1.1 ${status} `);
    expect(answer).toContain(`"code":"${code}"`);
    expect(answer.toLowerCase()).toContain("x-request-id: ");
    await normal();
  });

  test("health needs no key and tells nothing else", async () => {
    expect(await raw(server, line("/health"))).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\n\{"status":"ok"\}$/);
  });

  test("every other route needs a key", async () => {
    for (const path of [
      "/ready",
      "/metrics",
      "/v1/models",
      "/v1/models/tiny",
      "/v1/chat/completions",
      "/tokenize",
      "/detokenize",
      "/studio",
    ])
      for (const method of ["GET", "POST", "OPTIONS", "PUT", "DELETE", "HEAD"])
        expect(statusOf(await raw(server, line(path).replace("GET", method)))).toBe(401);
  });

  test("slow headers and a connection without a word keep nobody waiting", async () => {
    const sockets = Array.from({ length: 32 }, () => connect(Number(new URL(server.url).port), "127.0.0.1"));
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.write("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0");
    }
    await normal();
    for (const socket of sockets) socket.destroy();
  });
});
