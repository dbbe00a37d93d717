/** The format of results.json: what an evaluation found, versioned, checked when it is read. */
import { z } from "zod";
import { writeJsonFile } from "../core/files.ts";
import { readJsonFile } from "../core/json.ts";

/** The version written now; a reader refuses others. */
export const resultsVersion = 1;

/** See `Estimate` in intervals.ts. */
export const estimateSchema = z.strictObject({
  mean: z.number(),
  low: z.number(),
  high: z.number(),
  n: z.int().positive(),
  method: z.enum(["wilson", "bootstrap"]),
});

/** The score is null where the judge abstained. */
const verdictSchema = z.strictObject({ score: z.number().nullable(), reason: z.string() });

const messageSchema = z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() });

const scalarSchema = z.union([z.string(), z.number(), z.boolean()]);

/** One policy's results: a mix of the heads, or a baseline (without `mix`). */
export const pointSchema = z.strictObject({
  label: z.string(),
  mix: z.record(z.string(), z.number()).optional(),
  /** By objective. */
  results: z.record(z.string(), estimateSchema),
});

/** What an objective gains from its own end of the sweep. */
export const steeringSchema = z.strictObject({
  objective: z.string(),
  /** Label of the mix with the most of this objective, and of the one with the least. */
  ownEnd: z.string(),
  otherEnd: z.string(),
  /** Mean paired difference between the two on the same prompts. */
  difference: estimateSchema,
  /** Whether the two ends' own intervals do not touch. */
  apart: z.boolean(),
});

/** One prompt with the answers of every policy. */
export const sampleSchema = z.strictObject({
  prompt: z.array(messageSchema),
  reference: z.string().optional(),
  replies: z.array(
    z.strictObject({
      label: z.string(),
      response: z.string(),
      verdicts: z.record(z.string(), verdictSchema),
    }),
  ),
});

/** A sweep of mixes over held-out prompts. */
export const sweepSchema = z.strictObject({
  prompts: z.int().positive(),
  /** How answers were sampled, for example temperature and maxNewTokens. */
  decoding: z.record(z.string(), scalarSchema),
  points: z.array(pointSchema).min(1),
  steering: z.array(steeringSchema),
  samples: z.array(sampleSchema),
});

/** Which share of held-out pairs each head ranks right. */
export const pairAccuracySchema = z.strictObject({
  /** What was compared: log-probabilities of the two responses, or their rewards against the reference. */
  margin: z.enum(["log-probability", "reward"]),
  heads: z.array(z.string()),
  objectives: z.array(z.string()),
  cells: z.array(z.strictObject({ head: z.string(), objective: z.string(), accuracy: estimateSchema })),
});

/** All of results.json. */
export const resultsSchema = z.strictObject({
  format: z.literal("mahalo-results"),
  version: z.literal(resultsVersion),
  name: z.string(),
  description: z.string().optional(),
  /** When the evaluation ended, ISO 8601. */
  finished: z.string(),
  mahalo: z.string(),
  model: z.string(),
  seed: z.int(),
  /** The resolved recipe as YAML. */
  recipe: z.string(),
  /** Wall time of each stage that has run, in order. */
  stages: z.array(z.strictObject({ name: z.string(), seconds: z.number().nonnegative() })),
  /** What it ran on, by name: processor, memory, libtorch, ... */
  machine: z.record(z.string(), scalarSchema),
  objectives: z.array(
    z.strictObject({ name: z.string(), description: z.string().optional(), judge: z.string().optional() }),
  ),
  sweep: sweepSchema.optional(),
  pairAccuracy: pairAccuracySchema.optional(),
});

export type SweepPoint = z.infer<typeof pointSchema>;
export type Steering = z.infer<typeof steeringSchema>;
export type Sample = z.infer<typeof sampleSchema>;
export type SweepResults = z.infer<typeof sweepSchema>;
export type PairAccuracy = z.infer<typeof pairAccuracySchema>;
export type Results = z.infer<typeof resultsSchema>;

/** Writes results.json atomically. @throws MahaloError E_FILE_WRITE */
export const writeResults = (path: string, results: Results): Promise<void> => writeJsonFile(path, results);

/** Reads results.json. @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS with file and field */
export const readResults = (path: string): Promise<Results> =>
  readJsonFile(path, resultsSchema, {
    code: "E_RESULTS",
    hint: "run the evaluate stage again to write it in this version's format",
  });
