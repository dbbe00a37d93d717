/** Targets and positions over HTTP, as the run measured them; shared prefixes that requests are told of; tokens. */
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeControl } from "../../packages/mahalo/src/evaluate/control-file.ts";
import { inventedResults } from "../../packages/mahalo/src/evaluate/report/testing/fixture.ts";
import {
  encodePrompt,
  loadModel,
  mixOf,
  parseTarget,
  readControl,
  tune,
} from "../../packages/mahalo/src/index.ts";
import { type ServerHandle, serve } from "../../packages/mahalo/src/serve/serve.ts";
import {
  chatBody,
  post,
  startServer,
  type TestServer,
} from "../../packages/mahalo/src/serve/testing/server.ts";

let plain: TestServer;
let server: ServerHandle;
beforeAll(async () => {
  plain = await startServer();
  await writeControl(plain.model, inventedResults());
  server = await serve([{ id: "tiny", source: plain.model }], { port: 0, log: "silent", compute: "float32" });
});
afterAll(async () => {
  await server.close();
  await plain.stop();
});

const answer = async (more: Record<string, unknown>): Promise<{ status: number; body: unknown }> => {
  const response = await post(server, "/v1/chat/completions", chatBody(more));
  return { status: response.status, body: await response.json() };
};
const closeTo = (mix: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(mix).map(([name, weight]) => [name, expect.closeTo(weight, 9)]));

describe("what was measured", () => {
  test("gives the mix of a target, as tune does", async () => {
    const control = await readControl(plain.model);
    const { best } = tune(control.points, [parseTarget("accuracy>=0.4")], "engagement");
    const asked = { target: { accuracy: ">=0.4" }, maximize: "engagement" };
    expect((await answer(asked)).body).toMatchObject({ mahalo: { mix: closeTo(best.mix) } });
    const number = { target: { accuracy: 0.4 }, maximize: "engagement" };
    expect((await answer(number)).body).toMatchObject({ mahalo: { mix: closeTo(best.mix) } });
    const single = mixOf(control, { targets: [parseTarget("accuracy>=0.4")] });
    expect((await answer({ target: { accuracy: ">=0.4" } })).body).toMatchObject({
      mahalo: { mix: closeTo(single) },
    });
  });

  test("gives the mix of a position", async () => {
    const mix = mixOf(await readControl(plain.model), { at: 0.5 });
    expect((await answer({ at: 0.5 })).body).toMatchObject({ mahalo: { mix: closeTo(mix) } });
  });

  test.each<[string, Record<string, unknown>, string, string]>([
    ["out of reach", { target: { accuracy: ">=5" } }, "target", "invalid_value"],
    [
      "out of reach with another objective to maximize",
      { target: { accuracy: ">=5" }, maximize: "engagement" },
      "target",
      "target_not_reached",
    ],
    ["of no objective", { target: { accurcy: ">=0.5" } }, "target", "invalid_value"],
    ["of none at all", { target: {} }, "target", "invalid_value"],
    ["that is no bound", { target: { accuracy: "high" } }, "target.accuracy", "invalid_value"],
    [
      "beside other weights",
      { target: { accuracy: ">=0.4" }, objective_weights: { engagement: 1 } },
      "target",
      "conflicting_weights",
    ],
  ])("a target %s is refused", async (_, more, param, code) => {
    expect(await answer(more)).toMatchObject({ status: 400, body: { error: { param, code } } });
  });

  test("is told with the model", async () => {
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none" });
    expect(await client.models.retrieve("tiny")).toMatchObject({
      mahalo: { measured: { points: expect.any(Array) } },
    });
  });
});

test("a prompt that was read before is told as cached", async () => {
  const messages = [{ role: "user", content: `${"word ".repeat(40)}?` }];
  const cached = expect.objectContaining({ prompt_tokens_details: { cached_tokens: 0 } });
  expect((await answer({ messages, max_tokens: 1 })).body).toMatchObject({ usage: cached });
  const { body } = await answer({ messages, max_tokens: 1 });
  const { usage } = body as {
    usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } };
  };
  expect(usage.prompt_tokens_details.cached_tokens).toBe(usage.prompt_tokens - 1);
});

test("text and messages become the tokens that the model reads, and tokens text", async () => {
  const model = await loadModel(plain.model);
  const messages = [{ role: "user" as const, content: "Hi there" }];
  const ids = encodePrompt(messages, model);
  const read = async (path: string, body: object): Promise<unknown> =>
    (await post(server, path, body)).json();
  expect(await read("/tokenize", { model: "tiny", messages })).toMatchObject({
    tokens: ids,
    count: ids.length,
    max_model_len: model.config.maxPositions,
  });
  const text = model.tokenizer.encode("Hi there");
  expect(await read("/tokenize", { model: "tiny", prompt: "Hi there" })).toMatchObject({ tokens: text });
  expect(await read("/detokenize", { model: "tiny", tokens: text })).toEqual({ prompt: "Hi there" });
  expect(await read("/detokenize", { model: "tiny", tokens: [5, 100_000] })).toMatchObject({
    error: { param: "tokens[1]" },
  });
  expect(await read("/tokenize", { model: "tiny" })).toMatchObject({ error: { param: "prompt" } });
  model.dispose();
});
