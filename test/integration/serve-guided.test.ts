/** Guided answers and scores from a real server: the library's own, with steps, usage and errors. */

import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { encodePrompt, loadRewardModel, searchAnswer } from "../../packages/mahalo/src/index.ts";
import { scoreSteps } from "../../packages/mahalo/src/scoring/score.ts";
import { encodeScored } from "../../packages/mahalo/src/scoring/score-text.ts";
import { modelScorer } from "../../packages/mahalo/src/search/scorers/model-scorer.ts";
import {
  chatBody,
  eventsOf,
  post,
  startClient,
  startServer,
} from "../../packages/mahalo/src/serve/testing/server.ts";

const { server, client, model, stop } = await startClient(
  { bounds: { maxTokens: 64, maxCandidates: 8, searches: 2 } },
  { guided: true },
);
const rewards = await loadRewardModel(join(server.folder, "rewards"));
afterAll(() => {
  rewards.dispose();
  return stop();
});

const messages = [{ role: "user" as const, content: "Hi there" }];
const guidance = {
  guides: { accuracy: 0.7, engagement: 0.3 },
  candidates: 3,
  step: "line",
  max_step_tokens: 8,
  max_steps: 3,
};
const answerSchema = z.looseObject({
  choices: z.array(
    z.looseObject({ message: z.looseObject({ content: z.string() }), finish_reason: z.string() }),
  ),
  usage: z.looseObject({
    completion_tokens: z.number(),
    completion_tokens_details: z.strictObject({ generated_tokens: z.number(), scored_tokens: z.number() }),
  }),
});

/** What the library's search answers. */
const searched = () => {
  const scorer = modelScorer(rewards, { tokenizer: model.tokenizer });
  return searchAnswer(
    model,
    {
      ids: encodePrompt(messages, model),
      prompt: messages,
      seed: 5,
      maxNewTokens: 24,
      guidance: guidance.guides,
      search: { strategy: "step", candidates: 3, step: { by: "line" }, maxSteps: 3, maxStepTokens: 8 },
    },
    { scorer },
  ).finally(() => scorer.dispose());
};
const ask = { ...chatBody(), max_tokens: 24, seed: 5, guidance };

describe("guidance", () => {
  test("gives the library's own answer, and says what it took", async () => {
    const answer = answerSchema.parse(await (await post(server, "/v1/chat/completions", ask)).json());
    const { completion, tree } = await searched();
    expect(answer.choices[0]?.message.content).toBe(completion.text);
    expect(answer.usage.completion_tokens).toBe(completion.ids.length);
    expect(answer.usage.completion_tokens_details).toEqual({
      generated_tokens: tree.tokens.generated,
      scored_tokens: tree.tokens.scored,
    });
  });

  test("streams steps with their candidates' scores, and the same text", async () => {
    const text = await (await post(server, "/v1/chat/completions", { ...ask, stream: true })).text();
    const events = eventsOf(text)
      .slice(0, -1)
      .map((event): unknown => JSON.parse(event));
    const stepSchema = z.looseObject({
      object: z.literal("mahalo.step"),
      step: z.strictObject({
        choice: z.literal(0),
        number: z.int(),
        candidates: z
          .array(
            z.strictObject({
              text: z.string(),
              scores: z.strictObject({ accuracy: z.number(), engagement: z.number() }),
              total: z.number().nullable(),
              kept: z.boolean(),
              copies: z.int(),
            }),
          )
          .min(1),
      }),
    });
    const steps = events.flatMap((event) =>
      stepSchema.safeParse(event).success ? [stepSchema.parse(event)] : [],
    );
    const { completion, tree } = await searched();
    expect(steps).toHaveLength(Math.max(...tree.nodes.map(({ step }) => step)));
    expect(
      steps
        .flatMap(({ step }) => step.candidates.filter(({ kept }) => kept).map((kept) => kept.text))
        .join(""),
    ).toBe(completion.text);
    const chunk = z.looseObject({
      choices: z.array(z.looseObject({ delta: z.looseObject({ content: z.string().optional() }) })),
    });
    const content = events.flatMap((event) => {
      const parsed = chunk.safeParse(event);
      return parsed.success ? parsed.data.choices.map(({ delta }) => delta.content ?? "") : [];
    });
    expect(content.join("")).toBe(completion.text);
  });

  test("OpenAI's client reads such a stream", async () => {
    let text = "";
    for await (const { choices } of await client.chat.completions.create({
      ...(ask as object),
      model: "tiny",
      messages,
      stream: true,
    }))
      text += choices[0]?.delta.content ?? "";
    expect(text).toBe((await searched()).completion.text);
  });

  test("goes with judges, votes, and beside answers that are not guided", async () => {
    const asked = [
      { ...ask, guidance: { ...guidance, guides: { asks: 1 }, search: "best-of-n" } },
      { ...ask, guidance: { ...guidance, guides: {}, search: "majority" } },
      { ...ask, guidance: { ...guidance, search: "beam", candidates: 2, width: 2 }, n: 2 },
      chatBody(),
    ];
    const answers = await Promise.all(asked.map((body) => post(server, "/v1/chat/completions", body)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });

  test.each<[string, object, string]>([
    ["an unknown guide", { guides: { accurcy: 1 } }, "guidance.guides.accurcy"],
    ["no guide", { guides: {} }, "guidance.guides"],
    ["too many candidates", { candidates: 9 }, "guidance.candidates"],
    ["too many over the branches", { search: "beam", candidates: 4, width: 4 }, "guidance.width"],
    ["an unknown search", { search: "deep" }, "guidance.search"],
    ["an unknown field", { temperature: 1 }, "guidance.temperature"],
    ["a path", { guides: { "/etc/passwd": 1 } }, "guidance.guides./etc/passwd"],
  ])("%s is refused by its field", async (_, more, param) => {
    const response = await post(server, "/v1/chat/completions", {
      ...ask,
      guidance: { ...guidance, ...more },
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });

  test("one request's effort is bounded", async () => {
    const response = await post(server, "/v1/chat/completions", {
      ...ask,
      max_tokens: 64,
      n: 16,
      guidance: { ...guidance, candidates: 8 },
    });
    expect(response.status).toBe(200);
    const small = await startServer({ bounds: { maxRequestTokens: 100 } }, { guided: true });
    expect((await post(small, "/v1/chat/completions", ask)).status).toBe(200);
    expect((await post(small, "/v1/chat/completions", { ...ask, max_tokens: 50 })).status).toBe(400);
    await small.stop();
  });

  test("a client that goes away ends its search", async () => {
    const controller = new AbortController();
    const running = fetch(`${server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ ...ask, n: 16, max_tokens: 64, guidance: { ...guidance, max_steps: 20 } }),
      signal: controller.signal,
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    controller.abort();
    await expect(running).rejects.toThrow();
    // Both places for searches are free again, or these would wait for the others.
    expect((await post(server, "/v1/chat/completions", ask)).status).toBe(200);
  });
});

describe("scores", () => {
  const response = "First step.\nSecond step.\nThe answer is 19.";
  const scoreSchema = z.looseObject({
    guides: z.array(z.string()),
    data: z.array(
      z.looseObject({
        index: z.int(),
        scores: z.record(z.string(), z.number()),
        steps: z.array(
          z.strictObject({ start: z.int(), end: z.int(), scores: z.record(z.string(), z.number()) }),
        ),
      }),
    ),
    usage: z.looseObject({ total_tokens: z.int().positive() }),
  });

  test("by step are the library's own, with spans that are the text", async () => {
    const body = { guides: ["accuracy", "engagement"], messages, responses: [response, "Hm?"], step: "line" };
    const { data } = scoreSchema.parse(await (await post(server, "/v1/score", body)).json());
    expect(data.map(({ index }) => index)).toEqual([0, 1]);
    expect(data[0]?.steps.map(({ start, end }) => response.slice(start, end)).join("")).toBe(response);
    for (const objective of ["accuracy", "engagement"]) {
      const encoded = encodeScored(rewards, messages, response, { objective, boundary: { by: "line" } });
      const [scores = []] = scoreSteps(rewards, [encoded]);
      expect(data[0]?.steps.map((step) => step.scores[objective])).toEqual(scores);
      expect(data[0]?.scores[objective]).toBe(scores.at(-1));
    }
  });

  test("rank documents and classify an answer", async () => {
    const reranked: unknown = await (
      await post(server, "/rerank", {
        model: "accuracy",
        query: "Hi",
        documents: ["Yes.", "No?", "Perhaps."],
        top_n: 2,
      })
    ).json();
    const { results } = z
      .looseObject({
        results: z.array(
          z.strictObject({
            index: z.int(),
            relevance_score: z.number(),
            document: z.strictObject({ text: z.string() }),
          }),
        ),
      })
      .parse(reranked);
    expect(results).toHaveLength(2);
    expect(results[0]?.relevance_score).toBeGreaterThanOrEqual(results[1]?.relevance_score ?? Number.NaN);
    const classified: unknown = await (
      await post(server, "/classify", {
        model: "accuracy",
        messages: [...messages, { role: "assistant", content: response }],
      })
    ).json();
    expect(classified).toMatchObject({
      data: [{ index: 0, label: "accuracy", num_classes: 1, probs: [expect.any(Number)] }],
    });
    expect((await post(server, "/classify", { model: "accuracy", input: ["Hello.", "Well?"] })).status).toBe(
      200,
    );
  });

  test.each<[string, string, object, string]>([
    ["an unknown guide", "/v1/score", { guides: ["x"], messages, responses: response }, "guides"],
    ["no prompt", "/v1/score", { responses: response }, "prompt"],
    ["two prompts", "/v1/score", { prompt: "Hi", messages, responses: response }, "prompt"],
    ["no answer", "/v1/score", { messages, responses: [] }, "responses"],
    ["an unknown step", "/v1/score", { messages, responses: response, step: "word" }, "step"],
    ["an unknown model", "/rerank", { model: "x", query: "Hi", documents: ["a"] }, "model"],
    ["nothing to rank", "/rerank", { model: "accuracy", query: "Hi", documents: [] }, "documents"],
    ["no last answer", "/classify", { model: "accuracy", messages }, "messages"],
    ["nothing to classify", "/classify", { model: "accuracy" }, "input"],
  ])("%s is refused by its field", async (_, path, body, param) => {
    const refused = await post(server, path, body);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ error: { param } });
  });

  test("without names are those of all reward models", async () => {
    const { guides } = scoreSchema.parse(
      await (await post(server, "/v1/score", { messages, responses: response })).json(),
    );
    expect(guides).toEqual(["accuracy", "engagement"]);
  });

  test("wait in the queue, too", async () => {
    const small = await startServer({ bounds: { maxWaiting: 3 } }, { guided: true });
    const busy = await post(small, "/v1/score", { messages, responses: ["a", "b", "c", "d", "e"] });
    expect(busy.status).toBe(429);
    expect((await post(small, "/v1/score", { messages, responses: ["a", "b"] })).status).toBe(200);
    await small.stop();
  });

  test("a guided stream is refused as the whole answer is", async () => {
    const stream = await post(server, "/v1/completions", {
      model: "tiny",
      prompt: [5, 99_999],
      guidance,
      stream: true,
    });
    expect(stream.status).toBe(400);
  });

  test("a judge scores no steps", async () => {
    expect(
      (await post(server, "/v1/score", { guides: ["asks"], messages, responses: response })).status,
    ).toBe(400);
  });
});
