/** Requests that POST /v1/responses refuses: each gets its exact status and body, and a normal request is answered after it. */
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { post, startServer, type TestServer } from "../../packages/mahalo/src/serve/testing/server.ts";

let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  server = await startServer({ bounds: { maxTokens: 256 } });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(() => server.stop());

const ask = { model: "tiny", input: "Hi there", max_output_tokens: 12 };

const item = (more: object): object => ({ input: [more] });
const part = (more: object): object => item({ role: "user", content: [more] });
const tool = (more: object): object => ({ tools: [{ type: "function", name: "f", ...more }] });
const rows: [name: string, more: object, code: string, param: string | null][] = [
  ["no model", { model: undefined }, "missing_required_parameter", "model"],
  ["no input", { input: undefined }, "missing_required_parameter", "input"],
  ["no items", { input: [] }, "invalid_value", "input"],
  ["input of a number", { input: 7 }, "invalid_type", "input"],
  ["a word for an item", { input: ["Hi"] }, "invalid_type", "input[0]"],
  ["an unknown role", item({ role: "root", content: "Hi" }), "invalid_value", "input[0].role"],
  ["no content", item({ role: "user" }), "missing_required_parameter", "input[0].content"],
  ["no parts", item({ role: "user", content: [] }), "invalid_value", "input[0].content"],
  [
    "an unknown field of an item",
    item({ role: "user", content: "Hi", n: 1 }),
    "unknown_parameter",
    "input[0].n",
  ],
  [
    "an image",
    part({ type: "input_image", image_url: "file:///etc/passwd" }),
    "invalid_value",
    "input[0].content[0].type",
  ],
  [
    "half a character",
    part({ type: "input_text", text: "\ud800" }),
    "invalid_value",
    "input[0].content[0].text",
  ],
  ["a reasoning item", item({ type: "reasoning", summary: [] }), "invalid_value", "input[0].type"],
  ["a reference to an item", item({ type: "item_reference", id: "msg_1" }), "invalid_value", "input[0].type"],
  [
    "a result of no call",
    item({ type: "function_call_output", call_id: "a", output: "" }),
    "invalid_value",
    "input[0].call_id",
  ],
  ["an answer that is to be kept", { store: true }, "invalid_value", "store"],
  ["an answer before", { previous_response_id: "resp_1" }, "invalid_value", "previous_response_id"],
  ["a kept conversation", { conversation: "conv_1" }, "invalid_value", "conversation"],
  ["a kept prompt", { prompt: { id: "pmpt_1" } }, "invalid_value", "prompt"],
  ["work in the background", { background: true }, "invalid_value", "background"],
  ["a prompt that is to be cut", { truncation: "auto" }, "invalid_value", "truncation"],
  ["a JSON format", { text: { format: { type: "json_object" } } }, "invalid_value", "text.format.type"],
  ["a verbosity", { text: { verbosity: "low" } }, "invalid_value", "text.verbosity"],
  ["thought", { reasoning: { effort: "high" } }, "invalid_value", "reasoning.effort"],
  ["a summary of thought", { reasoning: { summary: "auto" } }, "invalid_value", "reasoning.summary"],
  ["more than we have", { include: ["file_search_call.results"] }, "invalid_value", "include[0]"],
  ["the likeliest tokens alone", { top_logprobs: 2 }, "invalid_value", "top_logprobs"],
  ["stream_options alone", { stream_options: {} }, "invalid_value", "stream_options"],
  ["a tool of theirs", { tools: [{ type: "web_search" }] }, "invalid_value", "tools[0].type"],
  ["a function of no name", tool({ name: "a b" }), "invalid_value", "tools[0].name"],
  ["a strict function", tool({ strict: true }), "invalid_value", "tools[0].strict"],
  [
    "a function in the chat's form",
    tool({ function: { name: "f" } }),
    "unknown_parameter",
    "tools[0].function",
  ],
  ["a forced call", { tool_choice: "required" }, "invalid_value", "tool_choice"],
  ["a chosen call", { tool_choice: { type: "function", name: "f" } }, "invalid_value", "tool_choice"],
  ["a faster tier", { service_tier: "flex" }, "invalid_value", "service_tier"],
  ["a count of built-in tools", { max_tool_calls: 3 }, "invalid_value", "max_tool_calls"],
  ["a function that the template leaves out", tool({}), "data_row", "input"],
  ["a bias of no token", { logit_bias: { 99999999: 1 } }, "invalid_value", "logit_bias.99999999"],
  ["no tokens", { max_output_tokens: 0 }, "invalid_value", "max_output_tokens"],
  ["huge max_output_tokens", { max_output_tokens: 1_000_000 }, "invalid_value", "max_output_tokens"],
  ["the chat's messages", { messages: [] }, "unknown_parameter", "messages"],
  ["the chat's length", { max_tokens: 4 }, "unknown_parameter", "max_tokens"],
  ["several choices", { n: 2 }, "unknown_parameter", "n"],
  ["a template", { chat_template: "{{ 1 }}" }, "unknown_parameter", "chat_template"],
  ["a negative temperature", { temperature: -1 }, "invalid_value", "temperature"],
  ["a seed of a word", { seed: "1" }, "invalid_type", "seed"],
  ["an unknown objective", { objective_weights: { accurcy: 1 } }, "invalid_value", "objective_weights"],
  [
    "two mixes",
    { model: "tiny@accuracy=1", objective_weights: { engagement: 1 } },
    "conflicting_weights",
    "model",
  ],
  ["a position without a sweep", { at: 0.5 }, "invalid_value", "at"],
  ["a target without a sweep", { target: { accuracy: ">=0.5" } }, "invalid_value", "target"],
  ["maximize without a target", { maximize: "accuracy" }, "missing_required_parameter", "maximize"],
  ["a prompt longer than the context", { input: "word ".repeat(12_000) }, "context_length_exceeded", null],
];
test.each(rows)("%s", async (_, more, code, param) => {
  const response = await post(server, "/v1/responses", { ...ask, ...more });
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 400,
    body: { error: { message: expect.any(String), type: "invalid_request_error", param, code } },
  });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  expect((await post(server, "/v1/responses", { ...ask, max_output_tokens: 2 })).status).toBe(200);
});

test.each<[string, object, new (...args: never[]) => Error]>([
  ["a wrong field", { temperature: -1 }, OpenAI.BadRequestError],
  ["no such model", { model: "other" }, OpenAI.NotFoundError],
])("reach the client as errors of its own: %s", async (_, more, kind) => {
  await expect(client.responses.create({ ...ask, ...more })).rejects.toBeInstanceOf(kind);
});

test("nothing is kept that could be asked for or taken away", async () => {
  await expect(client.responses.retrieve("resp_1")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  await expect(client.responses.delete("resp_1")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});
