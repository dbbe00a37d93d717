/** POST /v1/completions: texts or token ids continued under the request's own mix, whole or as a stream. */
import { askedMix, modelOf } from "../api/asked-mix.ts";
import { type TextChoice, type TextToken, textCompletion, textLogprobs } from "../api/completion-answer.ts";
import { completionRequestSchema, lengthOf, promptsOf } from "../api/completion-request.ts";
import {
  type AnswerHead,
  answerHead,
  type ChoiceAnswer,
  collect,
  finishReason,
  jobOf,
  type Provenance,
  provenanceOf,
  Tally,
  type Usage,
} from "../api/generation.ts";
import type { Route, ServeContext, ServeRequest } from "../context.ts";
import type { GenerateJob, JobEvent } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import { readJsonBody } from "../http/body.ts";
import { sse } from "../http/event-stream.ts";
import { openJob, stepEvent, streamed, toEnd } from "./streaming.ts";

/** Log-probabilities of a choice's tokens, or null where they were not asked for. */
type Logprobs = (tokens: readonly TextToken[], offset: number) => TextChoice["logprobs"];

const whole =
  (logprobs: Logprobs) =>
  ({ text, finish, logprobs: tokens, echo }: ChoiceAnswer, index: number): TextChoice => ({
    index,
    text: (echo?.text ?? "") + text,
    finish: finishReason(finish),
    logprobs: logprobs([...(echo?.tokens ?? []), ...tokens], 0),
  });

/** What a stream's chunks are made of. */
type ChunkOptions = {
  head: AnswerHead;
  job: GenerateJob;
  tally: Tally;
  usage: boolean;
  logprobs: Logprobs;
  mahalo: Provenance;
};

/** The text of a stream, event by event. */
async function* chunks(
  events: AsyncIterable<JobEvent>,
  { head, job, tally, usage, logprobs, mahalo }: ChunkOptions,
): AsyncGenerator<string, void, undefined> {
  const lengths = new Map<number, number>();
  let first = true;
  const none: { usage?: Usage | null } = usage ? { usage: null } : {};
  const write = (choices: readonly TextChoice[], more = none): string => {
    const provenance = first ? { mahalo } : {};
    first = false;
    return sse(JSON.stringify(textCompletion(head, choices, { ...more, ...provenance })));
  };
  const piece = (index: number, text: string, tokens: readonly TextToken[]): TextChoice => {
    const offset = lengths.get(index) ?? 0;
    lengths.set(index, offset + text.length);
    return { index, text, finish: null, logprobs: logprobs(tokens, offset) };
  };
  for await (const event of events) {
    tally.take(event);
    if (event.type === "echo")
      for (let n = 0; n < job.n; n++)
        yield write([piece(event.prompt * job.n + n, event.text, event.tokens)]);
    else if (event.type === "delta") yield write([piece(event.choice, event.text, event.logprobs ?? [])]);
    else if (event.type === "step") yield stepEvent(head, event);
    else if (event.type === "finish")
      yield write([{ index: event.choice, text: "", finish: finishReason(event.finish), logprobs: null }]);
  }
  if (usage) yield write([], { usage: tally.usage });
}

const answer = async (request: ServeRequest, context: ServeContext): Promise<Response> => {
  const { options, engine } = context;
  const { bounds } = options;
  const body = await readJsonBody(request.env.incoming, completionRequestSchema(bounds), bounds.maxBody);
  if (body.stream_options && body.stream !== true) throw badField("stream_options", "needs stream: true");
  const named = modelOf(engine.models, body.model);
  const top = body.logprobs ?? 0;
  const asksLogprobs = typeof body.logprobs === "number";
  const job = jobOf(
    {
      named,
      mix: askedMix(named, body),
      prompts: promptsOf(body),
      fields: body,
      guidance: body.guidance ? { field: body.guidance, served: engine.guides } : undefined,
      maxTokens: lengthOf(body),
      logprobs: asksLogprobs,
      topLogprobs: top,
      echo: body.echo === true,
    },
    bounds,
  );
  const tally = new Tally(job.n);
  const events = await openJob(context, request, job, tally);
  const head = answerHead("cmpl", body.model, named);
  const mahalo = provenanceOf(job, named, tally.mix);
  const logprobs: Logprobs = (tokens, offset) => (asksLogprobs ? textLogprobs(tokens, top, offset) : null);
  if (body.stream === true) {
    const usage = body.stream_options?.include_usage === true;
    const pieces = chunks(events, { head, job, tally, usage, logprobs, mahalo });
    return streamed(toEnd(context, pieces), context, request);
  }
  const choices = await collect(events, tally, job);
  return request.json(textCompletion(head, choices.map(whole(logprobs)), { usage: tally.usage, mahalo }));
};

/** The route of plain texts. */
export const completionsRoute: Route = (app, context) => {
  app.post("/v1/completions", (request) => answer(request, context));
};
