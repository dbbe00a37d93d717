/** POST /v1/score, /classify and /rerank: what the server's reward models say of given answers. */
import { z } from "zod";
import { didYouMean } from "../../core/suggest.ts";
import type { Prompt } from "../../data/rows/rows.ts";
import { stepBoundarySchema } from "../../data/tokens/steps.ts";
import { chatRequestSchema, conversationOf } from "../api/chat-request.ts";
import { newAnswer } from "../api/generation.ts";
import type { Route, ServeContext, ServeRequest } from "../context.ts";
import type { ScoredItem, ScoreJob } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import { readJsonBody } from "../http/body.ts";
import type { Bounds } from "../options.ts";
import { only } from "./streaming.ts";

const text = z.string().min(1, "is empty: there is nothing to score");
const names = z.array(z.string().min(1).max(256)).min(1).max(64);

/** A conversation of a body; kept apart from the schema of chat, whose other fields do not belong here. */
const messagesOf = (bounds: Bounds) => chatRequestSchema(bounds).shape.messages;

/** Scores of the server that a request names; all of them by default. @throws ApiError 400 */
const guidesOf = (
  { engine }: ServeContext,
  asked: readonly string[] | null | undefined,
  param: string,
): readonly string[] => {
  if (engine.scores.length === 0)
    throw badField(
      param,
      "no reward model is served here: the server was started without --guide",
      "no_guides",
    );
  const unknown = asked?.find((name) => !engine.scores.includes(name));
  if (unknown !== undefined)
    throw badField(
      param,
      `"${unknown}" is no reward model of this server. ${didYouMean(unknown, engine.scores)}`,
    );
  return asked ?? engine.scores;
};

const scored = async (
  { engine, signalOf }: ServeContext,
  request: ServeRequest,
  job: Omit<ScoreJob, "kind">,
): Promise<{ items: readonly ScoredItem[]; usage: { prompt_tokens: number; total_tokens: number } }> => {
  const event = await only(engine.submit({ kind: "score", ...job }, signalOf(request)), "scores");
  const tokens = event.items.reduce((sum, item) => sum + item.tokens, 0);
  return { items: event.items, usage: { prompt_tokens: tokens, total_tokens: tokens } };
};

/** The scores of an answer's end, by name. */
const lastScores = ({ steps }: ScoredItem): Readonly<Record<string, number>> => steps.at(-1)?.scores ?? {};

/** The routes of scores. */
export const scoreRoute: Route = (app, context) => {
  const { bounds } = context.options;
  const scoreSchema = z.strictObject({
    guides: names.nullish(),
    prompt: z.string().nullish(),
    messages: messagesOf(bounds).nullish(),
    responses: z.union([text, z.array(text).min(1).max(bounds.maxScored)]),
    step: stepBoundarySchema.optional(),
  });
  app.post("/v1/score", async (request) => {
    const body = await readJsonBody(request.env.incoming, scoreSchema, bounds.maxBody);
    if ((typeof body.prompt === "string") === (body.messages !== null && body.messages !== undefined))
      throw badField("prompt", "give a prompt or messages, one of them", "missing_required_parameter");
    const prompt: Prompt = body.messages ? conversationOf({ messages: body.messages }) : (body.prompt ?? "");
    const responses = typeof body.responses === "string" ? [body.responses] : body.responses;
    const guides = guidesOf(context, body.guides, "guides");
    const { items, usage } = await scored(context, request, {
      guides,
      boundary: body.step,
      items: responses.map((response) => ({ prompt, response })),
    });
    return request.json({
      ...newAnswer("score"),
      object: "list",
      guides,
      data: items.map((item, index) => ({
        index,
        object: "score",
        scores: lastScores(item),
        steps: item.steps,
      })),
      usage,
    });
  });

  const classifySchema = z.strictObject({
    model: z.string().min(1).max(256),
    input: z.union([text, z.array(text).min(1).max(bounds.maxScored)]).nullish(),
    messages: messagesOf(bounds).nullish(),
    user: z.string().nullish(),
  });
  app.post("/classify", async (request) => {
    const body = await readJsonBody(request.env.incoming, classifySchema, bounds.maxBody);
    const guides = guidesOf(context, [body.model], "model");
    const { items, usage } = await scored(context, request, {
      guides,
      boundary: { by: "turn" },
      items: itemsOf(body),
    });
    return request.json({
      ...newAnswer("classify"),
      object: "list",
      model: body.model,
      data: items.map((item, index) => {
        const probs = Object.values(lastScores(item));
        return { index, label: body.model, probs, num_classes: probs.length };
      }),
      usage,
    });
  });
  const itemsOf = ({ input, messages }: z.output<typeof classifySchema>): ScoreJob["items"] => {
    if (messages) {
      const conversation = conversationOf({ messages });
      const last = conversation.at(-1);
      if (last?.role !== "assistant" || conversation.length < 2)
        throw badField("messages", "must end with the assistant's answer, behind what it answers");
      return [{ prompt: conversation.slice(0, -1), response: last.content }];
    }
    if (!input) throw badField("input", "give input or messages", "missing_required_parameter");
    const inputs = typeof input === "string" ? [input] : input;
    // A text by itself is an answer to nothing that is known.
    return inputs.map((response) => ({ prompt: [{ role: "user", content: "" }], response }));
  };

  const rerankSchema = z.strictObject({
    model: z.string().min(1).max(256),
    query: text,
    documents: z.array(text).min(1).max(bounds.maxScored),
    top_n: z.int().min(1).nullish(),
    return_documents: z.boolean().nullish(),
    user: z.string().nullish(),
  });
  const rerank = async (request: ServeRequest): Promise<Response> => {
    const { model, query, documents, top_n, return_documents } = await readJsonBody(
      request.env.incoming,
      rerankSchema,
      bounds.maxBody,
    );
    const guides = guidesOf(context, [model], "model");
    const { items, usage } = await scored(context, request, {
      guides,
      boundary: { by: "turn" },
      items: documents.map((response) => ({ prompt: query, response })),
    });
    const results = items.map((item, index) => ({
      index,
      relevance_score: lastScores(item)[model] ?? Number.NEGATIVE_INFINITY,
      ...(return_documents === false ? {} : { document: { text: documents[index] } }),
    }));
    const best = results.toSorted((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
    return request.json({
      ...newAnswer("rerank"),
      model,
      results: best.slice(0, top_n ?? best.length),
      usage,
    });
  };
  for (const path of ["/rerank", "/v1/rerank"]) app.post(path, rerank);
};
