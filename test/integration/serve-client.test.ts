/** OpenAI's own client against a real server: answers, streams, weights by each of the four ways, errors, retries, aborts. */
import OpenAI from "openai";
import { afterAll, describe, expect, test } from "vitest";
import { encodePrompt, type Mix } from "../../packages/mahalo/src/index.ts";
import { libraryAnswer } from "../../packages/mahalo/src/serve/testing/library-answer.ts";
import { chatBody, eventsOf, post, startClient } from "../../packages/mahalo/src/serve/testing/server.ts";

const { server, client, model, stop } = await startClient({ bounds: { maxTokens: 256 } });
afterAll(stop);

const messages = [{ role: "user" as const, content: "Hi there" }];
const ask = { model: "tiny", messages, max_tokens: 12 };

/** What the library answers. */
const answered = (mix: Mix | undefined, more: { seed?: number; temperature?: number } = {}) =>
  libraryAnswer(model, { mix, ...more });
const contentOf = ({ choices }: OpenAI.ChatCompletion): string => choices[0]?.message.content ?? "";
/** Fields of ours, which the client's types do not know. */
const ours = (more: Record<string, unknown>): object => more;

describe("answers", () => {
  test("are the library's own, with usage", async () => {
    const answer = await client.chat.completions.create({ ...ask, temperature: 0, seed: 0 });
    const expected = await answered(undefined);
    expect(contentOf(answer)).toBe(expected.text);
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "tiny",
      mahalo: {
        mix: { accuracy: 0.5, engagement: 0.5 },
        seed: 0,
        model_hash: expect.stringMatching(/^[0-9a-f]{16}$/),
      },
      usage: { prompt_tokens: encodePrompt(messages, model).length, completion_tokens: expected.ids.length },
    });
  });

  test("a seed gives the same answer again; without one the answer tells its own", async () => {
    const hot = { ...ask, temperature: 1.5 };
    const first = await client.chat.completions.create({ ...hot, seed: 7 });
    expect(contentOf(first)).toBe((await answered(undefined, { seed: 7, temperature: 1.5 })).text);
    expect(contentOf(await client.chat.completions.create({ ...hot, seed: 8 }))).not.toBe(contentOf(first));
    const drawn = await client.chat.completions.create(hot);
    const { seed } = (drawn as unknown as { mahalo: { seed: number } }).mahalo;
    expect(contentOf(await client.chat.completions.create({ ...hot, seed }))).toBe(contentOf(drawn));
  });

  test("n choices differ, and the first is the answer to the seed alone", async () => {
    const { choices, usage } = await client.chat.completions.create({
      ...ask,
      temperature: 1.5,
      seed: 7,
      n: 3,
    });
    const texts = choices.map(({ message }) => message.content);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(texts).size).toBe(3);
    expect(texts[0]).toBe((await answered(undefined, { seed: 7, temperature: 1.5 })).text);
    expect(usage?.completion_tokens).toBeLessThanOrEqual(36);
    expect(usage?.prompt_tokens).toBe(encodePrompt(messages, model).length);
  });

  test("end before a stop string, and at the length asked for", async () => {
    const { text } = await answered({ accuracy: 1 });
    const stop = text.slice(4, 6);
    const ended = await client.chat.completions.create({
      ...ask,
      temperature: 0,
      stop,
      ...ours({ objective_weights: { accuracy: 1 } }),
    });
    expect(contentOf(ended)).toBe(text.slice(0, text.indexOf(stop)));
    expect(ended.choices[0]?.finish_reason).toBe("stop");
    const short = await client.chat.completions.create({
      model: "tiny",
      messages,
      max_completion_tokens: 2,
      temperature: 0,
    });
    expect(short.choices[0]?.finish_reason).toBe("length");
    expect(short.usage?.completion_tokens).toBe(2);
  });

  test("content may come in parts, and system and developer messages", async () => {
    const parts = [
      {
        role: "user" as const,
        content: [
          { type: "text" as const, text: "Hi " },
          { type: "text" as const, text: "there" },
        ],
      },
    ];
    expect(contentOf(await client.chat.completions.create({ ...ask, messages: parts, temperature: 0 }))).toBe(
      (await answered(undefined)).text,
    );
    for (const role of ["system", "developer"] as const)
      await client.chat.completions.create({
        ...ask,
        messages: [{ role, content: "Be brief." }, ...messages],
      });
  });
});

describe("streams", () => {
  test("say the same as the whole answer, with usage in the last chunk", async () => {
    const stream = await client.chat.completions.create({
      ...ask,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
      text += chunk.choices[0]?.delta.content ?? "";
    }
    const expected = await answered(undefined);
    expect(text).toBe(expected.text);
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("length");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: expected.ids.length } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  test("without usage no chunk has the field, and the end is told", async () => {
    const response = await post(server, "/v1/chat/completions", chatBody({ stream: true }));
    const events = eventsOf(await response.text());
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(events.at(-1)).toBe("[DONE]");
    expect(events.join()).not.toContain('"usage"');
  });

  test("choices of one stream are whole, each under its number", async () => {
    const whole = await client.chat.completions.create({ ...ask, temperature: 1.5, seed: 3, n: 3 });
    const texts = ["", "", ""];
    for await (const { choices } of await client.chat.completions.create({
      ...ask,
      temperature: 1.5,
      seed: 3,
      n: 3,
      stream: true,
    }))
      for (const { index, delta } of choices) texts[index] += delta.content ?? "";
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
  });
});

describe("weights", () => {
  const mix = { accuracy: 0.2, engagement: 0.8 };
  test.each<[string, object]>([
    ["a field", { objective_weights: mix }],
    ["the field of other size", { objective_weights: { accuracy: 2, engagement: 8 } }],
    ["the model's name", { model: "tiny@accuracy=0.2,engagement=0.8" }],
    ["metadata", { metadata: { mix: "accuracy=0.2,engagement=0.8" } }],
    [
      "all of them, alike",
      {
        model: "tiny@accuracy=1,engagement=4",
        objective_weights: mix,
        metadata: { mix: "accuracy=1,engagement=4" },
      },
    ],
    [
      "phases of which one holds",
      { objective_weights: [{ mix }, { from: { token: 200 }, mix: { accuracy: 1 } }] },
    ],
  ])("by %s", async (_, more) => {
    const answer = await client.chat.completions.create({ ...ask, temperature: 0, ...more });
    expect(contentOf(answer)).toBe((await answered(mix)).text);
  });

  test("change the answer, and on the way", async () => {
    const [one, other] = [await answered({ accuracy: 1 }), await answered({ engagement: 1 })];
    expect(one.text).not.toBe(other.text);
    const phases = [{ mix: { accuracy: 1 } }, { from: { token: 4 }, mix: { engagement: 1 } }];
    const answer = await client.chat.completions.create({
      ...ask,
      temperature: 0,
      ...ours({ objective_weights: phases }),
    });
    expect(contentOf(answer)).not.toBe(one.text);
    expect(contentOf(answer).slice(0, 2)).toBe(one.text.slice(0, 2));
    expect(answer).toMatchObject({ mahalo: { mix: phases } });
  });

  test("of 16 clients at once, each its own, are answered byte for byte as alone", async () => {
    const mixes = Array.from(
      { length: 16 },
      (_, index): Mix => ({ accuracy: index / 15, engagement: 1 - index / 15 }),
    );
    const request = (mix: Mix, seed: number) =>
      client.chat.completions.create({
        ...ask,
        max_tokens: 48,
        temperature: 1,
        seed,
        ...ours({ objective_weights: mix }),
      });
    const together = await Promise.all(mixes.map(request));
    for (const [index, mix] of mixes.entries())
      expect(together[index]?.choices).toEqual((await request(mix, index)).choices);
  });
});

describe("errors", () => {
  test.each<[string, object, new (...args: never[]) => Error]>([
    ["a wrong field", { temperature: -1 }, OpenAI.BadRequestError],
    ["no such model", { model: "other" }, OpenAI.NotFoundError],
  ])("%s", async (_, more, kind) => {
    await expect(client.chat.completions.create({ ...ask, ...more })).rejects.toBeInstanceOf(kind);
  });

  test("models are listed, and one is told of", async () => {
    expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["tiny"]);
    expect(await client.models.retrieve("tiny")).toMatchObject({
      object: "model",
      mahalo: { objectives: ["accuracy", "engagement"] },
    });
    await expect(client.models.retrieve("other")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  test("an abort frees the row at once", async () => {
    const stream = await client.chat.completions.create({
      ...ask,
      max_tokens: 256,
      stream: true,
      temperature: 1,
      n: 8,
    });
    for await (const _ of stream) break;
    await expect
      .poll(
        async () =>
          (await (await fetch(`${server.url}/metrics`)).text()).match(
            /^mahalo_num_requests_running (\d+)/m,
          )?.[1],
      )
      .toBe("0");
  });
});
