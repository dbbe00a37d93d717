/** Other people's clients against a real server: OpenAI's for Python, the AI SDK's, and a command line's. */
import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import {
  encodePrompt,
  generateAll,
  type LanguageModel,
  loadModel,
  type Mix,
} from "../../packages/mahalo/src/index.ts";
import { startServer, type TestServer } from "../../packages/mahalo/src/serve/testing/server.ts";

const python = process.env.MAHALO_PYTHON ?? "python3";
const wanted = spawnSync(python, ["-c", "import openai"]).status === 0 || process.env.CI === "true";
if (!wanted) console.warn("openai for Python is not there (set MAHALO_PYTHON): its client is not tried");

let server: TestServer;
let model: LanguageModel;
beforeAll(async () => {
  server = await startServer();
  model = await loadModel(server.model);
});
afterAll(async () => {
  model.dispose();
  await server.stop();
});

/** The library's answer to the clients' question. */
const answered = async (mix?: Mix) => {
  const messages = [{ role: "user" as const, content: "Hi there" }];
  const request = {
    ids: encodePrompt(messages, model),
    mix,
    seed: 7,
    maxNewTokens: 12,
    logprobs: true,
    topLogprobs: 2,
  };
  const [completion] = await generateAll(model, [request]);
  if (completion === undefined) throw new Error("no answer");
  return completion;
};

const error = (kind: string, status: number, code: string, param: string) => ({ kind, status, code, param });
const pythonSchema = z.looseObject({
  text: z.string(),
  logprobs: z.array(z.number()),
  top: z.array(z.array(z.string())),
  together: z.array(z.string()),
});

describe.runIf(wanted)("OpenAI's client for Python", () => {
  test("gets answers, streams, weights, log-probabilities and errors", async () => {
    const script = fileURLToPath(new URL("../golden/check_serve.py", import.meta.url));
    const { stdout } = await promisify(execFile)(python, [script, "--url", server.url, "--model", "tiny"]);
    const said = parseJson(stdout, pythonSchema, "check_serve.py");
    const { text, ids, logprobs = [], topLogprobs = [] } = await answered();
    const tilted = (await answered({ accuracy: 1 })).text;
    expect(said).toMatchObject({
      models: ["tiny"],
      choices: 2,
      text,
      streamed: text,
      usage: ids.length,
      named: tilted,
      metadata: tilted,
      field: tilted,
      completion: expect.any(String),
      errors: {
        model: error("NotFoundError", 404, "model_not_found", "model"),
        field: error("BadRequestError", 400, "invalid_value", "temperature"),
        unknown: error("BadRequestError", 400, "unknown_parameter", "temprature"),
      },
    });
    expect(said.logprobs).toEqual(logprobs);
    expect(said.top).toEqual(topLogprobs.map((top) => top.map(({ id }) => model.tokenizer.decode([id]))));
    expect(said.together).toHaveLength(16);
    for (const [index, text] of said.together.entries())
      expect(text).toBe((await answered({ accuracy: index / 15, engagement: 1 - index / 15 })).text);
  });
});

describe("the AI SDK", () => {
  const provider = () =>
    createOpenAICompatible({ name: "mahalo", baseURL: `${server.url}/v1`, includeUsage: true });
  const ask = { prompt: "Hi there", maxOutputTokens: 12, temperature: 0, seed: 7, maxRetries: 0 };

  test("gets answers, with weights in the model's name or in its own options", async () => {
    const plain = await generateText({ ...ask, model: provider()("tiny") });
    expect(plain.text).toBe((await answered()).text);
    expect(plain.usage.outputTokens).toBe((await answered()).ids.length);
    const tilted = (await answered({ accuracy: 1 })).text;
    expect((await generateText({ ...ask, model: provider()("tiny@accuracy=1") })).text).toBe(tilted);
    const options = { mahalo: { objective_weights: { accuracy: 1 } } };
    expect((await generateText({ ...ask, model: provider()("tiny"), providerOptions: options })).text).toBe(
      tilted,
    );
  });

  test("streams, and aborts", async () => {
    const stream = streamText({ ...ask, model: provider()("tiny") });
    let text = "";
    for await (const piece of stream.textStream) text += piece;
    expect(text).toBe((await answered()).text);
    expect((await stream.usage).outputTokens).toBe((await answered()).ids.length);
    const controller = new AbortController();
    controller.abort();
    await expect(
      generateText({ ...ask, model: provider()("tiny"), abortSignal: controller.signal }),
    ).rejects.toThrow();
  });

  test("knows errors by their status", async () => {
    const failing = generateText({ ...ask, model: provider()("other") });
    await expect(failing).rejects.toSatisfy(
      (error) => APICallError.isInstance(error) && error.statusCode === 404,
    );
  });
});

test("curl", async () => {
  const body = JSON.stringify({
    model: "tiny",
    messages: [{ role: "user", content: "Hi there" }],
    max_tokens: 12,
    temperature: 0,
  });
  const args = [
    "-sS",
    `${server.url}/v1/chat/completions`,
    "-H",
    "Content-Type: application/json",
    "-d",
    body,
  ];
  const { stdout } = await promisify(execFile)("curl", args);
  expect(parseJson(stdout, z.looseObject({ choices: z.array(z.unknown()) }), "curl").choices).toMatchObject([
    { message: { content: (await answered()).text } },
  ]);
});
