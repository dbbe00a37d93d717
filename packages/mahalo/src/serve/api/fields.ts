/** The fields that all answering routes share: sampling, limits, and the four ways to ask for a mix. */
import { z } from "zod";
import { freeName } from "../../core/names.ts";
import type { SamplingInput } from "../../decode/sampling.ts";
import type { Bounds } from "../options.ts";

const share = z.number().min(0).max(1);
const penalty = z.number().min(-2).max(2);
const weight = z.number().nonnegative();

/** Weights by objective. */
export const weightsSchema = z.record(freeName, weight);

const start = z.union([
  z.strictObject({ token: z.int().nonnegative() }),
  z.strictObject({ step: z.int().nonnegative() }),
]);

/** Weights, or phases of an answer with weights each. */
const planSchema = z.union([
  weightsSchema,
  z
    .array(z.strictObject({ from: start.optional(), mix: weightsSchema }))
    .min(1)
    .max(64),
]);

/** Results to reach, such as `{ accuracy: ">=0.6" }` or `{ accuracy: 0.6 }`. */
const targetSchema = z.record(freeName, z.union([z.number(), z.string().max(64)]));

/** The fields of a mix, on every route that answers. */
export const mixFields = {
  objective_weights: planSchema.nullish(),
  at: share.nullish(),
  target: targetSchema.nullish(),
  maximize: z.string().max(256).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
};

/** How tokens are chosen, on every route that answers. */
export const samplingFields = (bounds: Bounds) => ({
  temperature: z
    .number()
    .min(0)
    .max(2)
    .refine((value) => value === 0 || value >= 1e-4, "must be 0, or at least 0.0001")
    .nullish(),
  top_p: share.nullish(),
  top_k: z
    .int()
    .min(0)
    .max(2 ** 31)
    .nullish(),
  min_p: share.nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  presence_penalty: penalty.nullish(),
  frequency_penalty: penalty.nullish(),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, "must be a token id in digits"), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= 1024, "must have at most 1024 entries")
    .nullish(),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish(),
  n: z.int().min(1).max(bounds.maxChoices).nullish(),
  stop: z
    .union([
      z.string().min(1).max(bounds.maxStopLength),
      z.array(z.string().min(1).max(bounds.maxStopLength)).max(bounds.maxStops),
    ])
    .nullish(),
  max_tokens: z.int().min(1).max(bounds.maxTokens).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() })
    .nullish(),
});

/** Fields of OpenAI's that change nothing here, and are let through. */
export const ignoredFields = {
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  store: z.literal(false, "is not kept here: leave store out, or set it to false").nullish(),
  service_tier: z.enum(["auto", "default"]).nullish(),
};

/** What the fields of {@link samplingFields} hold once checked. */
export type SamplingFields = z.output<z.ZodObject<ReturnType<typeof samplingFields>>>;

/** What the fields of {@link mixFields} hold once checked. */
export type MixFields = z.output<z.ZodObject<typeof mixFields>>;

const given = <T>(value: T | null | undefined): T | undefined => value ?? undefined;

/** Sampling settings as the engine takes them: those that the request names. */
export const samplingOf = (fields: SamplingFields): SamplingInput => {
  const settings = {
    temperature: given(fields.temperature),
    topP: given(fields.top_p),
    topK: given(fields.top_k),
    minP: given(fields.min_p),
    repetitionPenalty: given(fields.repetition_penalty),
    presencePenalty: given(fields.presence_penalty),
    frequencyPenalty: given(fields.frequency_penalty),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
};

/** Stop strings as a list. */
export const stopsOf = ({ stop }: Pick<SamplingFields, "stop">): string[] =>
  typeof stop === "string" ? [stop] : (stop ?? []);

/** Bias by token id. */
export const biasOf = ({
  logit_bias,
}: Pick<SamplingFields, "logit_bias">): Record<number, number> | undefined =>
  logit_bias === null || logit_bias === undefined || Object.keys(logit_bias).length === 0
    ? undefined
    : Object.fromEntries(Object.entries(logit_bias).map(([id, bias]) => [Number(id), bias]));
