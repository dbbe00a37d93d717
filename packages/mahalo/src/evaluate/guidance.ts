/** What guided search gains: results, tokens and time of every policy with and without guidance, and their table. */
import { z } from "zod";
import { mean } from "../core/mean.ts";
import { freeName } from "../core/names.ts";
import { need, zip } from "../core/need.ts";
import { rng } from "../core/random.ts";
import { type Estimate, estimate, pairedDifference } from "./intervals.ts";
import { estimateSchema } from "./results.ts";

/** The version written now; a reader refuses others. */
export const guidanceVersion = 1;

const weights = z.record(freeName, z.number());

/** One policy under one guidance. */
export const guidedPointSchema = z.strictObject({
  policy: z.string(),
  /** Weights of the heads, where it has any. */
  mix: weights.optional(),
  /** Weights of the guides; left out where nothing guides it. */
  guidance: weights.optional(),
  /** By objective. */
  results: z.record(freeName, estimateSchema),
  /** Mean paired difference from the same policy unguided, by objective. */
  gains: z.record(freeName, estimateSchema).optional(),
  /** Tokens a prompt. */
  tokens: z.strictObject({ answer: z.number(), generated: z.number(), scored: z.number() }),
  /** Seconds a prompt, whatever else the machine did. */
  seconds: z.number().nonnegative(),
});

/** All of guidance.json. */
export const guidanceSchema = z.strictObject({
  format: z.literal("mahalo-guidance"),
  version: z.literal(guidanceVersion),
  name: z.string(),
  seed: z.int(),
  prompts: z.int().positive(),
  search: z.record(z.string(), z.json()),
  sampling: z.record(z.string(), z.json()),
  maxNewTokens: z.int().positive(),
  points: z.array(guidedPointSchema).min(1),
});

export type GuidedPoint = z.infer<typeof guidedPointSchema>;
export type GuidanceResults = z.infer<typeof guidanceSchema>;

/** What was measured of one policy under one guidance; scores are null where a judge abstained. */
export type GuidedMeasurement = Omit<GuidedPoint, "results" | "gains" | "tokens"> & {
  /** By objective, one a prompt. */
  scores: Readonly<Record<string, readonly (number | null)[]>>;
  tokens: readonly GuidedPoint["tokens"][];
};

/** One line of scores.jsonl: what each prompt's answer scored under one guidance, by objective. */
export const guidedScoresSchema = z.strictObject({
  policy: z.string(),
  mix: weights.optional(),
  guidance: weights.optional(),
  scores: z.record(freeName, z.array(z.number().nullable())),
});

export type GuidedScores = z.infer<typeof guidedScoresSchema>;

/** Pairs of scores where neither judge abstained. */
const paired = (guided: readonly (number | null)[], other: readonly (number | null)[]): [number, number][] =>
  zip(guided, other).flatMap(([score, against]): [number, number][] => {
    return score === null || against === null ? [] : [[score, against]];
  });

/**
 * A measurement as a point with intervals.
 *
 * @param unguided the same policy on the same prompts without guidance, to compare with
 */
export const guidedPoint = (
  { scores, tokens, ...what }: GuidedMeasurement,
  unguided: GuidedMeasurement | undefined,
  seed: number,
): GuidedPoint => {
  const label = JSON.stringify([what.policy, what.mix ?? null, what.guidance ?? null]);
  const results: Record<string, Estimate> = {};
  const gains: Record<string, Estimate> = {};
  for (const [objective, guided] of Object.entries(scores)) {
    const judged = guided.filter((score) => score !== null);
    const random = rng(seed, "guide", "bootstrap", objective, label);
    if (judged.length > 0) results[objective] = estimate(judged, random);
    const pairs =
      unguided === undefined
        ? []
        : paired(guided, need(unguided.scores[objective], `unguided scores on ${objective}`));
    if (pairs.length === 0) continue;
    const [a, b] = [pairs.map(([score]) => score), pairs.map(([, against]) => against)];
    gains[objective] = pairedDifference(a, b, random);
  }
  const meanOf = (name: keyof GuidedPoint["tokens"]): number => mean(tokens.map((token) => token[name]));
  return {
    ...what,
    results,
    ...(unguided === undefined ? {} : { gains }),
    tokens: { answer: meanOf("answer"), generated: meanOf("generated"), scored: meanOf("scored") },
  };
};

/** Weights in short: `accuracy 0.7, engagement 0.3`; those of 0 left out. */
export const describeWeights = (given: Readonly<Record<string, number>> | undefined): string =>
  Object.entries(given ?? {})
    .filter(([, weight]) => weight !== 0)
    .map(([name, weight]) => `${name} ${Number(weight.toFixed(2))}`)
    .join(", ");
