/** The format of results.json: what an evaluation found, versioned, checked when it is read. */
import { z } from "zod";
import { writeJsonFile } from "../core/files.ts";
import { readJsonFile } from "../core/json.ts";
import { freeName } from "../core/names.ts";
import { element } from "../core/need.ts";
import { messageSchema } from "../data/rows/messages.ts";

/** The version written now; a reader refuses others. */
export const resultsVersion = 2;

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

const scalarSchema = z.union([z.string(), z.number(), z.boolean()]);

/** One policy's results: a mix of the heads, or a baseline (without `mix`). */
export const pointSchema = z.strictObject({
  label: z.string(),
  mix: z.record(freeName, z.number()).optional(),
  /** By objective. */
  results: z.record(freeName, estimateSchema),
  /** KL from the model that align began with, in nats an answer, along its own answers. */
  kl: estimateSchema.optional(),
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

/** See `Control` in control.ts. */
export const controlSchema = z.strictObject({
  objective: z.string(),
  tau: z.number(),
  largestGap: z.number().optional(),
  miscalibration: z.number().optional(),
  sideEffects: z.record(freeName, estimateSchema),
});

/** See `Scale` in scale.ts. */
export const scaleSchema = z
  .strictObject({
    objectives: z.tuple([freeName, freeName]),
    points: z
      .array(
        z.strictObject({
          weight: z.number().min(0).max(1),
          position: z.number().min(0).max(1),
          low: z.number(),
          high: z.number(),
        }),
      )
      .min(2),
  })
  .superRefine(({ objectives, points }, context) => {
    const fail = (path: string, message: string): void =>
      context.addIssue({ code: "custom", path: [path], message });
    if (objectives[0] === objectives[1]) fail("objectives", "names one objective twice");
    for (const key of ["weight", "position"] as const) {
      const values = points.map((point) => point[key]);
      const rises = values.every((value, index) => index === 0 || value >= element(values, index - 1));
      if (!rises || values[0] !== 0 || values.at(-1) !== 1) fail("points", `${key} must rise from 0 to 1`);
    }
  });

/** One prompt with the answers of every policy. */
export const sampleSchema = z.strictObject({
  prompt: z.array(messageSchema),
  reference: z.string().optional(),
  replies: z.array(
    z.strictObject({
      label: z.string(),
      response: z.string(),
      verdicts: z.record(freeName, verdictSchema),
      /** What the run's reward models say of each of its steps, by objective. */
      steps: z
        .record(z.string(), z.array(z.strictObject({ text: z.string(), score: z.number() })))
        .optional(),
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
  /** Measures of control by objective; results of earlier versions have none. */
  control: z.array(controlSchema).optional(),
  /** Positions between two objectives whose results move evenly; left out where there are others, or results do not move. */
  scale: scaleSchema.optional(),
  samples: z.array(sampleSchema),
});

/** Which share of held-out pairs each head ranks right. */
export const pairAccuracySchema = z.strictObject({
  /** The head that is the reference model's, against which rewards are counted. */
  reference: z.string().optional(),
  heads: z.array(z.string()),
  objectives: z.array(z.string()),
  cells: z.array(
    z.strictObject({
      head: z.string(),
      objective: z.string(),
      /** By log-probability of the two responses. */
      accuracy: estimateSchema,
      /** By reward against the reference. */
      rewardAccuracy: estimateSchema.optional(),
    }),
  ),
});

/** What choosing among sampled answers by a reward model gains; see `bestOf` in best-of.ts. */
export const bestOfSchema = z.strictObject({
  objective: z.string(),
  /** Name of the reward model's folder in the run's `reward` folder. */
  model: z.string(),
  prompts: z.int().positive(),
  /** Answers of each prompt; the mean, where some are missing. */
  samples: z.number().positive(),
  one: estimateSchema,
  any: estimateSchema,
  votes: estimateSchema.optional(),
  weightedVotes: estimateSchema.optional(),
  /** By last, min, product, mean of a response's steps. */
  byModel: z.record(freeName, estimateSchema),
  gain: estimateSchema,
  overVotes: estimateSchema.optional(),
  stepAuc: estimateSchema.optional(),
  promptAuc: estimateSchema.optional(),
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
  /** What became of the rows: how many were read, how many could not be used and why, and what was done to others. */
  rows: z
    .strictObject({
      seen: z.int(),
      bad: z.int(),
      /** In words, each with its number of rows; 0 where it is not said of rows. */
      told: z.array(z.strictObject({ what: z.string(), rows: z.int() })),
    })
    .optional(),
  sweep: sweepSchema.optional(),
  pairAccuracy: pairAccuracySchema.optional(),
  /** Held-out metrics of each reward model, by its folder's name. */
  rewardModels: z.record(freeName, z.record(freeName, z.number())).optional(),
  bestOf: z.array(bestOfSchema).optional(),
});

export type SweepPoint = z.infer<typeof pointSchema>;
export type Steering = z.infer<typeof steeringSchema>;
export type Sample = z.infer<typeof sampleSchema>;
export type SweepResults = z.infer<typeof sweepSchema>;
export type PairAccuracy = z.infer<typeof pairAccuracySchema>;
export type BestOf = z.infer<typeof bestOfSchema>;
export type Results = z.infer<typeof resultsSchema>;

/** Writes results.json atomically. @throws MahaloError E_FILE_WRITE */
export const writeResults = (path: string, results: Results): Promise<void> => writeJsonFile(path, results);

/** Reads results.json. @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS with file and field */
export const readResults = (path: string): Promise<Results> =>
  readJsonFile(path, resultsSchema, {
    code: "E_RESULTS",
    hint: "run the evaluate stage again to write it in this version's format",
  });
