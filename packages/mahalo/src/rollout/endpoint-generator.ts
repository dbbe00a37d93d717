/** An OpenAI-compatible endpoint as what continues responses: our exported models on a cluster, or anyone's model. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { hashBytes } from "../core/files.ts";
import { canonicalJson } from "../core/json.ts";
import { promptMessages } from "../data/rows/rows.ts";
import { type StepBoundary, stepEnds } from "../data/tokens/steps.ts";
import { cutText, textStepEnds } from "../data/tokens/text-steps.ts";
import { type SamplingInput, samplingContent, samplingOf } from "../decode/sampling.ts";
import { cachedAnswers } from "../endpoint/cached-answers.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { mapInOrder } from "../endpoint/limiter.ts";
import { endpointContent, endpointShape } from "../endpoint/options.ts";
import { type Sample, type SampleStart, sample } from "../endpoint/samples.ts";
import { cutIds, type EncodeRowOptions, encodeRow, type PrefixTokenizer } from "../scoring/prefix-ids.ts";
import type { Continuation, GenerationRequest, RolloutGenerator } from "./generator.ts";

/** Options of an endpoint that makes rollouts, as recipes and commands declare it. */
export const endpointGeneratorSchema = z.strictObject({
  ...endpointShape,
  api: z
    .enum(["chat", "completions"])
    .default("chat")
    .describe(
      "chat: messages, with continue_final_message to continue from a step; completions: the exact tokens, made by the tokenizer.",
    ),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe(
      "Model whose tokenizer and chat template make the tokens of api: completions, and count a sentence's tokens; its weights are not read. Default for completions: the recipe's model.",
    ),
  perRequest: z
    .int()
    .positive()
    .max(128)
    .default(1)
    .describe("Answers per request (n); above 1 they share one seed."),
  request: z
    .record(z.string(), z.json())
    .default({})
    .describe(
      "Further fields of the request, for example { top_k: 20 }; null removes a field that is otherwise sent, for endpoints that refuse it.",
    ),
});

/** {@link endpointGeneratorSchema} with defaults filled in. */
export type EndpointGeneratorOptions = z.output<typeof endpointGeneratorSchema>;

/** The part of the options that decides what the endpoint answers; keys, patience and bounds are left out. */
export const endpointGeneratorContent = (options: EndpointGeneratorOptions) => {
  const { api, tokenizer, perRequest, request } = options;
  return { ...endpointContent(options), api, tokenizer, perRequest, request };
};

/** How an endpoint continues. */
export type EndpointRolloutOptions = EncodeRowOptions & {
  step: StepBoundary;
  sampling: Omit<SamplingInput, "repetitionPenalty">;
  maxNewTokens: number;
  /** Makes tokens; needed for `api: completions`. In chat it is asked for the ends of steps only. */
  local?: (PrefixTokenizer & { /** What identifies it, for example a hash. */ content: unknown }) | undefined;
  /** How the endpoint is called. Default: by the options. */
  endpoint?: Endpoint | undefined;
  /**
   * Folder in which the answers of the batch under way are kept, so that a run that fails or is killed asks for none
   * twice. Default: they are kept nowhere, and the batch is asked for anew.
   */
  cache?: string | undefined;
};

/** A request with its place among all, and what its answer is kept under. */
type Asked = { request: GenerationRequest; at: number; key: string };

/** Jobs that one request answers: the same prefix, at most `size` together. */
const requestsOf = (asked: readonly Asked[], size: number): Asked[][] => {
  const groups: Asked[][] = [];
  for (const entry of asked) {
    const group = groups.at(-1);
    const before = group?.[0]?.request;
    const same = before?.row === entry.request.row && before.from === entry.request.from;
    if (group !== undefined && same && group.length < size) group.push(entry);
    else groups.push([entry]);
  }
  return groups;
};

/**
 * An endpoint as a generator.
 *
 * With `api: chat` a prompt is sent as messages, and a prefix inside a response as an assistant's message that is to be
 * gone on with; the endpoint's own template makes tokens of them. With `api: completions` the endpoint gets the very
 * tokens that training and our own generation have for prompt and prefix, cut to `maxPromptTokens`; there answers end at
 * the context of the model that lends its tokenizer at the latest. Either way the answer's text is put behind the prefix
 * as it comes, and its steps are found by the same boundaries.
 *
 * Every answer is sampled with its own seed, unless `perRequest` asks for several at once; an endpoint that gives fewer
 * than asked is asked for the rest. At most `concurrency` requests are under way; failed ones are tried again.
 *
 * @throws MahaloError E_ENDPOINT_KEY; E_ROLLOUT for completions without a tokenizer, or a plain prompt that is to be
 *   sent without a chat template; from `run`, what {@link Endpoint.post} throws
 */
export const endpointGenerator = (
  options: EndpointGeneratorOptions,
  { step, sampling, maxNewTokens, local, chat = true, maxPromptTokens, ...rest }: EndpointRolloutOptions,
): RolloutGenerator => {
  const endpoint = rest.endpoint ?? new Endpoint(options);
  const { api, perRequest, request, model, concurrency } = options;
  const { repetitionPenalty: _, ...settings } = samplingOf(sampling);
  const byTokens = api === "completions";
  if (byTokens && local === undefined) {
    throw new MahaloError("E_ROLLOUT", `${options.baseUrl}: api: completions needs a tokenizer`, {
      hint: "name the model whose tokenizer and chat template make the tokens, or take api: chat",
    });
  }

  const startOf = ({ row, from }: GenerationRequest): SampleStart => {
    const steps = row.steps.slice(0, from);
    if (byTokens) return { tokens: [...row.promptIds, ...steps.flatMap(({ ids }) => ids)] };
    return { messages: promptMessages(row.prompt), prefix: steps.map(({ text }) => text).join("") };
  };

  const continuation = ({ from }: GenerationRequest, { text, finish, tokens }: Sample): Continuation => {
    // The prefix ends with a step, so what follows is cut for itself.
    const cuts = textStepEnds(text, step, local?.tokenizer);
    // Only white space belongs to the step before it.
    const added = text.trim() === "" && from > 0 ? 0 : cuts.length;
    return { text, steps: from + added, finish, tokens, cuts };
  };

  /** Asks for answers to requests of one prefix, until each has one. */
  const ask = async (
    group: readonly Asked[],
    signals: { signal: AbortSignal | undefined; ending: AbortSignal },
    take: (asked: Asked, answer: Sample) => void,
  ): Promise<void> => {
    for (let done = 0; done < group.length; ) {
      const open = group.slice(done);
      const [first] = open;
      if (first === undefined) return;
      const start = startOf(first.request);
      const room =
        local !== undefined && "tokens" in start
          ? local.config.maxPositions - start.tokens.length
          : Number.POSITIVE_INFINITY;
      const wanted = {
        count: open.length,
        seed: first.request.seed,
        ...settings,
        request,
        maxNewTokens: Math.min(maxNewTokens, room),
      };
      const answers = await sample(endpoint, start, wanted, signals);
      for (const [index, answer] of answers.entries()) {
        const cut = answer.finish === "length" && room < maxNewTokens;
        const entry = open[index];
        if (entry !== undefined) take(entry, cut ? { ...answer, finish: "context" } : answer);
      }
      done += answers.length;
    }
  };

  const content = {
    kind: "endpoint",
    ...endpointGeneratorContent(options),
    tokenizer: local?.content,
    boundary: step,
    chat,
    maxPromptTokens: byTokens ? maxPromptTokens : undefined,
    sampling: samplingContent(settings),
    maxNewTokens,
  };
  const replies =
    rest.cache === undefined
      ? undefined
      : join(rest.cache, `answers-${hashBytes(canonicalJson(content)).slice(0, 16)}.jsonl`);

  return {
    name: model,
    content,
    prepare(prompt, response) {
      if (byTokens && local !== undefined) {
        const { promptIds, ids } = encodeRow(local, prompt, response, { chat, maxPromptTokens });
        const ends = (whole: readonly number[]): number[] => stepEnds(local.tokenizer, whole, step);
        return { prompt, promptIds, steps: cutIds(local.tokenizer, ids, ends) };
      }
      if (typeof prompt === "string" && !chat) {
        throw new MahaloError("E_ROLLOUT", `${options.baseUrl}: api: chat cannot send a plain prompt`, {
          hint: "take api: completions, or data.chat: true",
        });
      }
      const text = response ?? "";
      const steps = cutText(text, textStepEnds(text, step, local?.tokenizer));
      return { prompt, promptIds: [], steps: steps.map((step) => ({ text: step, ids: [] })) };
    },
    async run(requests, { signal, onDone } = {}) {
      const asked = requests.map((request, index): Asked => {
        const key = replies === undefined ? "" : hashBytes(canonicalJson([startOf(request), request.seed]));
        return { request, at: index, key };
      });
      const kept = replies === undefined ? undefined : await cachedAnswers(replies, asked);
      const answers: Continuation[] = [];
      const take = ({ request, at, key }: Asked, answer: Sample, cached = false): void => {
        if (!cached) kept?.add(key, answer);
        answers[at] = continuation(request, answer);
        onDone?.();
      };
      try {
        const missing = asked.filter((entry) => {
          const answer = kept?.known.get(entry.key);
          if (answer !== undefined) take(entry, answer, true);
          return answer === undefined;
        });
        await mapInOrder(
          requestsOf(missing, perRequest),
          concurrency,
          (group, _at, ending) => ask(group, { signal, ending }, take),
          signal,
        );
      } finally {
        kept?.close();
      }
      return answers;
    },
  };
};
