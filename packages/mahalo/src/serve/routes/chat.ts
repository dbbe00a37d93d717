/** POST /v1/chat/completions: a conversation's next turn under the request's own mix, whole or as a stream. */
import { askedMix, modelOf } from "../api/asked-mix.ts";
import { chatChunk, chatCompletion } from "../api/chat-answer.ts";
import { type ChatRequest, chatRequestSchema, conversationOf } from "../api/chat-request.ts";
import {
  type AnswerHead,
  answerHead,
  collect,
  finishReason,
  jobOf,
  type Provenance,
  provenanceOf,
  Tally,
} from "../api/generation.ts";
import type { Route, ServeContext, ServeRequest } from "../context.ts";
import type { GenerateJob, JobEvent } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import { readJsonBody } from "../http/body.ts";
import { sse } from "../http/event-stream.ts";
import { openJob, stepEvent, streamed, toEnd } from "./streaming.ts";

/** The longest answer that a request allows, under either of its names. */
const longestOf = ({ max_tokens, max_completion_tokens }: ChatRequest): number | undefined => {
  if (max_tokens && max_completion_tokens && max_tokens !== max_completion_tokens)
    throw badField("max_tokens", "is another number than max_completion_tokens; give one of them");
  return max_completion_tokens ?? max_tokens ?? undefined;
};

/** What a stream's chunks are made of. */
type ChunkOptions = {
  head: AnswerHead;
  job: GenerateJob;
  tally: Tally;
  usage: boolean;
  logprobs: boolean;
  mahalo: Provenance;
};

/** The text of a stream, event by event. */
async function* chunks(
  events: AsyncIterable<JobEvent>,
  { head, job, tally, usage, logprobs, mahalo }: ChunkOptions,
): AsyncGenerator<string, void, undefined> {
  const none = usage ? { usage: null } : {};
  const write = (...args: Parameters<typeof chatChunk>): string => sse(JSON.stringify(chatChunk(...args)));
  const all = [...Array(job.n).keys()];
  // The first chunk says whose turn it is, and how the answer comes about.
  yield write(
    head,
    all.map((index) => ({ index, delta: { role: "assistant", content: "" } })),
    { ...none, mahalo },
  );
  for await (const event of events) {
    tally.take(event);
    if (event.type === "delta") {
      const tokens = logprobs ? { logprobs: event.logprobs ?? [] } : {};
      yield write(head, [{ index: event.choice, delta: { content: event.text }, ...tokens }], none);
    } else if (event.type === "step") yield stepEvent(head, event);
    else if (event.type === "finish")
      yield write(head, [{ index: event.choice, delta: {}, finish: finishReason(event.finish) }], none);
  }
  if (usage) yield write(head, [], { usage: tally.usage });
}

const answer = async (request: ServeRequest, context: ServeContext): Promise<Response> => {
  const { options, engine } = context;
  const { bounds } = options;
  const body = await readJsonBody(request.env.incoming, chatRequestSchema(bounds), bounds.maxBody);
  if (body.top_logprobs && body.logprobs !== true) throw badField("top_logprobs", "needs logprobs: true");
  if (body.stream_options && body.stream !== true) throw badField("stream_options", "needs stream: true");
  const named = modelOf(engine.models, body.model);
  const logprobs = body.logprobs === true;
  const job = jobOf(
    {
      named,
      mix: askedMix(named, body),
      prompts: [{ messages: conversationOf(body) }],
      fields: body,
      guidance: body.guidance ? { field: body.guidance, served: engine.guides } : undefined,
      maxTokens: longestOf(body),
      logprobs,
      topLogprobs: body.top_logprobs ?? 0,
    },
    bounds,
  );
  const tally = new Tally(job.n);
  const events = await openJob(context, request, job, tally);
  const head = answerHead("chatcmpl", body.model, named);
  const mahalo = provenanceOf(job, named, tally.mix);
  if (body.stream === true) {
    const usage = body.stream_options?.include_usage === true;
    const pieces = chunks(events, { head, job, tally, usage, logprobs, mahalo });
    return streamed(toEnd(context, pieces), context, request);
  }
  const choices = await collect(events, tally, job);
  return request.json(chatCompletion(head, choices, { logprobs, usage: tally.usage, mahalo }));
};

/** The chat route. */
export const chatRoute: Route = (app, context) => {
  app.post("/v1/chat/completions", (request) => answer(request, context));
};
