/** An endpoint's rows: what cannot be is said before anything is asked, and all else is rolled out whole. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { answers, startEndpoint } from "../endpoint/testing/server.ts";
import { withFolder } from "../model/testing/tiny.ts";
import {
  type EndpointRolloutOptions,
  endpointGenerator,
  endpointGeneratorSchema,
} from "./endpoint-generator.ts";
import { rollOutRows } from "./rollout.ts";
import { asModel } from "./testing/endpoint-rows.ts";

const open = (options: object = {}, more: Partial<EndpointRolloutOptions> = {}) =>
  endpointGenerator(
    endpointGeneratorSchema.parse({ baseUrl: "http://127.0.0.1:9/v1", model: "big", ...options }),
    {
      step: { by: "line" },
      sampling: { temperature: 0.7, topP: 0.9 },
      maxNewTokens: 20,
      ...more,
    },
  );

describe("what cannot be is said before anything is asked", () => {
  test("completions without a tokenizer", () => {
    expect(() => open({ api: "completions" })).toThrow(/api: completions needs a tokenizer/);
  });
  test("a plain prompt without a chat template by way of chat", () => {
    const generator = open({}, { chat: false });
    expect(() => generator.prepare("Once upon a time", undefined)).toThrow(
      /api: chat cannot send a plain prompt/,
    );
    expect(generator.prepare([{ role: "user", content: "Hi" }], undefined).steps).toEqual([]);
  });
  test("a key that is not there", () => {
    expect(() => open({ apiKeyEnv: "MAHALO_NO_SUCH_KEY" })).toThrow(/MAHALO_NO_SUCH_KEY holds no API key/);
    expect(existsSync("never-written.jsonl")).toBe(false);
  });
});

test("rows are rolled out from both prompt and steps, judged, into a file", () =>
  withFolder(async (folder) => {
    const server = await startEndpoint(answers(asModel));
    const out = join(folder, "r.jsonl");
    const row = {
      objective: "a",
      prompt: "Well?",
      response: "So.\nThen.\nOh.",
      origin: { file: "r", line: 1 },
    };
    const judge = { kind: "rule", minWords: 1 };
    const generator = open({ baseUrl: server.baseUrl });
    const options = { generator, judge, out, samples: 1, from: "both" } as const;
    const summary = await rollOutRows([row], options);
    expect(summary).toMatchObject({ rows: 1, rollouts: 3, meanScore: 1 });
    expect(server.seen.filter(({ body }) => body.messages.length === 1)).toHaveLength(1);
    await server.close();
  }));
