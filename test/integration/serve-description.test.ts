/** Every kind of answer and every piece of a stream against OpenAI's published description, and without fields that it does not know. */
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  chatBody,
  eventsOf,
  post,
  startServer,
  type TestServer,
} from "../../packages/mahalo/src/serve/testing/server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

type Described = { properties?: { type?: { enum?: readonly string[] } } };
const description = JSON.parse(
  readFileSync(new URL("../golden/data/openai/schemas.json", import.meta.url), "utf8"),
) as { $defs: Readonly<Record<string, Described>> };
const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ ...description, $id: "openai" });

/** Fields that stand in our answers and not in the description. */
const ours: Readonly<Record<string, readonly string[]>> = {
  CreateChatCompletionResponse: ["mahalo"],
  CreateChatCompletionStreamResponse: ["mahalo"],
  Model: ["mahalo"],
  // The penalties and store stand in the form that other servers of this route have agreed on.
  Response: ["mahalo", "presence_penalty", "frequency_penalty", "store"],
  // Clients look for the error where it stands in streams of other routes, too.
  ResponseErrorEvent: ["error"],
};

const validators = new Map<string, ValidateFunction>();
const validatorOf = (name: string): ValidateFunction => {
  const known = validators.get(name);
  if (known !== undefined) return known;
  const made = ajv.compile({
    $ref: `openai#/$defs/${name}`,
    properties: Object.fromEntries((ours[name] ?? []).map((field) => [field, true])),
    unevaluatedProperties: false,
  });
  validators.set(name, made);
  return made;
};

/** What keeps a value from being what the description says, by place. */
const wrongWith = (name: string, value: unknown): string[] => {
  const validate = validatorOf(name);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath}: ${message} ${JSON.stringify(params)}`,
  );
};

/** The schema of a typed event. */
const eventSchema = (type: string): string => {
  const [found] = Object.entries(description.$defs).find(([, { properties }]) =>
    properties?.type?.enum?.includes(type),
  ) ?? ["no schema"];
  return found;
};

/**
 * A response without the fields that are null while there is nothing to say: OpenAI's own answers have them so, and the form
 * that other servers of this route have agreed on asks for them, but this version of the description does not know the null.
 */
const withoutNulls = (response: unknown): unknown => {
  const mayBeNull = ["usage", "safety_identifier", "prompt_cache_key"];
  const fields = Object.entries(response as Record<string, unknown>);
  return Object.fromEntries(fields.filter(([name, value]) => value !== null || !mayBeNull.includes(name)));
};

const answerTo = async (path: string, body: object): Promise<unknown> => {
  const response = await post(server, path, body);
  expect(response.status).toBe(200);
  return response.json();
};

describe("chat", () => {
  const rows: [name: string, more: object][] = [
    ["plain", {}],
    ["with several choices", { n: 2, temperature: 1 }],
    ["with the likeliest tokens", { logprobs: true, top_logprobs: 3 }],
    ["under weights, ended by a stop string", { objective_weights: { accuracy: 1 }, stop: ["8"] }],
  ];
  test.each(rows)("%s", async (_, more) => {
    expect(
      wrongWith(
        "CreateChatCompletionResponse",
        await answerTo("/v1/chat/completions", chatBody({ ...more })),
      ),
    ).toEqual([]);
  });

  test.each([...rows, ["with usage", { stream_options: { include_usage: true } }] as const])(
    "as a stream, %s",
    async (_, more) => {
      const response = await post(server, "/v1/chat/completions", chatBody({ ...more, stream: true }));
      const chunks = eventsOf(await response.text());
      expect(chunks.pop()).toBe("[DONE]");
      expect(chunks.length).toBeGreaterThan(2);
      for (const chunk of chunks)
        expect(wrongWith("CreateChatCompletionStreamResponse", JSON.parse(chunk)), chunk).toEqual([]);
    },
  );
});

test("models, in a list and alone", async () => {
  const list = (await (await fetch(`${server.url}/v1/models`)).json()) as { data: unknown[] };
  expect(wrongWith("ListModelsResponse", list)).toEqual([]);
  expect(list.data.flatMap((model) => wrongWith("Model", model))).toEqual([]);
  expect(wrongWith("Model", await (await fetch(`${server.url}/v1/models/tiny`)).json())).toEqual([]);
});

describe("responses", () => {
  const ask = { model: "tiny", input: "Hi there", max_output_tokens: 6, temperature: 0 };
  const rows: [name: string, more: object][] = [
    ["plain", {}],
    [
      "with all that can be echoed",
      {
        instructions: "Be brief.",
        metadata: { purpose: "test" },
        top_p: 0.5,
        tools: [{ type: "function", name: "weather", parameters: { type: "object" } }],
        tool_choice: "none",
        user: "someone",
        safety_identifier: "someone",
        prompt_cache_key: "here",
      },
    ],
    ["with the likeliest tokens", { include: ["message.output_text.logprobs"], top_logprobs: 3 }],
    ["ended by a stop string", { stop: ["8"] }],
    ["under weights", { objective_weights: { accuracy: 1 } }],
  ];
  test.each(rows)("%s", async (_, more) => {
    expect(wrongWith("Response", withoutNulls(await answerTo("/v1/responses", { ...ask, ...more })))).toEqual(
      [],
    );
  });

  /** Data of typed events. */
  const read = (text: string): { type: string; response?: unknown }[] =>
    [...text.matchAll(/^data: (.+)$/gm)].map(
      ([, data = ""]) => JSON.parse(data) as { type: string; response?: unknown },
    );
  const check = (events: readonly { type: string; response?: unknown }[]): void => {
    for (const { response: told, ...event } of events) {
      const response = told === undefined ? undefined : withoutNulls(told);
      const whole = response === undefined ? event : { ...event, response };
      expect(wrongWith(eventSchema(event.type), whole), event.type).toEqual([]);
      if (response !== undefined) expect(wrongWith("Response", response), event.type).toEqual([]);
    }
  };

  test.each(rows)("as a stream, %s", async (_, more) => {
    const response = await post(server, "/v1/responses", { ...ask, ...more, stream: true });
    const events = read(await response.text());
    expect(events.length).toBeGreaterThan(8);
    check(events);
  });

  test("as a stream that the server's end cuts short", async () => {
    const short = await startServer({ bounds: { maxTokens: 4096, drainFor: 0 } });
    const { body } = await post(short, "/v1/responses", { ...ask, max_output_tokens: 4096, stream: true });
    const reader = (body ?? new ReadableStream<Uint8Array>())
      .pipeThrough(new TextDecoderStream())
      .getReader();
    let text = (await reader.read()).value ?? "";
    const stopped = short.stop();
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    await stopped;
    const events = read(text);
    expect(events.slice(-2).map(({ type }) => type)).toEqual(["error", "response.failed"]);
    check(events);
  });
});

test("errors", async () => {
  for (const [path, body] of [
    ["/v1/chat/completions", chatBody({ temperature: -1 })],
    ["/v1/responses", { model: "other", input: "Hi" }],
    ["/v1/nowhere", {}],
  ] as const) {
    const response = await post(server, path, body);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(wrongWith("ErrorResponse", await response.json())).toEqual([]);
  }
});

test("what differs from the description is noticed", async () => {
  const answer = (await answerTo("/v1/chat/completions", chatBody())) as Record<string, unknown>;
  const { choices: _, ...without } = answer;
  for (const wrong of [without, { ...answer, object: "chat" }, { ...answer, finishReason: "stop" }])
    expect(wrongWith("CreateChatCompletionResponse", wrong)).not.toEqual([]);
});
