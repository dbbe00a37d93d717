/** The format of study.json: what a study ran and found, versioned, checked when it is read. */
import { z } from "zod";
import { readJsonFile } from "../../packages/mahalo/src/core/json.ts";
import { comparisonSchema } from "../../packages/mahalo/src/evaluate/compare/comparison.ts";
import { estimateSchema } from "../../packages/mahalo/src/evaluate/results.ts";
import { methodNames } from "./plan.ts";
import { verdictSchema } from "./verdict.ts";

/** The version written now; a reader refuses others. */
export const studyVersion = 4;

const domainSchema = z.strictObject({
  name: z.string(),
  model: z.string(),
  objectives: z.array(z.string()),
  seeds: z.array(z.int()),
  /** Each run's wall time of the stages that it ran itself, all seeds together, in hours. */
  runs: z.array(z.strictObject({ name: z.string(), hours: z.number().nonnegative() })),
  /** Processors of the machines that the seeds ran on. */
  machines: z.array(z.string()),
  /** All methods over their seeds; left out where no objective is judged. */
  comparison: comparisonSchema.optional(),
  /** Share of held-out pairs that each run's heads rank right by reward, all seeds' pairs together. */
  pairs: z.array(
    z.strictObject({ run: z.string(), head: z.string(), objective: z.string(), accuracy: estimateSchema }),
  ),
  /** Mean cosine of each two objectives' gradients at the shared weights, by seed, where projection ran. */
  conflict: z.record(z.string(), z.array(z.number())),
  verdicts: z.array(verdictSchema),
  /** What a reader should know, for example which objectives are judged by a reward model. */
  notes: z.array(z.string()),
});

/** All of study.json. */
export const studySchema = z.strictObject({
  format: z.literal("mahalo-study"),
  version: z.literal(studyVersion),
  finished: z.string(),
  mahalo: z.string(),
  command: z.string(),
  /** The tiny form shows that the study runs; what it finds means nothing. */
  tiny: z.boolean(),
  methods: z.array(z.enum(methodNames)),
  machine: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  domains: z.array(domainSchema),
});

export type Study = z.infer<typeof studySchema>;
export type StudyDomain = z.infer<typeof domainSchema>;

/** Reads study.json. @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS with file and field */
export const readStudy = (path: string): Promise<Study> =>
  readJsonFile(path, studySchema, { code: "E_RESULTS", hint: "run the study again; finished runs are kept" });
