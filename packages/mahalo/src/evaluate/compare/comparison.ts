/** The format of a comparison: what several runs found beside each other, versioned, checked when it is read. */
import { z } from "zod";
import { readJsonFile } from "../../core/json.ts";
import { freeName } from "../../core/names.ts";
import { controlSchema, sampleSchema } from "../results.ts";

/** See `SeedEstimate` in seeds.ts. */
export const seedEstimateSchema = z.strictObject({
  mean: z.number(),
  low: z.number(),
  high: z.number(),
  seeds: z.int().positive(),
  prompts: z.int().positive(),
});

const pointSchema = z.strictObject({
  label: z.string(),
  mix: z.record(freeName, z.number()).optional(),
  /** By objective, over all seeds of the group. */
  results: z.record(freeName, seedEstimateSchema),
  /** Whether no other point of the group dominates its means. */
  onFront: z.boolean(),
  /** Different pairs of words among all of its answers' pairs (distinct-2), mean over seeds. */
  distinct: z.number(),
  /** Words of an answer, mean. */
  words: z.number(),
  /** KL from the reference in nats an answer, where the runs measured it. */
  kl: seedEstimateSchema.optional(),
});

const groupSchema = z.strictObject({
  name: z.string(),
  /** The runs of the group, which differ by seed alone. */
  runs: z.array(z.strictObject({ folder: z.string(), seed: z.int() })),
  points: z.array(pointSchema).min(1),
  /** Label of the point that stands for the group: the only one, or the mix nearest to equal weights. */
  centre: z.string(),
  hypervolume: seedEstimateSchema.optional(),
  /** The least that any of its points gives up of the best results known of each objective. */
  leastRegret: z.number(),
  /** Measures of control over its mixes, of means over seeds; side effects are among the gains. */
  control: z.array(controlSchema.omit({ sideEffects: true })),
});

const differenceSchema = z.strictObject({
  a: z.string(),
  b: z.string(),
  /** An objective (both groups' centres compared), or the hypervolume of the two fronts. */
  of: z.string(),
  difference: seedEstimateSchema,
  /** Whether the interval leaves 0 out. */
  decided: z.boolean(),
  /** Of an objective: the rate at which a's answers score above b's, plainly and at equal length. */
  win: z.strictObject({ win: z.number(), controlled: z.number() }).optional(),
});

const gainSchema = z.strictObject({
  /** The group, and its policy. */
  name: z.string(),
  label: z.string(),
  /** The objective. */
  of: z.string(),
  /** The group that it is measured against: what was there before alignment. */
  over: z.string(),
  gain: seedEstimateSchema,
  /** Whether the interval leaves 0 out. */
  decided: z.boolean(),
});

/** All of comparison results. */
export const comparisonSchema = z.strictObject({
  format: z.literal("mahalo-comparison"),
  version: z.literal(3),
  objectives: z.array(z.string()).min(1),
  /** Whether all results lie in [0, 1]. */
  shares: z.boolean(),
  /** Point above which hypervolumes are measured. */
  reference: z.array(z.number()),
  groups: z.array(groupSchema).min(1),
  differences: z.array(differenceSchema),
  /** What each policy gained or lost of each objective against the model before alignment; see gains.ts. */
  gains: z.array(gainSchema),
  /** Share of b's points that some point of a is at least as good as everywhere. */
  coverage: z.array(z.strictObject({ a: z.string(), b: z.string(), coverage: z.number() })),
  /** Prompts with each group's reply, by its {@link ComparedGroup.centre}; left out where no texts are at hand. */
  samples: z.array(sampleSchema).optional(),
  /** What a reader should know, for example that groups did not answer the same prompts. */
  notes: z.array(z.string()),
});

export type Comparison = z.infer<typeof comparisonSchema>;
export type ComparedGroup = z.infer<typeof groupSchema>;
export type ComparedPoint = z.infer<typeof pointSchema>;

/** Reads a comparison's results.json. @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS with file and field */
export const readComparison = (path: string): Promise<Comparison> =>
  readJsonFile(path, comparisonSchema, { code: "E_RESULTS", hint: "compare the runs again" });
