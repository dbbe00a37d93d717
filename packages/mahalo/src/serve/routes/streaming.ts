/** What answering routes share: a job begun and its first event read, and a body that streams. */
import type { Tally } from "../api/generation.ts";
import type { ServeContext, ServeRequest } from "../context.ts";
import type { GenerateJob, JobEvent } from "../engine/protocol.ts";
import { asApiError } from "../http/api-error.ts";
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

/** What a stream says when something goes wrong behind its first chunk. */
export const failureEvent = (error: unknown): string => sse(JSON.stringify(asApiError(error).body));

/** A response of server-sent events. */
export const streamed = (
  pieces: AsyncIterator<string, void, undefined>,
  { options: { bounds } }: ServeContext,
  { env }: ServeRequest,
): Response =>
  new Response(eventStream(pieces, { ...bounds, onCut: () => env.outgoing.destroy() }), {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    },
  });
