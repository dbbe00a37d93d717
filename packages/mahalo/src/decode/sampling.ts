/** How the next token is chosen: the settings, their checks, and the choice itself as a pure function of logits. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import type { Random } from "../core/random.ts";
import type { GenerationDefaults } from "../model/folder/model-source.ts";
import { isUnpenalized, type LogitChanges } from "./logit-changes.ts";

const share = z.number().min(0).max(1);
const penalty = z.number().min(-2).max(2).default(0);

/**
 * Sampling settings one by one, named as in transformers and OpenAI's API, for schemas that add their own.
 *
 * @param temperature where none is given; at 0 the defaults take the likeliest token.
 */
export function samplingShape(temperature = 0) {
  return {
    temperature: z.number().nonnegative().default(temperature).describe("0 takes the most likely token."),
    topK: z
      .int()
      .nonnegative()
      .default(0)
      .describe("Sample only from the k most likely tokens; 0 means all."),
    topP: share
      .default(1)
      .describe("Sample from the most likely tokens that have this share of the probability."),
    minP: share
      .default(0)
      .describe("Leave out tokens below this share of the most likely token's probability."),
    repetitionPenalty: z.number().positive().default(1).describe("Above 1 makes used tokens less likely."),
    frequencyPenalty: penalty.describe(
      "Subtracted from a token's logit for each time that the answer has used it, from -2 to 2.",
    ),
    presencePenalty: penalty.describe(
      "Subtracted once from the logit of every token that the answer has used, from -2 to 2.",
    ),
  };
}

/** {@link samplingShape} as a schema. */
export const samplingSchema = z.strictObject(samplingShape());

/** Checked settings. */
export type Sampling = z.output<typeof samplingSchema>;

/** Settings as a caller gives them. */
export type SamplingInput = z.input<typeof samplingSchema>;

/** Settings with defaults filled in. @throws MahaloError E_SAMPLING naming the field */
export const samplingOf = (input: SamplingInput = {}): Sampling =>
  checkValue(input, samplingSchema, "sampling", { code: "E_SAMPLING" });

/**
 * A caller's settings over those of the model's makers.
 *
 * A model whose makers do not sample is greedy unless the caller gives a temperature; one whose makers do, but name no
 * temperature, samples at 1, as in transformers.
 */
export const samplingFor = (defaults: GenerationDefaults, input: SamplingInput = {}): Sampling => {
  const { sample = false, temperature = 1, ...rest } = defaults;
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
  const fallback = sample ? { temperature, ...rest } : { repetitionPenalty: rest.repetitionPenalty ?? 1 };
  const defined = Object.fromEntries(Object.entries(fallback).filter(([, value]) => value !== undefined));
  return samplingOf({ ...defined, ...given });
};

/**
 * Settings as content hashes take them: penalties that later versions added stand there only where they do something, so
 * that what was made without them keeps its name.
 */
export const samplingContent = <Settings extends { frequencyPenalty: number; presencePenalty: number }>({
  frequencyPenalty,
  presencePenalty,
  ...rest
}: Settings) => ({
  ...rest,
  ...(frequencyPenalty === 0 ? {} : { frequencyPenalty }),
  ...(presencePenalty === 0 ? {} : { presencePenalty }),
});

/** Whether the likeliest token is taken as it is, so that no logits need to leave the device. */
export const isPlainGreedy = (sampling: Sampling): boolean =>
  sampling.temperature === 0 && isUnpenalized(sampling);

/** Index of the largest value; the first of equals. */
const argmax = (values: Float32Array): number => {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
};

/** The error of logits without a finite largest. */
export const notFinite = (): MahaloError =>
  new MahaloError("E_LOGITS", "the model's logits are not finite", {
    hint: "its weights may be damaged; load it in float32 to see whether the precision is at fault",
    exitStatus: 1,
  });

/** Index of the largest logit. @throws MahaloError E_LOGITS where it is not finite */
const finiteArgmax = (logits: Float32Array): number => {
  const best = argmax(logits);
  if (Number.isFinite(logits[best])) return best;
  throw notFinite();
};

/** Tokens that may be chosen, likeliest first where the order matters, and their unnormalised probabilities. */
type Candidates = { ids: Int32Array; weights: Float64Array };

/** All tokens with e^((logit - largest) / temperature). */
const weigh = (logits: Float32Array, temperature: number): Candidates => {
  const largest = logits[argmax(logits)] as number;
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp(((logits[i] as number) - largest) / temperature);
  }
  return { ids: Int32Array.from(logits.keys()), weights };
};

/** The candidates that `keep` accepts, in the same order. */
const filter = ({ ids, weights }: Candidates, keep: (weight: number) => boolean): Candidates => {
  const kept: number[] = [];
  for (let i = 0; i < weights.length; i++) if (keep(weights[i] as number)) kept.push(i);
  return {
    ids: Int32Array.from(kept, (i) => ids[i] as number),
    weights: Float64Array.from(kept, (i) => weights[i] as number),
  };
};

/** Likeliest first; equals in the order of their ids. */
const sorted = ({ ids, weights }: Candidates): Candidates => {
  const order = [...weights.keys()].sort((a, b) => (weights[b] as number) - (weights[a] as number) || a - b);
  return {
    ids: Int32Array.from(order, (i) => ids[i] as number),
    weights: Float64Array.from(order, (i) => weights[i] as number),
  };
};

const total = (weights: Float64Array): number => weights.reduce((sum, weight) => sum + weight, 0);

/** The likeliest candidates above a falling bound, until `enough` says that the rest is not needed; sorted. */
const head = (all: Candidates, enough: (some: Candidates) => boolean): Candidates => {
  for (let bound = 2 ** -4; bound > 2 ** -60; bound *= 2 ** -4) {
    const some = filter(all, (weight) => weight >= bound);
    if (enough(some)) return sorted(some);
  }
  return sorted(all);
};

/** The k likeliest, and those that equal the last of them, as in transformers. */
const keepTopK = (all: Candidates, k: number): Candidates => {
  if (k === 0 || k >= all.ids.length) return all;
  const top = head(all, ({ ids }) => ids.length >= k);
  const least = top.weights[k - 1] as number;
  return filter(top, (weight) => weight >= least);
};

/** The fewest likeliest tokens whose probabilities sum to p or more. */
const keepTopP = (all: Candidates, p: number): Candidates => {
  if (p >= 1) return all;
  const enough = p * total(all.weights);
  const top = head(all, ({ weights }) => total(weights) >= enough);
  let sum = 0;
  let count = 0;
  while (count < top.weights.length && (count === 0 || sum < enough)) sum += top.weights[count++] as number;
  return { ids: top.ids.slice(0, count), weights: top.weights.slice(0, count) };
};

const keepMinP = (all: Candidates, p: number): Candidates => {
  if (p === 0) return all;
  // The likeliest token's weight is 1, whatever was left out before.
  return filter(all, (weight) => weight >= p);
};

/**
 * Candidates and their probabilities after bias and penalties, temperature, top-k, top-p and min-p, in this order.
 *
 * @param logits [V]; overwritten
 * @param changes what bias and penalties change of them
 */
export const tokenDistribution = (
  logits: Float32Array,
  sampling: Sampling,
  changes?: LogitChanges | undefined,
): Candidates => {
  changes?.apply(logits);
  const best = finiteArgmax(logits);
  if (sampling.temperature === 0) return { ids: Int32Array.of(best), weights: Float64Array.of(1) };
  const all = weigh(logits, sampling.temperature);
  const kept = keepMinP(keepTopP(keepTopK(all, sampling.topK), sampling.topP), sampling.minP);
  const sum = total(kept.weights);
  return { ids: kept.ids, weights: kept.weights.map((weight) => weight / sum) };
};

/** Draws a token: one uniform number a token, so that a row's draws depend on nothing but its own stream. */
export const drawToken = ({ ids, weights }: Candidates, random: Random): number => {
  let left = random.next();
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i] as number;
    if (left < 0) return ids[i] as number;
  }
  // Rounding may leave a little over; the last token with any probability takes it.
  const last = weights.findLastIndex((weight) => weight > 0);
  return ids[last] as number;
};

/** Probabilities of one draw before they are scaled; kept from draw to draw, since a vocabulary is large. */
let scratch = new Float64Array(0);

/** A draw from all tokens, number for number as {@link tokenDistribution} and {@link drawToken} make it, without lists. */
const drawFromAll = (logits: Float32Array, temperature: number, random: Random): number => {
  const largest = logits[finiteArgmax(logits)] as number;
  const size = logits.length;
  if (scratch.length < size) scratch = new Float64Array(size);
  const weights = scratch;
  let sum = 0;
  for (let i = 0; i < size; i++) {
    const weight = Math.exp(((logits[i] as number) - largest) / temperature);
    weights[i] = weight;
    sum += weight;
  }
  let left = random.next();
  let last = 0;
  for (let i = 0; i < size; i++) {
    const share = (weights[i] as number) / sum;
    left -= share;
    if (left < 0) return i;
    if (share > 0) last = i;
  }
  return last;
};

/** How {@link chooseToken} computes. */
export type ChooseOptions = {
  /** A draw from all tokens makes no list of them (default). False: always through {@link tokenDistribution}. */
  direct?: boolean;
};

/**
 * The next token: what {@link drawToken} draws from {@link tokenDistribution}.
 *
 * @param logits [V]; overwritten
 * @param changes what bias and penalties change of them
 */
export const chooseToken = (
  logits: Float32Array,
  sampling: Sampling,
  changes: LogitChanges | undefined,
  random: Random,
  { direct = true }: ChooseOptions = {},
): number => {
  const { temperature, topK, topP, minP } = sampling;
  const all = temperature > 0 && topK === 0 && topP >= 1 && minP === 0;
  if (!(direct && all)) return drawToken(tokenDistribution(logits, sampling, changes), random);
  changes?.apply(logits);
  return drawFromAll(logits, temperature, random);
};
