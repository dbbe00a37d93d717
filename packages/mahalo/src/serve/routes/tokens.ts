/** POST /tokenize and /detokenize: text or a conversation into the model's tokens, and back. */
import { z } from "zod";
import { modelOf } from "../api/asked-mix.ts";
import { chatRequestSchema, conversationOf } from "../api/chat-request.ts";
import type { Route } from "../context.ts";
import type { PromptForm } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import { readJsonBody } from "../http/body.ts";
import { only } from "./streaming.ts";

const model = z.string().min(1).max(1024);

const detokenizeSchema = z.strictObject({ model, tokens: z.array(z.int().min(0)).max(1_000_000) });

/** The routes of tokens. */
export const tokensRoute: Route = (app, { engine, options: { bounds }, signalOf }) => {
  const tokenizeSchema = z.strictObject({
    model,
    prompt: z.string().nullish(),
    messages: chatRequestSchema(bounds).shape.messages.nullish(),
  });
  const promptOf = ({ prompt, messages }: z.output<typeof tokenizeSchema>): PromptForm => {
    if (messages && typeof prompt === "string")
      throw badField("prompt", "give a prompt or messages, not both");
    if (messages) return { messages: conversationOf({ messages }) };
    if (typeof prompt === "string") return { text: prompt };
    throw badField("prompt", "give a prompt or messages", "missing_required_parameter");
  };
  app.post("/tokenize", async (request) => {
    const body = await readJsonBody(request.env.incoming, tokenizeSchema, bounds.maxBody);
    const { info } = modelOf(engine.models, body.model);
    const job = { kind: "tokenize" as const, model: info.id, prompt: promptOf(body) };
    const event = await only(engine.submit(job, signalOf(request)), "tokens");
    const { ids: tokens } = event;
    return request.json({ count: tokens.length, max_model_len: info.contextLength, tokens });
  });
  app.post("/detokenize", async (request) => {
    const body = await readJsonBody(request.env.incoming, detokenizeSchema, bounds.maxBody);
    const { info } = modelOf(engine.models, body.model);
    const wrong = body.tokens.findIndex((id) => id >= info.vocabSize);
    if (wrong >= 0)
      throw badField(`tokens[${wrong}]`, `is not one of the model's ${info.vocabSize} token ids`);
    const job = { kind: "detokenize" as const, model: info.id, ids: body.tokens };
    const event = await only(engine.submit(job, signalOf(request)), "text");
    return request.json({ prompt: event.text });
  });
};
