/** The files of the data stage: encoded rows as JSON lines, and a summary of their counts. */
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic, writeJsonFile } from "../../core/files.ts";
import { checkValue, readJsonFile } from "../../core/json.ts";
import type { EncodedExample, EncodedPair } from "../../data/encode.ts";
import { roles } from "../../data/messages.ts";
import { readRows } from "../../data/readers.ts";

const ids = z.array(z.int().nonnegative());
const origin = z.strictObject({ file: z.string(), line: z.int() });

const pairSchema = z.strictObject({ objective: z.string(), prompt: ids, chosen: ids, rejected: ids, origin });
const exampleSchema = z.strictObject({ objective: z.string(), prompt: ids, response: ids, origin });
const promptSchema = z.strictObject({
  objective: z.string(),
  prompt: z.array(z.strictObject({ role: z.enum(roles), content: z.string() })),
  answer: z.string().optional(),
  origin,
});

/** A held-out prompt to answer under every mix; `answer` is what judges compare with. */
export type HeldOutPrompt = z.infer<typeof promptSchema>;

const tokensSchema = z.strictObject({ prompt: z.number(), response: z.number() });

/** Counts of one objective, or of the fine-tuning examples. */
export const summarySchema = z.strictObject({
  objectives: z.record(
    z.string(),
    z.strictObject({
      train: z.int(),
      heldOut: z.int(),
      meanTokens: tokensSchema.describe("A row's prompt, and one response."),
    }),
  ),
  examples: z.strictObject({ train: z.int(), heldOut: z.int(), meanTokens: tokensSchema }),
  prompts: z.int(),
  cutPrompts: z.int(),
  cutResponses: z.int(),
  rows: z.strictObject({
    seen: z.int(),
    bad: z.int(),
    reasons: z.record(z.string(), z.int()),
    skipped: z.record(z.string(), z.int()),
  }),
});

/** Counts of the data stage. */
export type DataSummary = z.infer<typeof summarySchema>;

/** All that training and evaluation read. */
export type Dataset = {
  train: EncodedPair[];
  heldOut: EncodedPair[];
  examples: EncodedExample[];
  heldOutExamples: EncodedExample[];
  prompts: HeldOutPrompt[];
};

const files = {
  train: ["train.jsonl", pairSchema],
  heldOut: ["held-out.jsonl", pairSchema],
  examples: ["examples.jsonl", exampleSchema],
  heldOutExamples: ["held-out-examples.jsonl", exampleSchema],
  prompts: ["prompts.jsonl", promptSchema],
} as const;

const lines = function* (rows: readonly unknown[]): Generator<string> {
  for (const row of rows) yield `${JSON.stringify(row)}\n`;
};

/** Writes a dataset and its summary into a folder. */
export const writeDataset = async (folder: string, dataset: Dataset, summary: DataSummary): Promise<void> => {
  for (const [part, [name]] of Object.entries(files)) {
    await writeFileAtomic(join(folder, name), lines(dataset[part as keyof Dataset]));
  }
  await writeJsonFile(join(folder, "summary.json"), summary);
};

const readAll = async <T>(path: string, schema: z.ZodType<T>): Promise<T[]> => {
  const rows: T[] = [];
  for await (const { value, origin } of readRows(path))
    rows.push(checkValue(value, schema, `${path}:${origin.line}`));
  return rows;
};

const readPart =
  <T>([name, schema]: readonly [string, z.ZodType<T>]) =>
  (folder: string): Promise<T[]> =>
    readAll(join(folder, name), schema);

/** Training pairs of a data folder. */
export const readTrainPairs = readPart<EncodedPair>(files.train);
/** Held-out pairs of a data folder. */
export const readHeldOutPairs = readPart<EncodedPair>(files.heldOut);
/** Fine-tuning examples of a data folder. */
export const readExamples = readPart<EncodedExample>(files.examples);
/** Held-out fine-tuning examples of a data folder. */
export const readHeldOutExamples = readPart<EncodedExample>(files.heldOutExamples);
/** Held-out prompts of a data folder. */
export const readPrompts = readPart<HeldOutPrompt>(files.prompts);
/** The summary of a data folder. */
export const readSummary = (folder: string): Promise<DataSummary> =>
  readJsonFile(join(folder, "summary.json"), summarySchema);
