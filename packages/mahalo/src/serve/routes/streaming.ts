/** What answering routes share: a job begun and its first event read, and a body that streams. */
import { bug } from "../../core/need.ts";
import type { Tally } from "../api/generation.ts";
import type { ServeContext, ServeRequest } from "../context.ts";
import type { GenerateJob, JobEvent } from "../engine/protocol.ts";
import { type ApiError, asApiError } from "../http/api-error.ts";
import { eventStream, sse } from "../http/event-stream.ts";

/**
 * Hands a job in and waits until its prompts are read: what is wrong with the request is known then, before anything of
 * an answer has been sent.
 *
 * @returns the events that follow
 */
export const openJob = async (
  { engine, metrics, signalOf }: ServeContext,
  request: ServeRequest,
  job: GenerateJob,
  tally: Tally,
): Promise<AsyncGenerator<JobEvent, void, undefined>> => {
  const events = metrics.watch(job, engine.submit(job, signalOf(request)));
  const first = await events.next();
  if (first.done !== true) tally.take(first.value);
  return events;
};

/** The one event of a kind that a short job gives. */
export const only = async <Type extends JobEvent["type"]>(
  events: AsyncIterable<JobEvent>,
  type: Type,
): Promise<Extract<JobEvent, { type: Type }>> => {
  const isOf = (event: JobEvent): event is Extract<JobEvent, { type: Type }> => event.type === type;
  let found: Extract<JobEvent, { type: Type }> | undefined;
  for await (const event of events) if (isOf(event)) found = event;
  return found ?? bug(`a job without its ${type}`);
};

/** What a stream tells of something that goes wrong behind its first chunk; the log has what it does not. */
export const streamFailure = ({ log }: ServeContext, error: unknown): ApiError => {
  const told = asApiError(error);
  if (told.status === 500) log.error({ err: error }, "a stream failed");
  return told;
};

/** The pieces of a stream and its end; what goes wrong on the way is told in its place. */
export async function* toEnd(
  context: ServeContext,
  pieces: AsyncGenerator<string, void, undefined>,
): AsyncGenerator<string, void, undefined> {
  try {
    yield* pieces;
    yield sse("[DONE]");
  } catch (error) {
    yield sse(JSON.stringify(streamFailure(context, error).body));
  }
}

/**
 * What a guided search looked at in a step, as an event of its own name. Clients that know OpenAI's chunks alone skip it,
 * since it has no choices.
 */
export const stepEvent = (
  { id, created, model }: { id: string; created: number; model: string },
  { choice, step, candidates }: Extract<JobEvent, { type: "step" }>,
): string =>
  sse(
    JSON.stringify({
      id,
      created,
      model,
      object: "mahalo.step",
      choices: [],
      step: { choice, number: step, candidates },
    }),
  );

/** A response of server-sent events. */
export const streamed = (
  pieces: AsyncIterator<string, void, undefined>,
  { options: { bounds } }: ServeContext,
  { env }: ServeRequest,
): Response =>
  new Response(
    eventStream(pieces, {
      ...bounds,
      attached: () => env.outgoing.socket !== null,
      onCut: () => env.outgoing.destroy(),
    }),
    {
      headers: {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
      },
    },
  );
