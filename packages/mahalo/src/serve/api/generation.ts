/** From a checked request to a job of the engine, and from its events to the answers of all choices. */
import { randomInt, randomUUID } from "node:crypto";
import { append } from "../../core/append.ts";
import { bug, element } from "../../core/need.ts";
import type { MixPlan } from "../../decode/mix-schedule.ts";
import type { Finish } from "../../decode/request.ts";
import type { Mix } from "../../model/heads/heads.ts";
import type { ChosenToken, EchoedToken, GenerateJob, JobEvent, PromptForm } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import type { Bounds } from "../options.ts";
import type { NamedModel } from "./asked-mix.ts";
import { biasOf, type SamplingFields, samplingOf, stopsOf } from "./fields.ts";
import { effortOf, type GuidanceField, guidanceOf } from "./guidance.ts";

/** What a route hands over beside the shared fields. */
export type Asked = {
  named: NamedModel;
  mix: MixPlan | undefined;
  prompts: readonly PromptForm[];
  fields: SamplingFields;
  maxTokens: number | undefined;
  logprobs: boolean;
  topLogprobs: number;
  /** Whether the prompts' own text is told. Default: not. */
  echo?: boolean | undefined;
  /** Searches for the answers. Default: they are sampled. */
  guidance?: { field: GuidanceField; served: readonly string[] } | undefined;
};

/** The job of a request. A request without a seed gets one of its own, which the answer tells. @throws ApiError 400 over budget */
export const jobOf = (
  { named, mix, prompts, fields, maxTokens, logprobs, topLogprobs, echo = false, guidance }: Asked,
  bounds: Bounds,
): GenerateJob => {
  const n = fields.n ?? 1;
  const longest = maxTokens ?? bounds.maxTokens;
  if (n * prompts.length > bounds.maxChoices)
    throw badField(
      "n",
      `${prompts.length} prompts with ${n} choices each are more than the ${bounds.maxChoices} answers of one request`,
    );
  const answers = n * prompts.length * effortOf(guidance?.field);
  if (answers * longest > bounds.maxRequestTokens)
    throw badField(
      "max_tokens",
      `${answers} answers of ${longest} tokens, candidates counted, are more than the ${bounds.maxRequestTokens} tokens of one request`,
    );
  if (guidance !== undefined && (logprobs || echo))
    throw badField("logprobs", "are not told of guided answers, nor is their prompt");
  const byStep = Array.isArray(mix) && mix.some(({ from }) => from !== undefined && "step" in from);
  if (byStep && guidance === undefined)
    throw badField("objective_weights", "phases by step need guidance, whose steps they count; give tokens");
  const bias = biasOf(fields);
  const { vocabSize } = named.info;
  const wrong = Object.keys(bias ?? {}).find((id) => Number(id) >= vocabSize);
  if (wrong !== undefined)
    throw badField(`logit_bias.${wrong}`, `is not one of the model's ${vocabSize} token ids`);
  const stop = stopsOf(fields);
  return {
    kind: "generate",
    model: named.info.id,
    prompts,
    n,
    mix,
    seed: fields.seed ?? randomInt(2 ** 47),
    maxNewTokens: longest,
    ...(echo ? { echo: { logprobs, top: topLogprobs } } : {}),
    ...(guidance === undefined ? {} : { guidance: guidanceOf(guidance.field, guidance.served, bounds) }),
    request: {
      sampling: samplingOf(fields),
      logprobs,
      ...(topLogprobs > 0 ? { topLogprobs } : {}),
      ...(stop.length > 0 ? { stop } : {}),
      ...(bias === undefined ? {} : { logitBias: bias }),
    },
  };
};

/** Tokens of a request and its answers, in OpenAI's words. */
export type Usage = {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  /** Of guided answers: tokens of all candidates, and tokens that guides read. */
  completion_tokens_details?: { generated_tokens: number; scored_tokens: number };
};

/** What has come of a job so far; one for each request. */
export class Tally {
  readonly #n: number;
  #promptTokens: readonly number[] = [];
  readonly #cached = new Map<number, number>();
  #completionTokens = 0;
  #searched: { generated: number; scored: number } | undefined;
  /** The mix of the answers, where it does not change on the way. */
  mix: Mix | undefined;

  constructor(n: number) {
    this.#n = n;
  }

  take(event: JobEvent): void {
    if (event.type === "prompts") {
      this.#promptTokens = event.tokens;
      this.mix = event.mix;
    } else if (event.type === "start") {
      // Of a prompt's choices the first counts: the others find it in memory because of that one.
      if (event.choice % this.#n === 0) this.#cached.set(event.choice, event.cachedTokens);
    } else if (event.type === "finish") {
      this.#completionTokens += event.tokens;
      if (event.searched === undefined) return;
      const { generated, scored } = this.#searched ?? { generated: 0, scored: 0 };
      this.#searched = {
        generated: generated + event.searched.generated,
        scored: scored + event.searched.scored,
      };
    }
  }

  get usage(): Usage {
    const sum = (counts: Iterable<number>): number => [...counts].reduce((total, count) => total + count, 0);
    const prompt = sum(this.#promptTokens);
    return {
      prompt_tokens: prompt,
      completion_tokens: this.#completionTokens,
      total_tokens: prompt + this.#completionTokens,
      prompt_tokens_details: { cached_tokens: sum(this.#cached.values()) },
      ...(this.#searched === undefined
        ? {}
        : {
            completion_tokens_details: {
              generated_tokens: this.#searched.generated,
              scored_tokens: this.#searched.scored,
            },
          }),
    };
  }
}

/** An id of an answer, and the second it was begun. */
export const newAnswer = (kind: string): { id: string; created: number } => ({
  id: `${kind}-${randomUUID()}`,
  created: Math.floor(Date.now() / 1000),
});

/** What all parts of one answer share. */
export type AnswerHead = { id: string; created: number; model: string; system_fingerprint: string };

/** @param model what the request calls its model */
export const answerHead = (kind: string, model: string, { info }: NamedModel): AnswerHead => ({
  ...newAnswer(kind),
  model,
  system_fingerprint: `mahalo_${info.hash}`,
});

/** What an answer says of how it came about, so that it can be asked for again. */
export type Provenance = { mix: MixPlan | null; seed: number; model_hash: string };

/** The vendor field of an answer. */
export const provenanceOf = (job: GenerateJob, { info }: NamedModel, mix: Mix | undefined): Provenance => ({
  mix: mix ?? job.mix ?? null,
  seed: job.seed,
  model_hash: info.hash,
});

/** One choice, whole; with its prompt where that was asked for. */
export type ChoiceAnswer = {
  text: string;
  finish: Finish;
  logprobs: ChosenToken[];
  echo?: { text: string; tokens: readonly EchoedToken[] };
};

/** Collects all choices of a job whose first event has been read. @throws what the job throws */
export const collect = async (
  events: AsyncIterable<JobEvent>,
  tally: Tally,
  { prompts, n }: Pick<GenerateJob, "prompts" | "n">,
): Promise<ChoiceAnswer[]> => {
  const places = Array.from({ length: prompts.length * n }, () => ({
    text: [] as string[],
    logprobs: [] as ChosenToken[],
  }));
  const finishes = new Map<number, Finish>();
  const echoes = new Map<number, { text: string; tokens: readonly EchoedToken[] }>();
  for await (const event of events) {
    tally.take(event);
    if (event.type === "delta") {
      const { text, logprobs } = element(places, event.choice, "choice");
      text.push(event.text);
      append(logprobs, event.logprobs ?? []);
    } else if (event.type === "finish") finishes.set(event.choice, event.finish);
    else if (event.type === "echo") echoes.set(event.prompt, event);
  }
  return places.map(({ text, logprobs }, choice) => {
    const echo = echoes.get(Math.floor(choice / n));
    return {
      text: text.join(""),
      finish: finishes.get(choice) ?? bug(`choice ${choice} did not end`),
      logprobs,
      ...(echo === undefined ? {} : { echo }),
    };
  });
};

/** Why an answer ended, in OpenAI's words. */
export const finishReason = (finish: Finish): "stop" | "length" =>
  finish === "end" || finish === "stop" ? "stop" : "length";
