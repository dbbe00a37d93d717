/** Rows that the benches share: real pairs as token ids, the same file for every side. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { parseJson } from "../packages/mahalo/src/core/json.ts";
import { writeJsonLines } from "../packages/mahalo/src/core/json-lines.ts";
import { rng } from "../packages/mahalo/src/core/random.ts";
import { loadPreferences, locateRows, type RowSource } from "../packages/mahalo/src/data/rows/load.ts";
import { textOrMessagesSchema } from "../packages/mahalo/src/data/rows/messages.ts";
import { type PreferenceRow, promptKey } from "../packages/mahalo/src/data/rows/rows.ts";
import {
  type EncodedPair,
  type EncodeOptions,
  encodePairs,
} from "../packages/mahalo/src/data/tokens/encode.ts";

/** Limits of both sides, in tokens. */
export const limits = { maxPromptTokens: 512, maxTokens: 1024 } as const;

/** Objectives of the rows, alternating: both heads of a two-head model are in every batch, whatever the data. */
export const objectives = ["accuracy", "engagement"] as const;

/** Data sets of the bench. */
export const sources = {
  gsm8k: { hub: "openai/grade-school-math", file: "example_model_solutions.jsonl", format: "correct-pair" },
  tutoring: { hub: "pearls-lab/multiobj-align", file: "sm_acc.json", format: "tutoring-pair" },
} as const satisfies Record<string, RowSource>;

/** Name of a data set. */
export type DataName = keyof typeof sources;

const ids = z.array(z.int().nonnegative()).min(1);

/** One line of the rows file; peers read its ids as they are. */
export const benchRowSchema = z.strictObject({
  objective: z.enum(objectives),
  prompt: textOrMessagesSchema,
  chosen: textOrMessagesSchema,
  rejected: textOrMessagesSchema,
  prompt_ids: ids,
  chosen_ids: ids,
  rejected_ids: ids,
});

/** One pair as every side gets it. */
export type BenchRow = z.output<typeof benchRowSchema>;

/** One pair of each prompt, in an order that the seed decides: no prompt counts twice. */
const onePerPrompt = (rows: readonly PreferenceRow[], seed: number): PreferenceRow[] => [
  ...new Map(
    rng(seed, "bench", "rows")
      .shuffle([...rows])
      .map((row) => [promptKey(row.prompt), row]),
  ).values(),
];

/**
 * Encodes `count` pairs of a data set, of distinct prompts, and gives them the two objectives alternately.
 *
 * A data set that has fewer usable prompts is gone through again.
 */
export const buildRows = async (
  data: DataName,
  { tokenizer, template }: Pick<EncodeOptions, "tokenizer" | "template">,
  count: number,
): Promise<BenchRow[]> => {
  const all = onePerPrompt(await loadPreferences(await locateRows(sources[data]), data), 0);
  // More than are wanted, since a few cannot be encoded.
  const some = all.slice(0, 2 * count);
  const { rows } = encodePairs(some, { tokenizer, template, ...limits });
  const texts = new Map(some.map((row) => [row.origin, row]));
  const rowOf = (pair: EncodedPair, index: number): BenchRow => {
    const { prompt = "", chosen = "", rejected = "" } = texts.get(pair.origin) ?? {};
    return {
      objective: objectives[index % 2 === 0 ? 0 : 1],
      prompt,
      chosen,
      rejected,
      prompt_ids: pair.prompt,
      chosen_ids: pair.chosen,
      rejected_ids: pair.rejected,
    };
  };
  return Array.from({ length: count }, (_, index) => rows[index % rows.length]).flatMap((pair, index) =>
    pair === undefined ? [] : [rowOf(pair, index)],
  );
};

/** Writes rows as JSON lines. */
export const writeRows = (path: string, rows: readonly BenchRow[]): Promise<void> =>
  writeJsonLines(path, rows);

/** Reads them back. */
export const readRows = (path: string): BenchRow[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line, index) => parseJson(line, benchRowSchema, `${path}:${index + 1}`));

/** Tokens of both sequences with the prompt counted twice, as a trainer of separate sequences sees them. */
export const sequenceTokens = ({ prompt_ids, chosen_ids, rejected_ids }: BenchRow): number =>
  2 * prompt_ids.length + chosen_ids.length + rejected_ids.length;

/** Rows as pairs of our trainer. */
export const pairsOf = (rows: readonly BenchRow[]): EncodedPair[] =>
  rows.map((row, index) => ({
    objective: row.objective,
    prompt: row.prompt_ids,
    chosen: row.chosen_ids,
    rejected: row.rejected_ids,
    origin: { file: "rows", line: index + 1 },
  }));
