/** What both sides of the verifier bench verify: models' solutions of GSM8K with their gold answers and flags. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { checkValue, parseJson } from "../../packages/mahalo/src/core/json.ts";
import { writeJsonLines } from "../../packages/mahalo/src/core/json-lines.ts";
import { locateRows } from "../../packages/mahalo/src/data/rows/load.ts";
import { readRows } from "../../packages/mahalo/src/data/rows/read-rows.ts";
import { benchFolder } from "../peer-model.ts";
import { sources } from "../rows.ts";

/** One line of the file; both sides read it as it is. */
export const answerSchema = z.strictObject({
  solution: z.string().min(1),
  /** The final answer alone. */
  gold: z.string().min(1),
  /** Whether the data set's authors call the solution right. */
  correct: z.boolean(),
});

/** One solution to verify. */
export type BenchAnswer = z.output<typeof answerSchema>;

const solved = z.looseObject({ is_correct: z.boolean(), solution: z.string() });
const rowSchema = z.looseObject({
  ground_truth: z.string(),
  "6b_finetuning": solved,
  "6b_verification": solved,
  "175b_finetuning": solved,
  "175b_verification": solved,
});
const solvers = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"] as const;

/**
 * Writes the first `count` solutions, four to a question; returns the file's path.
 *
 * @throws MahaloError E_BENCH_ROWS when the data set has fewer
 */
export const writeAnswers = async (count: number): Promise<string> => {
  const { hub, file } = sources.gsm8k;
  const { path } = await locateRows({ hub, file });
  const answers: BenchAnswer[] = [];
  for await (const { value, origin } of readRows(path)) {
    const row = checkValue(value, rowSchema, `${file}:${origin.line}`);
    const gold = row.ground_truth.slice(row.ground_truth.lastIndexOf("A:") + 2).trim();
    for (const solver of solvers) {
      const { solution, is_correct: correct } = row[solver];
      answers.push({ solution, gold, correct });
    }
  }
  if (answers.length < count) {
    throw new MahaloError("E_BENCH_ROWS", `--answers ${count}: ${file} has ${answers.length} solutions`);
  }
  const to = join(benchFolder, `gsm8k-answers-${count}.jsonl`);
  await writeJsonLines(to, answers.slice(0, count));
  return to;
};

/** Reads them back. */
export const readAnswers = (path: string): BenchAnswer[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line, index) => parseJson(line, answerSchema, `${path}:${index + 1}`));
