/** What both sides of the reward bench work on: real responses as token ids with the ends of their steps, and a reward model. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { writeJsonLines } from "../../packages/mahalo/src/core/json-lines.ts";
import { rng } from "../../packages/mahalo/src/core/random.ts";
import type { Columns } from "../../packages/mahalo/src/data/rows/columns.ts";
import { loadExamples, locateRows } from "../../packages/mahalo/src/data/rows/load.ts";
import { type ExampleRow, promptKey } from "../../packages/mahalo/src/data/rows/rows.ts";
import { encodeExamples } from "../../packages/mahalo/src/data/tokens/encode.ts";
import { stepEnds } from "../../packages/mahalo/src/data/tokens/steps.ts";
import { openModelSource } from "../../packages/mahalo/src/model/folder/source.ts";
import { loadRewardModel, saveRewardModel } from "../../packages/mahalo/src/model/reward/reward-model.ts";
import { benchFolder, benchModel } from "../peer-model.ts";
import { limits, sources } from "../rows.ts";

const ids = z.array(z.int().nonnegative()).min(1);

/** One line of the file; peers read it as it is. */
export const responseSchema = z.strictObject({
  prompt_ids: ids,
  response_ids: ids,
  /** Behind the last token of each step, in the response. */
  ends: z.array(z.int().positive()).min(1),
});

/** One response as every side gets it. */
export type BenchResponse = z.output<typeof responseSchema>;

/** The models whose solutions the file has, four to a question. */
const solvers = ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"] as const;

/** All solutions, those of one question together, questions in an order that a seed decides. */
const loadSolutions = async (): Promise<ExampleRow[]> => {
  const { hub, file } = sources.gsm8k;
  const byPrompt = new Map<string, ExampleRow[]>();
  for (const solver of solvers) {
    const response = { field: `${solver}.solution`, steps: [{ replace: { pattern: "<<[^<>]*>>" } }] };
    const columns: Columns = { prompt: "question", response };
    for (const row of await loadExamples(await locateRows({ hub, file, columns }), "accuracy")) {
      const key = promptKey(row.prompt);
      byPrompt.set(key, [...(byPrompt.get(key) ?? []), row]);
    }
  }
  return rng(0, "bench", "solutions")
    .shuffle([...byPrompt.values()])
    .flat();
};

/** Writes that many solutions of GSM8K, four to a question, cut into lines; returns the file's path. */
export const writeResponses = async (count: number): Promise<string> => {
  const { tokenizer, template } = await openModelSource(benchModel);
  const solutions = (await loadSolutions()).slice(0, count);
  const { rows } = encodeExamples(solutions, { tokenizer, template, ...limits });
  const responses = rows.map(({ prompt, response }): BenchResponse => {
    return {
      prompt_ids: prompt,
      response_ids: response,
      ends: stepEnds(tokenizer, response, { by: "line" }),
    };
  });
  const path = join(benchFolder, `gsm8k-responses-${count}.jsonl`);
  await writeJsonLines(path, responses);
  return path;
};

/** Reads them back. */
export const readResponses = (path: string): BenchResponse[] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line, index) => parseJson(line, responseSchema, `${path}:${index + 1}`));

/** Folder of a reward model of the bench's language model, its new head read at every token; written the first time. */
export const rewardModelFolder = async (): Promise<string> => {
  const folder = join(benchFolder, `${benchModel}-reward`);
  if (existsSync(join(folder, "mahalo.json"))) return folder;
  const model = await loadRewardModel(benchModel, {
    training: true,
    heads: [{ name: "quality", kind: "soft" }],
    boundary: { by: "line" },
  });
  try {
    await saveRewardModel(model, folder, { dtype: "float32", provenance: { model: benchModel } });
  } finally {
    model.dispose();
  }
  return folder;
};
