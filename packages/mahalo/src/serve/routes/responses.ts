/** POST /v1/responses: a conversation's next turn under the request's own mix, as a response or as a stream of typed events. */
import { randomUUID } from "node:crypto";
import { element } from "../../core/need.ts";
import { samplingOf as wholeSampling } from "../../decode/sampling.ts";
import { askedMix, modelOf, type NamedModel } from "../api/asked-mix.ts";
import { samplingOf } from "../api/fields.ts";
import { collect, jobOf, provenanceOf, Tally } from "../api/generation.ts";
import { messageItem, ResponseEvents, responseAt, responseFrame, statusOf } from "../api/responses-answer.ts";
import {
  asksLogprobs,
  conversationOfResponses,
  type ResponsesRequest,
  responsesRequestSchema,
} from "../api/responses-request.ts";
import type { Route, ServeContext, ServeRequest } from "../context.ts";
import type { JobEvent } from "../engine/protocol.ts";
import { ApiError, asApiError, badField } from "../http/api-error.ts";
import { readJsonBody } from "../http/body.ts";
import { openJob, streamed, streamFailure } from "./streaming.ts";

/** An id as this route's clients know them. */
const newId = (kind: "resp" | "msg"): string => `${kind}_${randomUUID().replaceAll("-", "")}`;

/** Fields of the chat route that errors of the engine name, as they are called here. */
const ownNames = new Map([
  ["messages", "input"],
  ["max_tokens", "max_output_tokens"],
]);

/** An error of what routes share, with the field named as it is here. */
const inOwnNames = (error: unknown): unknown => {
  const { status, message, code, param, headers } = asApiError(error);
  const own = param === null ? undefined : ownNames.get(param);
  return own === undefined ? error : new ApiError(status, message, { code, param: own, headers });
};

/** The text of a stream, event by event. */
async function* pieces(
  events: AsyncIterable<JobEvent>,
  told: ResponseEvents,
  tally: Tally,
  context: ServeContext,
): AsyncGenerator<string, void, undefined> {
  yield told.begin();
  try {
    for await (const event of events) {
      tally.take(event);
      if (event.type === "delta") yield told.delta(event.text, event.logprobs ?? []);
      else if (event.type === "finish") yield told.end(event.finish, tally.usage);
    }
  } catch (error) {
    yield told.failure(streamFailure(context, error));
  }
}

/** Hands a checked request in. @throws ApiError naming the field as it is here */
const begin = async (
  request: ServeRequest,
  context: ServeContext,
  body: ResponsesRequest,
  named: NamedModel,
) => {
  try {
    const job = jobOf(
      {
        named,
        mix: askedMix(named, body),
        prompts: [{ messages: conversationOfResponses(body) }],
        fields: body,
        maxTokens: body.max_output_tokens ?? undefined,
        logprobs: asksLogprobs(body),
        topLogprobs: body.top_logprobs ?? 0,
      },
      context.options.bounds,
    );
    const tally = new Tally(job.n);
    return { job, tally, events: await openJob(context, request, job, tally) };
  } catch (error) {
    throw inOwnNames(error);
  }
};

const answer = async (request: ServeRequest, context: ServeContext): Promise<Response> => {
  const { bounds } = context.options;
  const body = await readJsonBody(request.env.incoming, responsesRequestSchema(bounds), bounds.maxBody);
  if (body.stream_options && body.stream !== true) throw badField("stream_options", "needs stream: true");
  const named = modelOf(context.engine.models, body.model);
  const { job, tally, events } = await begin(request, context, body, named);
  const frame = responseFrame({
    id: newId("resp"),
    created: Math.floor(Date.now() / 1000),
    body,
    sampling: wholeSampling({ ...named.info.sampling, ...samplingOf(body) }),
    mahalo: provenanceOf(job, named, tally.mix),
  });
  const item = newId("msg");
  if (body.stream === true)
    return streamed(pieces(events, new ResponseEvents(frame, item), tally, context), context, request);
  const choice = element(await collect(events, tally, job), 0, "choice");
  const status = statusOf(choice.finish);
  return request.json(
    responseAt(frame, { status, item: messageItem(item, status, [choice]), usage: tally.usage }),
  );
};

/** The route of responses. */
export const responsesRoute: Route = (app, context) => {
  app.post("/v1/responses", (request) => answer(request, context));
};
