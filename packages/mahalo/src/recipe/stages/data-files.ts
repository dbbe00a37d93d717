/** The files of the data stage: encoded rows as JSON lines, and a summary of their counts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeJsonFile } from "../../core/files.ts";
import { checkValue, readJsonFile } from "../../core/json.ts";
import { writeJsonLines } from "../../core/json-lines.ts";
import { answerSchema } from "../../data/rows/answers.ts";
import { messageSchema, textOrMessagesSchema } from "../../data/rows/messages.ts";
import type { DialogueRow, OpenRow } from "../../data/rows/open-rows.ts";
import { originSchema } from "../../data/rows/problems.ts";
import { readRows } from "../../data/rows/read-rows.ts";
import { objectiveKinds, type StepRow } from "../../data/rows/step-rows.ts";
import type { EncodedExample, EncodedPair } from "../../data/tokens/encode.ts";

const ids = z.array(z.int().nonnegative());

const pairSchema = z.strictObject({
  objective: z.string(),
  prompt: ids,
  chosen: ids,
  rejected: ids,
  origin: originSchema,
});
const exampleSchema = z.strictObject({
  objective: z.string(),
  prompt: ids,
  response: ids,
  origin: originSchema,
});
const promptSchema = z.strictObject({
  objective: z.string(),
  prompt: z.array(messageSchema),
  answer: answerSchema.optional(),
  origin: originSchema,
});

const openSchema = z.strictObject({
  objective: z.string(),
  prompt: textOrMessagesSchema,
  response: z.string().optional(),
  answer: answerSchema.optional(),
  labels: z.array(z.number()).optional(),
  origin: originSchema,
});
const dialogueSchema = z.strictObject({
  objective: z.string(),
  messages: z.array(messageSchema),
  answer: answerSchema.optional(),
  origin: originSchema,
});

const stepSchema = z.strictObject({
  objective: z.string(),
  kind: z.enum(objectiveKinds).optional(),
  prompt: textOrMessagesSchema,
  steps: z.array(z.string()),
  labels: z.array(z.number().nullable()),
  origin: originSchema,
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
      toRollOut: z.int().optional().describe("Prompts or dialogues to roll out and train on."),
      steps: z
        .strictObject({ train: z.int(), heldOut: z.int() })
        .optional()
        .describe("Responses with labelled steps."),
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
    notes: z
      .record(z.string(), z.int())
      .default({})
      .describe("What was done to rows that are used, and to how many; 0 if it does not concern rows."),
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
  /** Prompts to roll out. */
  open: OpenRow[];
  heldOutOpen: OpenRow[];
  dialogues: DialogueRow[];
  heldOutDialogues: DialogueRow[];
  /** Responses with labelled steps. */
  steps: StepRow[];
  heldOutSteps: StepRow[];
};

const files = {
  train: ["train.jsonl", pairSchema],
  heldOut: ["held-out.jsonl", pairSchema],
  examples: ["examples.jsonl", exampleSchema],
  heldOutExamples: ["held-out-examples.jsonl", exampleSchema],
  prompts: ["prompts.jsonl", promptSchema],
  open: ["to-roll-out.jsonl", openSchema],
  heldOutOpen: ["held-out-to-roll-out.jsonl", openSchema],
  dialogues: ["dialogues.jsonl", dialogueSchema],
  heldOutDialogues: ["held-out-dialogues.jsonl", dialogueSchema],
  steps: ["steps.jsonl", stepSchema],
  heldOutSteps: ["held-out-steps.jsonl", stepSchema],
} as const;

/** Parts that a folder holds only where the recipe has rows of the kind. */
const optional: readonly string[] = [
  "open",
  "heldOutOpen",
  "dialogues",
  "heldOutDialogues",
  "steps",
  "heldOutSteps",
];

/** Writes a dataset and its summary into a folder. */
export const writeDataset = async (folder: string, dataset: Dataset, summary: DataSummary): Promise<void> => {
  for (const [part, [name]] of Object.entries(files)) {
    const rows = dataset[part as keyof Dataset];
    if (rows.length > 0 || !optional.includes(part)) await writeJsonLines(join(folder, name), rows);
  }
  await writeJsonFile(join(folder, "summary.json"), summary);
};

/** Writes pairs alone, as {@link readTrainPairs} and {@link readHeldOutPairs} read them. */
export const writePairs = async (
  folder: string,
  { train, heldOut }: Pick<Dataset, "train" | "heldOut">,
): Promise<void> => {
  await writeJsonLines(join(folder, files.train[0]), train);
  await writeJsonLines(join(folder, files.heldOut[0]), heldOut);
};

const readAll = async <T>(path: string, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T[]> => {
  const rows: T[] = [];
  for await (const { value, origin } of readRows(path, { signal }))
    rows.push(checkValue(value, schema, `${path}:${origin.line}`));
  return rows;
};

const readPart =
  <T>([name, schema]: readonly [string, z.ZodType<T>]) =>
  (folder: string, signal?: AbortSignal): Promise<T[]> =>
    readAll(join(folder, name), schema, signal);

/** The same, where the file may be missing for having no rows. */
const readOptional =
  <T>([name, schema]: readonly [string, z.ZodType<T>]) =>
  async (folder: string, signal?: AbortSignal): Promise<T[]> =>
    existsSync(join(folder, name)) ? readAll(join(folder, name), schema, signal) : [];

/** Training pairs of a data folder. */
export const readTrainPairs = readPart<EncodedPair>(files.train);
/** Held-out pairs of a data folder. */
export const readHeldOutPairs = readPart<EncodedPair>(files.heldOut);
/** Training and held-out pairs of a data folder and, where there is one, of a folder of made pairs. */
export const readAllPairs = async (
  data: string,
  madePairs: string | undefined,
  signal?: AbortSignal,
): Promise<Pick<Dataset, "train" | "heldOut">> => ({
  train: [
    ...(await readTrainPairs(data, signal)),
    ...(madePairs === undefined ? [] : await readTrainPairs(madePairs, signal)),
  ],
  heldOut: [
    ...(await readHeldOutPairs(data, signal)),
    ...(madePairs === undefined ? [] : await readHeldOutPairs(madePairs, signal)),
  ],
});

/** Fine-tuning examples of a data folder. */
export const readExamples = readPart<EncodedExample>(files.examples);
/** Held-out fine-tuning examples of a data folder. */
export const readHeldOutExamples = readPart<EncodedExample>(files.heldOutExamples);
/** Held-out prompts of a data folder. */
export const readPrompts = readPart<HeldOutPrompt>(files.prompts);
/** Prompts of a data folder to roll out for training. */
export const readOpen = readOptional<z.infer<typeof openSchema>>(files.open);
/** Held-out prompts of a data folder to roll out for measuring. */
export const readHeldOutOpen = readOptional<z.infer<typeof openSchema>>(files.heldOutOpen);
/** Dialogues of a data folder to train on. */
export const readDialogues = readOptional<z.infer<typeof dialogueSchema>>(files.dialogues);
/** Held-out dialogues of a data folder. */
export const readHeldOutDialogues = readOptional<z.infer<typeof dialogueSchema>>(files.heldOutDialogues);
/** Labelled steps of a data folder to train on. */
export const readSteps = readOptional<z.infer<typeof stepSchema>>(files.steps);
/** Held-out labelled steps of a data folder. */
export const readHeldOutSteps = readOptional<z.infer<typeof stepSchema>>(files.heldOutSteps);
/** The summary of a data folder. */
export const readSummary = (folder: string): Promise<DataSummary> =>
  readJsonFile(join(folder, "summary.json"), summarySchema);
