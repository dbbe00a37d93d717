/** Sampled answers of an endpoint: they go on from a conversation, from its open last turn, or from tokens. */
import { z } from "zod";
import { endpointMessages, type Message } from "../data/rows/messages.ts";
import type { Finish } from "../decode/request.ts";
import type { Sampling } from "../decode/sampling.ts";
import { replyMessageSchema } from "./chat.ts";
import type { CallOptions, Endpoint } from "./endpoint.ts";

/** What answers go on from. */
export type SampleStart =
  | {
      /** A conversation; an answer is its next turn, or goes on inside its last one. */
      messages: readonly Message[];
      /** Text that the answer has already; it goes on behind it. Default "". */
      prefix?: string | undefined;
    }
  | {
      /** Tokens of prompt and prefix together. */
      tokens: readonly number[];
    };

/** Options that decide what is sampled; topK, minP and penalties are sent only where they are not 0. */
export type SampleOptions = Omit<Sampling, "repetitionPenalty"> & {
  /** How many answers are asked for. */
  count: number;
  seed: number;
  maxNewTokens: number;
  /** Further fields of the request; null takes out one that is sent otherwise. */
  request: Readonly<Record<string, unknown>>;
};

/** One answer. */
export type Sample = {
  /** The text behind where it goes on. */
  text: string;
  finish: Finish;
  /** Tokens generated, where the endpoint says. */
  tokens: number | undefined;
};

/** Endpoints' words for why an answer ended. */
const finishes = new Map<string, Finish>([
  ["stop", "end"],
  ["eos", "end"],
  ["eos_token", "end"],
  ["end_turn", "end"],
  ["stop_sequence", "stop"],
  ["content_filter", "stop"],
  ["length", "length"],
  ["max_tokens", "length"],
]);

/** What a choice says of its end. One that was broken off (`abort`, `error`) or asks for a tool is no answer. */
const ended = {
  index: z.int().nullish(),
  finish_reason: z
    .string()
    .nullish()
    .refine((word) => !word || finishes.has(word), {
      error: ({ input }) =>
        `"${String(input)}" is not a reason why an answer ended (known: ${[...finishes.keys()].join(", ")})`,
    }),
  // The stop string that was met, as vLLM and SGLang say it.
  stop_reason: z.unknown().optional(),
  matched_stop: z.unknown().optional(),
};

const usage = z.looseObject({ completion_tokens: z.int().nonnegative() }).nullish().catch(undefined);

const chatSchema = z.looseObject({
  choices: z
    .array(
      z
        .looseObject({ ...ended, message: replyMessageSchema })
        .transform(({ message, ...rest }) => ({ ...rest, text: message.content ?? "" })),
    )
    .min(1),
  usage,
});

const completionsSchema = z.looseObject({
  choices: z.array(z.looseObject({ ...ended, text: z.string() })).min(1),
  usage,
});

type Choice = z.output<typeof completionsSchema>["choices"][number];

const finishOf = ({ finish_reason, stop_reason, matched_stop }: Choice): Finish => {
  const finish = finishes.get(finish_reason ?? "") ?? "end";
  const stopped = [stop_reason, matched_stop].some((word) => typeof word === "string" && word !== "");
  return finish === "end" && stopped ? "stop" : finish;
};

const bodyOf = (
  start: SampleStart,
  { count, seed, temperature, topP, topK, minP, maxNewTokens, request, ...penalties }: SampleOptions,
  model: string,
): Record<string, unknown> => {
  const { frequencyPenalty, presencePenalty } = penalties;
  const fields: Record<string, unknown> = {
    model,
    temperature,
    top_p: topP,
    ...(topK > 0 ? { top_k: topK } : {}),
    ...(minP > 0 ? { min_p: minP } : {}),
    ...(frequencyPenalty === 0 ? {} : { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty === 0 ? {} : { presence_penalty: presencePenalty }),
    max_tokens: maxNewTokens,
    ...(count > 1 ? { n: count } : {}),
    seed,
    stream: false,
    ...request,
  };
  if ("tokens" in start) fields.prompt = start.tokens;
  else if (start.prefix === undefined || start.prefix === "")
    Object.assign(fields, endpointMessages(start.messages));
  else {
    Object.assign(
      fields,
      endpointMessages([...start.messages, { role: "assistant", content: start.prefix }]),
    );
    fields.continue_final_message = true;
    fields.add_generation_prompt = false;
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
};

/**
 * Asks an endpoint for answers: `chat/completions` for a conversation, `completions` for tokens.
 *
 * An answer that has a prefix is asked for as an assistant's message left open (`continue_final_message`), as vLLM,
 * SGLang, llama.cpp and text-generation-inference take it.
 *
 * @returns at least one answer and at most `count`, in the endpoint's order; some endpoints give fewer than asked
 * @throws MahaloError as {@link Endpoint.post}; a reply without choices, or with one that has no end, is tried again
 */
export const sample = async (
  endpoint: Endpoint,
  start: SampleStart,
  options: SampleOptions,
  call: CallOptions = {},
): Promise<Sample[]> => {
  const body = bodyOf(start, options, endpoint.options.model);
  const reply =
    "tokens" in start
      ? await endpoint.post("completions", body, completionsSchema, call)
      : await endpoint.post("chat/completions", body, chatSchema, call);
  // The count is that of all choices together.
  const tokens = reply.choices.length === 1 ? reply.usage?.completion_tokens : undefined;
  return [...reply.choices]
    .sort((a, b) => (a.index ?? 0) - (b.index ?? 0))
    .slice(0, options.count)
    .map((choice) => ({ text: choice.text, finish: finishOf(choice), tokens }));
};
