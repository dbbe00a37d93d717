/** One request to answer: its prompt, mix, sampling and limits, and the state of its answer as tokens come. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { append } from "../core/append.ts";
import { checkValue } from "../core/json.ts";
import { type Random, rng } from "../core/random.ts";
import { type StepBoundary, StepScanner, stepBoundarySchema } from "../data/tokens/steps.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { isUnpenalized, LogitChanges } from "./logit-changes.ts";
import { type MixPlan, MixSchedule } from "./mix-schedule.ts";
import { chooseToken, isPlainGreedy, type Sampling, type SamplingInput, samplingOf } from "./sampling.ts";
import { TextStream } from "./text-stream.ts";
import type { TokenLogprob } from "./token-logprobs.ts";

/** What is asked of a model. */
export type GenerateRequest = {
  /** Token ids of the prompt, at least one. */
  ids: readonly number[];
  /**
   * Weights over the model's objectives, or phases of an answer with weights each. Default: all alike; a model without
   * objectives answers with its one head.
   */
  mix?: MixPlan | undefined;
  sampling?: SamplingInput | undefined;
  /** Added to the logits of tokens before anything else, from -100 to 100 by token id. */
  logitBias?: Readonly<Record<number, number>> | undefined;
  /** The answer's random stream derives from it. Default 0. */
  seed?: number | undefined;
  /** Longest answer in tokens. Default 256. */
  maxNewTokens?: number | undefined;
  /** Strings that end the answer; they are no part of it. */
  stop?: readonly string[] | undefined;
  /** What ends a step: its name, or `{ by: "sentence", minTokens: 12 }`. Default: the answer has no steps. */
  step?: StepBoundary | StepBoundary["by"] | undefined;
  /** Whether to tell every token's log-probability under its mix, before sampling settings. Default false. */
  logprobs?: boolean | undefined;
  /** How many of the likeliest tokens to tell with each token, up to 20; needs `logprobs`. Default 0. */
  topLogprobs?: number | undefined;
  /** Whether to tell why each token was chosen, by objective. Default false. */
  attribution?: boolean | undefined;
};

/** Why an answer ended: an end token, a stop string, the asked length, or the model's context. */
export const finishes = ["end", "stop", "length", "context"] as const;

/** Why an answer ended. */
export type Finish = (typeof finishes)[number];

/** A finished answer. */
export type Completion = {
  text: string;
  /** Tokens of the answer; a closing end token is among them. */
  ids: number[];
  finish: Finish;
  /** Log-probability of each token, where the request asks for `logprobs`. */
  logprobs?: number[];
  /** The likeliest tokens in place of each token, likeliest first, where the request asks for `topLogprobs`. */
  topLogprobs?: (readonly TokenLogprob[])[];
};

const requestSchema = z.looseObject({
  ids: z.array(z.int()).min(1, "a prompt needs at least one token"),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  maxNewTokens: z.int().min(1).default(256),
  stop: z.array(z.string().min(1, "a stop string must not be empty")).default([]),
  step: stepBoundarySchema.optional(),
  logprobs: z.boolean().default(false),
  topLogprobs: z.int().min(0).max(20).default(0),
  attribution: z.boolean().default(false),
  logitBias: z.record(z.string(), z.number().min(-100).max(100)).default({}),
});

/** Refuses what is no token of the model. */
const checkId = (id: number, vocabSize: number, where: string): void => {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
  throw new MahaloError("E_TOKEN_ID", `${where}: token id ${id} is not one of the model's ${vocabSize}`);
};

/** Biases by token id; those that change nothing are left out. @throws MahaloError E_TOKEN_ID */
const biasOf = (
  logitBias: Readonly<Record<string, number>>,
  vocabSize: number,
  where: string,
): Map<number, number> => {
  const entries = Object.entries(logitBias).map(([key, bias]): [number, number] => {
    const id = /^\d+$/.test(key) ? Number(key) : Number.NaN;
    if (Number.isNaN(id)) {
      throw new MahaloError("E_TOKEN_ID", `${where}: logitBias: "${key}" is not a token id`);
    }
    checkId(id, vocabSize, `${where}: logitBias`);
    return [id, bias];
  });
  return new Map(entries.filter(([, bias]) => bias !== 0));
};

/** What a token that is taken in brings about. */
export type Accepted = {
  /** Text that has become certain. */
  text: string;
  /** Why the answer ends, if it does. */
  finish: Finish | undefined;
  /** Whether a step is complete with it. */
  step: boolean;
};

/** An answer in the making: what a decoding loop needs to know of one row. */
export class Sequence {
  readonly promptIds: readonly number[];
  readonly ids: number[] = [];
  readonly sampling: Sampling;
  /** What bias and penalties change of its logits; undefined where the request asks for neither. */
  readonly changes: LogitChanges | undefined;
  /** Whether each token's log-probability is asked for. */
  readonly wantsLogprobs: boolean;
  /** How many of the likeliest tokens are asked for with each token. */
  readonly topLogprobs: number;
  /** Whether it is asked why each token was chosen. */
  readonly wantsAttribution: boolean;
  /** Longest that prompt and answer together may get. */
  readonly mostTokens: number;
  readonly #model: LanguageModel;
  #schedule: MixSchedule | undefined;
  readonly #request: GenerateRequest;
  readonly #limit: number;
  #random: Random;
  #stream: TextStream;
  #scanner: StepScanner | undefined;
  readonly #logprobs: number[] = [];
  readonly #topLogprobs: (readonly TokenLogprob[])[] = [];
  /** How many tokens the answer had when each of its steps was complete. */
  readonly #stepEnds: number[] = [];
  #text = "";

  /**
   * @param where what errors call the request
   * @throws MahaloError E_GENERATE_REQUEST, E_GENERATE_CONTEXT (the prompt fills the context), E_TOKEN_ID, E_SAMPLING,
   *   and E_MIX_*
   */
  constructor(model: LanguageModel, request: GenerateRequest, where = "request") {
    const checked = checkValue(request, requestSchema, where, { code: "E_GENERATE_REQUEST" });
    const { ids, seed, maxNewTokens, stop, step, logprobs, topLogprobs, attribution, logitBias } = checked;
    const { maxPositions, vocabSize } = model.config;
    for (const id of ids) checkId(id, vocabSize, where);
    const bias = biasOf(logitBias, vocabSize, where);
    if (ids.length >= maxPositions) {
      throw new MahaloError(
        "E_GENERATE_CONTEXT",
        `${where}: a prompt of ${ids.length} tokens leaves no room in the model's context of ${maxPositions}`,
        { hint: "shorten the prompt" },
      );
    }
    if (topLogprobs > 0 && !logprobs) {
      throw new MahaloError("E_GENERATE_REQUEST", `${where}: topLogprobs: needs logprobs: true`);
    }
    if (attribution && model.heads.objectives.length === 0) {
      throw new MahaloError("E_MIX_NO_HEADS", `${where}: attribution: the model has no heads for objectives`);
    }
    this.promptIds = ids;
    this.#schedule = MixSchedule.of(request.mix, model.heads.objectives, where, step !== undefined);
    this.sampling = samplingOf(request.sampling);
    const unchanged = bias.size === 0 && isUnpenalized(this.sampling);
    this.changes = unchanged ? undefined : new LogitChanges(this.sampling, { bias, prompt: ids });
    this.wantsLogprobs = logprobs;
    this.topLogprobs = topLogprobs;
    this.wantsAttribution = attribution;
    this.mostTokens = Math.min(ids.length + maxNewTokens, maxPositions);
    this.#model = model;
    this.#request = request;
    this.#random = rng(seed, "generate");
    this.#limit = maxNewTokens;
    this.#stream = new TextStream(model.tokenizer, stop);
    this.#scanner = step === undefined ? undefined : new StepScanner(model.tokenizer, step);
  }

  /** Whole steps of the answer so far; 0 where the request declares no boundary. */
  get steps(): number {
    return this.#stepEnds.length;
  }

  /** Tokens of prompt and answer. */
  get length(): number {
    return this.promptIds.length + this.ids.length;
  }

  /** Weights of the next token; undefined where the model has one head. */
  get mix(): Mix | undefined {
    return this.#schedule?.at(this.ids.length, this.steps);
  }

  /** {@link mix} where the model's adapters read tokens under it; undefined where it has none, and all mixes read alike. */
  get adapterMix(): Mix | undefined {
    return this.adapterMixAt(this.ids.length);
  }

  /** What {@link adapterMix} was when the answer had so many tokens: the prompt is read at 0, its first token at 1. */
  adapterMixAt(tokens: number): Mix | undefined {
    if (this.#model.backbone.adapters === undefined) return undefined;
    return this.#schedule?.at(tokens, this.#stepEnds.filter((end) => end <= tokens).length);
  }

  /**
   * Puts what is still to come under other weights.
   *
   * @returns the mixes of the whole answer, which repeat it in a request of its own
   * @throws MahaloError E_MIX_NO_HEADS, E_MIX_SCHEDULE for an answer whose mix changes by steps, and E_MIX_* of a wrong mix
   */
  steer(mix: Mix, where = "request"): MixPlan {
    if (this.#schedule === undefined)
      throw new MahaloError("E_MIX_NO_HEADS", `${where}: mix: the model has no heads for objectives`);
    this.#schedule = this.#schedule.steered(mix, this.#model.heads.objectives, this.ids.length, where);
    return this.#schedule.plan;
  }

  /** A name of {@link mix}: rows of the same name share a head. */
  get mixKey(): string {
    return this.#schedule?.keyAt(this.ids.length, this.steps) ?? "";
  }

  /** Whether the likeliest token is all that {@link choose} would look at. */
  get greedy(): boolean {
    return this.changes === undefined && isPlainGreedy(this.sampling);
  }

  /** The next number of the answer's random stream, in [0, 1). */
  uniform(): number {
    return this.#random.next();
  }

  /** Chooses the next token from its logits [V], which it may overwrite. */
  choose(logits: Float32Array): number {
    return chooseToken(logits, this.sampling, this.changes, this.#random);
  }

  /** Takes the next token in, with its log-probability and the likeliest tokens' where they are asked for. */
  accept(id: number, logprob?: number, topLogprobs?: readonly TokenLogprob[]): Accepted {
    this.ids.push(id);
    this.changes?.accept(id);
    if (logprob !== undefined) this.#logprobs.push(logprob);
    if (topLogprobs !== undefined) this.#topLogprobs.push(topLogprobs);
    const ended = this.#model.tokenizer.eosIds.includes(id);
    const pushed = ended ? { text: "", stopped: false } : this.#stream.push(id);
    const finish = ended ? "end" : pushed.stopped ? "stop" : this.#full();
    const rest =
      finish !== undefined && finish !== "stop" ? this.#stream.end() : { text: "", stopped: false };
    const text = pushed.text + rest.text;
    this.#text += text;
    const step = this.#endsStep(id, finish !== undefined);
    if (step) this.#stepEnds.push(this.ids.length);
    // What was held back may hold a stop string only whole characters reveal.
    return { text, finish: rest.stopped && finish !== "end" ? "stop" : finish, step };
  }

  /** Whether a step is complete: at its boundary, or as the answer ends in the middle of it. */
  #endsStep(id: number, last: boolean): boolean {
    if (this.#scanner === undefined) return false;
    const blank = this.#scanner.blank;
    const ended = this.#scanner.push(id);
    // An end token right behind a step is no step of its own.
    if (ended) return !(blank && this.#model.tokenizer.eosIds.includes(id));
    return last && !this.#scanner.blank;
  }

  /** Ends the answer where it is: what was held back of its text comes out. */
  end(): void {
    this.#text += this.#stream.end().text;
  }

  /** The text that is certain so far. */
  get text(): string {
    return this.#text;
  }

  /** A copy that goes on by itself, with a random stream of its own. */
  fork(random: Random): Sequence {
    const copy = new Sequence(this.#model, this.#request);
    append(copy.ids, this.ids);
    for (const id of this.ids) copy.changes?.accept(id);
    copy.#schedule = this.#schedule;
    copy.#random = random;
    copy.#stream = this.#stream.fork();
    copy.#scanner = this.#scanner?.fork();
    append(copy.#logprobs, this.#logprobs);
    append(copy.#topLogprobs, this.#topLogprobs);
    append(copy.#stepEnds, this.#stepEnds);
    copy.#text = this.#text;
    return copy;
  }

  #full(): Finish | undefined {
    if (this.ids.length >= this.#limit) return "length";
    return this.length >= this.#model.config.maxPositions ? "context" : undefined;
  }

  completion(finish: Finish): Completion {
    const logprobs = this.wantsLogprobs ? { logprobs: [...this.#logprobs] } : {};
    const top = this.topLogprobs > 0 ? { topLogprobs: [...this.#topLogprobs] } : {};
    return { text: this.#text, ids: [...this.ids], finish, ...logprobs, ...top };
  }
}
