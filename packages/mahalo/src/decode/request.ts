/** One request to answer: its prompt, mix, sampling and limits, and the state of its answer as tokens come. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import { type Random, stream } from "../core/random.ts";
import { type Mix, normalizeMix } from "../model/heads.ts";
import type { LanguageModel } from "../model/load.ts";
import { chooseToken, isPlainGreedy, type Sampling, type SamplingInput, samplingOf } from "./sampling.ts";
import { TextStream } from "./text-stream.ts";

/** What is asked of a model. */
export type GenerateRequest = {
  /** Token ids of the prompt, at least one. */
  ids: readonly number[];
  /** Weights over the model's objectives. Default: all alike; a model without objectives answers with its one head. */
  mix?: Mix | undefined;
  sampling?: SamplingInput | undefined;
  /** The answer's random stream derives from it. Default 0. */
  seed?: number | undefined;
  /** Longest answer in tokens. Default 256. */
  maxNewTokens?: number | undefined;
  /** Strings that end the answer; they are no part of it. */
  stop?: readonly string[] | undefined;
};

/** Why an answer ended: an end token, a stop string, the asked length, or the model's context. */
export type Finish = "end" | "stop" | "length" | "context";

/** A finished answer. */
export type Completion = {
  text: string;
  /** Tokens of the answer; a closing end token is among them. */
  ids: number[];
  finish: Finish;
};

const requestSchema = z.looseObject({
  ids: z.array(z.int()).min(1, "a prompt needs at least one token"),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
  maxNewTokens: z.int().min(1).default(256),
  stop: z.array(z.string().min(1, "a stop string must not be empty")).default([]),
});

/** The mix of a request, checked: undefined for a model that has no objectives. */
const mixOf = (mix: Mix | undefined, objectives: readonly string[]): Mix | undefined => {
  if (objectives.length === 0) {
    if (mix === undefined) return undefined;
    throw new MahaloError("E_MIX_NO_HEADS", "mix: the model has no heads for objectives", {
      hint: "leave the mix out, or use a model that align has made",
    });
  }
  const weights = mix ?? Object.fromEntries(objectives.map((name) => [name, 1]));
  return Object.fromEntries(normalizeMix(weights, objectives));
};

/** An answer in the making: what a decoding loop needs to know of one row. */
export class Answer {
  readonly promptIds: readonly number[];
  readonly ids: number[] = [];
  /** Normalised; undefined where the model has one head. */
  mix: Mix | undefined;
  readonly sampling: Sampling;
  readonly #model: LanguageModel;
  readonly #random: Random;
  readonly #limit: number;
  readonly #stream: TextStream;
  #text = "";

  /**
   * @param where what errors call the request
   * @throws MahaloError E_GENERATE_REQUEST, E_GENERATE_CONTEXT (the prompt fills the context), E_SAMPLING, and E_MIX_*
   */
  constructor(model: LanguageModel, request: GenerateRequest, where = "request") {
    const { ids, seed, maxNewTokens, stop } = checkValue(request, requestSchema, where, {
      code: "E_GENERATE_REQUEST",
    });
    const { maxPositions } = model.config;
    if (ids.length >= maxPositions) {
      throw new MahaloError(
        "E_GENERATE_CONTEXT",
        `${where}: a prompt of ${ids.length} tokens leaves no room in the model's context of ${maxPositions}`,
        { hint: "shorten the prompt" },
      );
    }
    this.promptIds = ids;
    this.mix = mixOf(request.mix, model.heads.objectives);
    this.sampling = samplingOf(request.sampling);
    this.#model = model;
    this.#random = stream(seed, "generate");
    this.#limit = maxNewTokens;
    this.#stream = new TextStream(model.codec, stop);
  }

  /** Whether the likeliest token is all that {@link choose} would look at. */
  get greedy(): boolean {
    return isPlainGreedy(this.sampling);
  }

  /** Chooses the next token from its logits [V], which it may overwrite. */
  choose(logits: Float32Array): number {
    return chooseToken(logits, this.sampling, () => [...this.promptIds, ...this.ids], this.#random);
  }

  /** Takes the next token in; gives the text that has become certain, and why the answer ends if it does. */
  accept(id: number): { text: string; finish: Finish | undefined } {
    this.ids.push(id);
    const ended = this.#model.codec.eosIds.includes(id);
    const pushed = ended ? { text: "", stopped: false } : this.#stream.push(id);
    const finish = ended ? "end" : pushed.stopped ? "stop" : this.#full();
    const rest =
      finish !== undefined && finish !== "stop" ? this.#stream.end() : { text: "", stopped: false };
    const text = pushed.text + rest.text;
    this.#text += text;
    // What was held back may hold a stop string only whole characters reveal.
    return { text, finish: rest.stopped && finish !== "end" ? "stop" : finish };
  }

  #full(): Finish | undefined {
    if (this.ids.length >= this.#limit) return "length";
    return this.promptIds.length + this.ids.length >= this.#model.config.maxPositions ? "context" : undefined;
  }

  completion(finish: Finish): Completion {
    return { text: this.#text, ids: [...this.ids], finish };
  }
}
