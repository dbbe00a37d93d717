/** What an endpoint is asked for when it samples: settings under its own names, and only those that say something. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { Endpoint } from "./endpoint.ts";
import { endpointSchema } from "./options.ts";
import { type SampleOptions, sample } from "./samples.ts";
import { answers, startEndpoint, type TestEndpoint } from "./testing/server.ts";

let server: TestEndpoint;
beforeEach(async () => {
  server = await startEndpoint(answers(() => "yes"));
});
afterEach(() => server.close());

const plain: SampleOptions = {
  ...{ temperature: 0.5, topP: 0.9, topK: 0, minP: 0, frequencyPenalty: 0, presencePenalty: 0 },
  ...{ count: 1, seed: 3, maxNewTokens: 20, request: {} },
};

const asked = async (options: Partial<SampleOptions>): Promise<object | undefined> => {
  const endpoint = new Endpoint(endpointSchema.parse({ baseUrl: server.baseUrl, model: "big" }));
  await sample(endpoint, { tokens: [1, 2] }, { ...plain, ...options });
  return server.seen.at(-1)?.body;
};

test("settings that do nothing are not sent, since some endpoints refuse them", async () => {
  expect(await asked({})).toEqual({
    model: "big",
    messages: [],
    prompt: [1, 2],
    temperature: 0.5,
    top_p: 0.9,
    max_tokens: 20,
    seed: 3,
    stream: false,
  });
});

test("others are, and what the request says goes before them", async () => {
  const settings = { topK: 5, minP: 0.1, frequencyPenalty: -0.5, presencePenalty: 1 };
  expect(await asked(settings)).toMatchObject({
    top_k: 5,
    min_p: 0.1,
    frequency_penalty: -0.5,
    presence_penalty: 1,
  });
  const other = await asked({ ...settings, request: { presence_penalty: null, frequency_penalty: 2 } });
  expect(other).toMatchObject({ frequency_penalty: 2 });
  expect(other).not.toHaveProperty("presence_penalty");
});
