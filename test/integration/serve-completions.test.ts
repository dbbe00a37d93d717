/** Texts and token ids continued by a real server: the library's own answers, echoes, and the prompt's log-probabilities. */
import type OpenAI from "openai";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { promptLogprobs } from "../../packages/mahalo/src/decode/prompt-logprobs.ts";
import { generateAll } from "../../packages/mahalo/src/index.ts";
import { eventsOf, post, startClient } from "../../packages/mahalo/src/serve/testing/server.ts";

const { server, client, model, stop } = await startClient();
afterAll(stop);

const prompt = "Hi there, you";
const ask = { model: "tiny", prompt, max_tokens: 8, temperature: 0 };
const answered = async (ids: readonly number[]) => {
  const [completion] = await generateAll(model, [{ ids, maxNewTokens: 8, logprobs: true, topLogprobs: 2 }]);
  if (completion === undefined) throw new Error("no answer");
  return completion;
};
const first = ({ choices }: OpenAI.Completion): OpenAI.CompletionChoice => {
  const [choice] = choices;
  if (choice === undefined) throw new Error("no choice");
  return choice;
};

describe("answers", () => {
  test("to text, to ids and to several of them are the library's", async () => {
    const ids = model.tokenizer.encode(prompt);
    const { text } = await answered(ids);
    expect(first(await client.completions.create(ask)).text).toBe(text);
    expect(first(await client.completions.create({ ...ask, prompt: ids })).text).toBe(text);
    const other = (await answered(model.tokenizer.encode("Well"))).text;
    const many = await client.completions.create({ ...ask, prompt: [prompt, "Well"], n: 2 });
    expect(many.choices.map((choice) => choice.text)).toEqual([text, text, other, other]);
    expect(many.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const lists = await client.completions.create({ ...ask, prompt: [ids, model.tokenizer.encode("Well")] });
    expect(lists.choices.map((choice) => choice.text)).toEqual([text, other]);
  });

  test("have 16 tokens where no length is given", async () => {
    const { usage } = await client.completions.create({
      model: "tiny",
      prompt,
      logit_bias: { 0: -100, 1: -100, 2: -100 },
    });
    expect(usage?.completion_tokens).toBe(16);
  });

  test("stream the same text", async () => {
    let text = "";
    for await (const { choices } of await client.completions.create({ ...ask, stream: true }))
      text += choices[0]?.text ?? "";
    expect(text).toBe((await answered(model.tokenizer.encode(prompt))).text);
  });
});

describe("log-probabilities", () => {
  test("of the answer", async () => {
    const expected = await answered(model.tokenizer.encode(prompt));
    const { logprobs, text } = first(await client.completions.create({ ...ask, logprobs: 2 }));
    expect(logprobs?.token_logprobs).toEqual(expected.logprobs);
    expect(logprobs?.tokens?.join("")).toBe(text);
    expect(logprobs?.top_logprobs?.every((top) => Object.keys(top).length <= 2)).toBe(true);
  });

  test("of an echoed prompt, alone or before the answer, whole and as a stream", async () => {
    const ids = model.tokenizer.encode(prompt);
    const told = promptLogprobs(model, ids, undefined, 1);
    const alone = first(await client.completions.create({ ...ask, echo: true, max_tokens: 0, logprobs: 1 }));
    expect(alone.text).toBe(prompt);
    expect(alone.finish_reason).toBe("length");
    expect(alone.logprobs?.token_logprobs).toEqual([null, ...told.map(({ logprob }) => logprob)]);
    expect(alone.logprobs?.text_offset?.[0]).toBe(0);
    const expected = await answered(ids);
    const both = first(await client.completions.create({ ...ask, echo: true, logprobs: 1 }));
    expect(both.text).toBe(prompt + expected.text);
    expect(both.logprobs?.token_logprobs).toEqual([
      null,
      ...told.map(({ logprob }) => logprob),
      ...(expected.logprobs ?? []),
    ]);
    const response = await post(server, "/v1/completions", { ...ask, echo: true, logprobs: 1, stream: true });
    const chunk = z.looseObject({ choices: z.array(z.looseObject({ text: z.string() })) });
    const events = eventsOf(await response.text()).slice(0, -1);
    expect(events.map((event) => chunk.parse(JSON.parse(event)).choices[0]?.text).join("")).toBe(both.text);
  });
});

test.each<[string, object, number, string, string | null]>([
  ["an empty prompt", { prompt: "" }, 400, "invalid_value", "prompt"],
  ["no prompt", { prompt: undefined }, 400, "missing_required_parameter", "prompt"],
  ["an empty list", { prompt: [] }, 400, "invalid_value", "prompt"],
  ["an id of no token", { prompt: [5, 99_999] }, 400, "token_id", "prompt"],
  [
    "an id of no token, unanswered",
    { prompt: [99_999], max_tokens: 0, echo: true },
    400,
    "token_id",
    "prompt",
  ],
  ["a negative id", { prompt: [-1] }, 400, "invalid_value", "prompt"],
  ["texts and ids", { prompt: ["a", 5] }, 400, "invalid_value", "prompt"],
  ["too many prompts", { prompt: Array.from({ length: 17 }, () => "a") }, 400, "invalid_value", "prompt"],
  ["too many answers", { prompt: ["a", "b"], n: 9 }, 400, "invalid_value", "n"],
  ["nothing at all", { max_tokens: 0 }, 400, "invalid_value", "max_tokens"],
  ["a suffix", { suffix: "x" }, 400, "invalid_type", "suffix"],
  ["best_of", { best_of: 5 }, 400, "invalid_value", "best_of"],
  ["too many log-probabilities", { logprobs: 21 }, 400, "invalid_value", "logprobs"],
])("%s is refused by its field", async (_, more, status, code, param) => {
  const response = await post(server, "/v1/completions", { ...ask, ...more });
  expect(response.status).toBe(status);
  const { error } = z
    .looseObject({ error: z.looseObject({ code: z.string(), param: z.string().nullable() }) })
    .parse(await response.json());
  expect(error.code).toBe(code);
  expect(error.param?.startsWith(param ?? "")).toBe(true);
  expect((await post(server, "/v1/completions", ask)).status).toBe(200);
});
