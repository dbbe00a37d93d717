/** POST /v1/responses by OpenAI's own client against a real server: answers, functions, log-probabilities, weights by each way. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, describe, expect, test } from "vitest";
import { layOutModel } from "../../packages/mahalo/src/cli/testing/run.ts";
import { type Completion, encodePrompt, type Message, type Mix } from "../../packages/mahalo/src/index.ts";
import { type ServerHandle, serve } from "../../packages/mahalo/src/serve/serve.ts";
import {
  type LibraryAnswerOptions,
  libraryAnswer,
} from "../../packages/mahalo/src/serve/testing/library-answer.ts";
import { post, startClient } from "../../packages/mahalo/src/serve/testing/server.ts";

const { server, client, model, stop } = await startClient({ bounds: { maxTokens: 256 } });
afterAll(stop);

const ask = { model: "tiny", input: "Hi there", max_output_tokens: 12 };
const turn: Message = { role: "user", content: "Hi there" };

/** What the library answers. */
const answered = (mix?: Mix, more?: Omit<LibraryAnswerOptions, "mix">): Promise<Completion> =>
  libraryAnswer(model, { mix, ...more });
/** Runs on a server of its own, whose model's folder has more files. */
const withFiles = async (
  files: Record<string, string>,
  body: (other: ServerHandle) => Promise<void>,
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "mahalo-responses-"));
  const source = await layOutModel(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(source, name), content);
  const other = await serve([{ id: "tiny", source }], { port: 0, log: "silent", compute: "float32" });
  try {
    await body(other);
  } finally {
    await other.close();
    rmSync(folder, { recursive: true });
  }
};
/** Fields of ours, which the client's types do not know. */
const ours = (more: Record<string, unknown>): object => more;
const idOf = (kind: string): unknown => expect.stringMatching(new RegExp(`^${kind}_[0-9a-f]{32}$`));

/** A template that shows functions, their calls and results. */
const templateWithTools = [
  "{% if tools %}{{ tools | tojson }}{% endif %}",
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}",
  "{% if message.tool_calls %}{{ message.tool_calls | tojson }}{% endif %}",
  "{% if message.tool_call_id %}{{ message.tool_call_id }}{% endif %}<|im_end|>\n{% endfor %}",
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
].join("");

describe("answers", () => {
  test("are the library's own, with usage and the settings that they are made under", async () => {
    const answer = await client.responses.create({
      ...ask,
      instructions: "Be brief.",
      temperature: 0,
      top_p: 0.9,
      metadata: { purpose: "test" },
      ...ours({ seed: 0 }),
    });
    const messages: Message[] = [{ role: "system", content: "Be brief." }, turn];
    const expected = await answered(undefined, { messages });
    const tokens = encodePrompt(messages, model).length;
    expect(answer.output_text).toBe(expected.text);
    expect(answer).toMatchObject({
      id: idOf("resp"),
      object: "response",
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      completed_at: null,
      error: null,
      model: "tiny",
      instructions: "Be brief.",
      max_output_tokens: 12,
      temperature: 0,
      top_p: 0.9,
      metadata: { purpose: "test" },
      tools: [],
      tool_choice: "auto",
      text: { format: { type: "text" } },
      truncation: "disabled",
      previous_response_id: null,
      store: false,
      output: [
        {
          type: "message",
          id: idOf("msg"),
          status: "incomplete",
          role: "assistant",
          content: [{ type: "output_text", text: expected.text, annotations: [], logprobs: [] }],
        },
      ],
      usage: {
        input_tokens: tokens,
        output_tokens: expected.ids.length,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: tokens + expected.ids.length,
      },
      mahalo: { mix: { accuracy: 0.5, engagement: 0.5 }, seed: 0 },
    });
  });

  test("end before a stop string, and are then complete", async () => {
    const { text } = await answered();
    const stop = text.slice(4, 6);
    const answer = await client.responses.create({ ...ask, temperature: 0, ...ours({ stop }) });
    expect(answer.output_text).toBe(text.slice(0, text.indexOf(stop)));
    expect(answer).toMatchObject({
      status: "completed",
      incomplete_details: null,
      output: [{ status: "completed" }],
    });
    expect(answer.completed_at).toBeGreaterThanOrEqual(answer.created_at);
  });

  test("a seed gives the same answer again; without one the answer tells its own", async () => {
    const hot = { ...ask, temperature: 1.5 };
    const first = await client.responses.create({ ...hot, ...ours({ seed: 7 }) });
    expect(first.output_text).toBe((await answered(undefined, { seed: 7, temperature: 1.5 })).text);
    const drawn = await client.responses.create(hot);
    const { seed } = (drawn as unknown as { mahalo: { seed: number } }).mahalo;
    const again = await client.responses.create({ ...hot, ...ours({ seed }) });
    expect(again.output_text).toBe(drawn.output_text);
    expect(again.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(0);
  });

  test("of a conversation in items of every form are those of its messages", async () => {
    const given: Message[] = [
      { role: "developer", content: "Be kind." },
      { role: "user", content: "Hi there" },
      { role: "assistant", content: "Hello" },
      { role: "user", content: "How are you?" },
    ];
    const expected = await answered(undefined, { messages: given });
    const answer = await client.responses.create({
      ...ask,
      temperature: 0,
      input: [
        { role: "developer", content: "Be kind." },
        {
          type: "message",
          role: "user",
          content: [
            { type: "input_text", text: "Hi " },
            { type: "input_text", text: "there" },
          ],
        },
        {
          type: "message",
          id: "msg_1",
          status: "completed",
          phase: "final_answer",
          role: "assistant",
          content: [{ type: "output_text", text: "Hello", annotations: [] }],
        },
        { role: "user", content: "How are you?" },
      ],
    });
    expect(answer.output_text).toBe(expected.text);
  });

  test("to functions, their calls and results are those of the chat route", () =>
    withFiles({ "chat_template.jinja": templateWithTools }, async (other) => {
      const asked = new OpenAI({ baseURL: `${other.url}/v1`, apiKey: "none", maxRetries: 0 });
      const described = {
        name: "weather",
        description: "Tells the weather.",
        parameters: { type: "object", properties: { city: { type: "string" } } },
      };
      const call = { name: "weather", arguments: '{"city":"Rome"}' };
      const again = { name: "weather", arguments: '{"city":"Oslo"}' };
      const chat = await asked.chat.completions.create({
        model: "tiny",
        max_tokens: 12,
        temperature: 0,
        tools: [{ type: "function", function: described }],
        messages: [
          { role: "user", content: "Hi there" },
          {
            role: "assistant",
            content: "Let me see.",
            tool_calls: [
              { id: "call_1", type: "function", function: call },
              { id: "call_2", type: "function", function: again },
            ],
          },
          { role: "tool", tool_call_id: "call_1", content: "sunny" },
          { role: "tool", tool_call_id: "call_2", content: "rain" },
        ],
      });
      const answer = await asked.responses.create({
        ...ask,
        temperature: 0,
        tools: [{ type: "function", strict: false, ...described }],
        input: [
          { role: "user", content: "Hi there" },
          { role: "assistant", content: "Let me see." },
          { type: "function_call", call_id: "call_1", ...call },
          { type: "function_call", call_id: "call_2", ...again },
          { type: "function_call_output", call_id: "call_1", output: "sunny" },
          { type: "function_call_output", call_id: "call_2", output: [{ type: "input_text", text: "rain" }] },
        ],
      });
      expect(answer.output_text).toBe(chat.choices[0]?.message.content);
      expect(answer.usage?.input_tokens).toBe(chat.usage?.prompt_tokens);
      expect(answer.tools).toEqual([{ type: "function", strict: false, ...described }]);
      const unseen = await asked.responses.create({ ...ask, tool_choice: "none", tools: answer.tools });
      expect(unseen.usage?.input_tokens).toBe((await asked.responses.create(ask)).usage?.input_tokens);
    }));

  test("tell the log-probabilities of their tokens where these are included", async () => {
    const expected = await answered(undefined, { logprobs: true });
    const answer = await client.responses.create({
      ...ask,
      temperature: 0,
      include: ["message.output_text.logprobs"],
      top_logprobs: 2,
    });
    const [item] = answer.output;
    const [part] = item?.type === "message" ? item.content : [];
    const told = part?.type === "output_text" ? (part.logprobs ?? []) : [];
    expect(told.map(({ logprob }) => logprob)).toEqual(expected.logprobs);
    expect(told.map(({ top_logprobs }) => top_logprobs.map(({ logprob }) => logprob))).toEqual(
      expected.topLogprobs?.map((top) => top.map(({ logprob }) => logprob)),
    );
  });

  test("are given though fields are there that change nothing", async () => {
    const response = await post(server, "/v1/responses", {
      ...ask,
      temperature: 0,
      store: false,
      background: false,
      truncation: "disabled",
      text: { format: { type: "text" } },
      reasoning: { effort: "none" },
      parallel_tool_calls: true,
      user: "someone",
      safety_identifier: "someone",
      prompt_cache_key: "here",
      service_tier: "auto",
      ...Object.fromEntries(
        ["previous_response_id", "conversation", "prompt", "max_tool_calls", "instructions", "tools"].map(
          (field) => [field, null],
        ),
      ),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ user: "someone", prompt_cache_key: "here" });
  });
});

describe("weights", () => {
  const mix = { accuracy: 0.2, engagement: 0.8 };
  test.each<[string, object]>([
    ["a field", { objective_weights: mix }],
    ["the model's name", { model: "tiny@accuracy=0.2,engagement=0.8" }],
    ["metadata", { metadata: { mix: "accuracy=0.2,engagement=0.8" } }],
    ["all of them, alike", { model: "tiny@accuracy=1,engagement=4", objective_weights: mix }],
    [
      "phases of which one holds",
      { objective_weights: [{ mix }, { from: { token: 200 }, mix: { accuracy: 1 } }] },
    ],
  ])("by %s", async (_, more) => {
    const answer = await client.responses.create({ ...ask, temperature: 0, ...more });
    expect(answer.output_text).toBe((await answered(mix)).text);
  });

  test("by a position, and by a target that a measured mix reaches", async () => {
    const estimate = (mean: number) => ({ mean, low: mean, high: mean, n: 100, method: "wilson" });
    const point = (accuracy: number) => ({
      label: `accuracy ${accuracy}`,
      mix: { accuracy, engagement: 1 - accuracy },
      results: { accuracy: estimate(accuracy), engagement: estimate(1 - accuracy) },
    });
    const measured = {
      format: "mahalo-control",
      version: 1,
      run: "measured",
      prompts: 100,
      points: [0, 0.2, 1].map(point),
      scale: {
        objectives: ["accuracy", "engagement"],
        points: [0, 1].map((end) => ({ weight: end, position: end, low: end, high: end })),
      },
      objectives: ["accuracy", "engagement"],
    };
    await withFiles({ "control.json": JSON.stringify(measured) }, async (other) => {
      const { text } = await answered(mix);
      for (const more of [{ at: 0.8 }, { target: { accuracy: ">=0.2" }, maximize: "engagement" }]) {
        const response = await post(other, "/v1/responses", { ...ask, temperature: 0, ...more });
        expect(await response.json()).toMatchObject({ mahalo: { mix }, output: [{ content: [{ text }] }] });
      }
    });
  });

  test("change the answer", async () => {
    expect((await answered({ accuracy: 1 })).text).not.toBe((await answered({ engagement: 1 })).text);
  });
});
