/** POST /v1/responses as a stream of typed events: read from the wire, by OpenAI's own client, cut short, and left alone. */
import type OpenAI from "openai";
import { afterAll, expect, test } from "vitest";
import { libraryAnswer } from "../../packages/mahalo/src/serve/testing/library-answer.ts";
import { post, startClient, startServer } from "../../packages/mahalo/src/serve/testing/server.ts";

const { server, client, model, stop } = await startClient({ bounds: { maxTokens: 256 } });
afterAll(stop);

const ask = { model: "tiny", input: "Hi there", max_output_tokens: 12 };
const answered = ({ logprobs = false } = {}) => libraryAnswer(model, { logprobs });
/** Fields of ours, which the client's types do not know. */
const ours = (more: Record<string, unknown>): object => more;
const idOf = (kind: string): unknown => expect.stringMatching(new RegExp(`^${kind}_[0-9a-f]{32}$`));

/** Events with the names that they came under. */
const read = async (
  body: object,
): Promise<{ name: string; event: OpenAI.Responses.ResponseStreamEvent }[]> => {
  const response = await post(server, "/v1/responses", { ...ask, temperature: 0, stream: true, ...body });
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  const blocks = (await response.text())
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"));
  return blocks.map((block) => {
    const [, name = "", data = ""] = /^event: (\S+)\ndata: (.+)$/.exec(block) ?? [];
    return { name, event: JSON.parse(data) as OpenAI.Responses.ResponseStreamEvent };
  });
};

test("say the same as the whole answer, in typed events that are numbered", async () => {
  const events = await read({ seed: 0 });
  const names = events.map(({ name }) => name);
  const deltas = names.filter((name) => name === "response.output_text.delta").length;
  expect(deltas).toBeGreaterThan(1);
  expect(names).toEqual([
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    ...Array.from({ length: deltas }, () => "response.output_text.delta"),
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.incomplete",
  ]);
  expect(events.map(({ event }) => event.type)).toEqual(names);
  expect(events.map(({ event }) => event.sequence_number)).toEqual([...events.keys()]);
  const { text } = await answered();
  const said = events.flatMap(({ event }) =>
    event.type === "response.output_text.delta" ? [event.delta] : [],
  );
  expect(said.join("")).toBe(text);
  const whole = await client.responses.create({ ...ask, temperature: 0, ...ours({ seed: 0 }) });
  const last = events.at(-1)?.event;
  const { output_text: _, ...rest } = whole;
  const own = { id: idOf("resp"), created_at: expect.any(Number) as unknown };
  const output = whole.output.map((item) => ({ ...item, id: idOf("msg") }));
  // Of the same prompt, asked again, more is in memory.
  const usage = { ...whole.usage, input_tokens_details: expect.any(Object) as unknown };
  expect(last?.type === "response.incomplete" ? last.response : undefined).toEqual({
    ...rest,
    ...own,
    output,
    usage,
  });
});

test("are read by the client's own collector, from first event to whole response", async () => {
  const { text } = await answered();
  const stop = text.slice(4, 6);
  const stream = client.responses.stream({ ...ask, temperature: 0, ...ours({ stop }) });
  const whole = await stream.finalResponse();
  expect(whole).toMatchObject({ status: "completed", output_text: text.slice(0, text.indexOf(stop)) });
});

test("tell log-probabilities with the text that they belong to", async () => {
  const events = await read({ include: ["message.output_text.logprobs"] });
  const told = events.flatMap(({ event }) =>
    event.type === "response.output_text.delta" ? event.logprobs : [],
  );
  expect(told.map(({ logprob }) => logprob)).toEqual((await answered({ logprobs: true })).logprobs);
});

test("that are cut short by the server's end say so, as an error and a failed response", async () => {
  const short = await startServer({ bounds: { maxTokens: 4096, drainFor: 0 } });
  const response = await post(short, "/v1/responses", { ...ask, max_output_tokens: 4096, stream: true });
  const reader = (response.body ?? new ReadableStream<Uint8Array>())
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let text = (await reader.read()).value ?? "";
  const stopped = short.stop();
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  await stopped;
  const [error, failed] = text
    .split("\n\n")
    .filter((block) => block !== "")
    .slice(-2)
    .map((block) => JSON.parse(block.slice(block.indexOf("data: ") + 6)) as Record<string, unknown>);
  expect(error).toMatchObject({
    type: "error",
    code: expect.any(String),
    message: expect.any(String),
    param: null,
  });
  expect(failed).toMatchObject({
    type: "response.failed",
    response: { status: "failed", error: { code: "server_error" }, output: [{ status: "incomplete" }] },
  });
});

test("an abort frees the row at once", async () => {
  const stream = await client.responses.create({
    ...ask,
    max_output_tokens: 256,
    stream: true,
    temperature: 1,
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
