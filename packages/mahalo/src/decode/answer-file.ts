/** A file of prompts into a file of answers: every prompt under every mix, one JSON line each. */
import { MahaloError } from "@mahalo/torch";
import { progress } from "../core/progress.ts";
import { readText } from "../core/read-file.ts";
import type { Answer } from "../data/rows/answers.ts";
import { loadPrompts, type RowFile } from "../data/rows/load.ts";
import { formatOrigin, RowProblem } from "../data/rows/problems.ts";
import { type Prompt, type PromptRow, promptMessages } from "../data/rows/rows.ts";
import { encodePrompt } from "../data/tokens/encode.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { generateAll } from "./generate.ts";
import type { Completion, Finish, GenerateRequest } from "./request.ts";

/** One answer, as it stands in the file. */
export type AnswerRow = {
  prompt: Prompt;
  response: string;
  finish: Finish;
  /** Tokens of the response, its end token included. */
  tokens: number;
  /** Absent for a model without objectives. */
  mix?: Mix;
  /** What the prompt's row says is right, where it says so. */
  answer?: Answer;
};

/** What every prompt is answered under. */
export type AnswerOptions = Omit<GenerateRequest, "ids" | "mix"> & {
  /** Each prompt is answered under each of them. Default: the equal mix. */
  mixes?: readonly Mix[] | undefined;
  /** Goes before every prompt that has no system message of its own. */
  system?: string | undefined;
  batchSize?: number | undefined;
  signal?: AbortSignal | undefined;
};

/** A prompt with the system message in front. */
export const withSystem = (prompt: Prompt, system: string | undefined): Prompt => {
  if (system === undefined) return prompt;
  const messages = promptMessages(prompt);
  const told = messages[0]?.role === "system" || messages[0]?.role === "developer";
  return told ? messages : [{ role: "system", content: system }, ...messages];
};

/** Tokens of a row's prompt. @throws MahaloError E_PROMPT and E_GENERATE_CONTEXT naming file and line */
export const idsOf = (
  model: LanguageModel,
  { prompt, origin }: PromptRow,
  system: string | undefined,
): number[] => {
  const { tokenizer, template, config } = model;
  const encoding = { tokenizer, template, maxPromptTokens: Number.MAX_SAFE_INTEGER };
  try {
    const ids = encodePrompt(withSystem(prompt, system), encoding);
    if (ids.length < config.maxPositions) return ids;
    throw new MahaloError(
      "E_GENERATE_CONTEXT",
      `${formatOrigin(origin)}: a prompt of ${ids.length} tokens leaves no room in the model's context of ${config.maxPositions}`,
      { hint: "shorten the prompt" },
    );
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    throw new MahaloError("E_PROMPT", `${formatOrigin(origin)}: ${error.message}`);
  }
};

/** A completion as a row of the file. */
export const answerRow = (
  { prompt, answer }: PromptRow,
  mix: Mix | undefined,
  { text, finish, ids }: Completion,
): AnswerRow => ({
  prompt,
  response: text,
  finish,
  tokens: ids.length,
  ...(mix === undefined ? {} : { mix }),
  ...(answer === undefined ? {} : { answer }),
});

/**
 * Answers prompts; the rows come in the order of the prompts, and of the mixes under each.
 *
 * Answer i draws from the stream of seed + i, i counting prompts: the mixes of one prompt share their luck.
 *
 * @throws MahaloError E_PROMPT and E_GENERATE_CONTEXT naming file and line, and what generate throws
 */
export const answerPrompts = async (
  model: LanguageModel,
  prompts: readonly PromptRow[],
  { mixes, system, batchSize, signal, ...request }: AnswerOptions = {},
): Promise<AnswerRow[]> => {
  const policies: readonly (Mix | undefined)[] =
    mixes === undefined || mixes.length === 0 ? [undefined] : mixes;
  const asked = prompts.flatMap((row, index) => {
    const ids = idsOf(model, row, system);
    return policies.map((mix) => ({
      row,
      mix,
      request: { ...request, ids, mix, seed: (request.seed ?? 0) + index },
    }));
  });
  const bar = progress({ label: "generate", total: asked.length, unit: "answers" });
  let done = 0;
  const onCompletion = (): void => bar.update(++done);
  const completions = await generateAll(
    model,
    asked.map((entry) => entry.request),
    { batchSize, signal, onCompletion },
  );
  bar.done();
  return asked.flatMap(({ row, mix }, index): AnswerRow[] => {
    const completion = completions[index];
    if (completion === undefined) return [];
    return [answerRow(row, mix, completion)];
  });
};

/** Reads a file of prompts: rows with `prompt` or `messages` in any form that data are read in, or plain lines in .txt. */
export const readPromptFile = async (file: RowFile, signal?: AbortSignal): Promise<PromptRow[]> => {
  if (!file.path.endsWith(".txt")) return loadPrompts(file, { signal });
  if (file.format !== undefined) {
    throw new MahaloError(
      "E_DATA_FORMAT",
      `${file.path}: a .txt file has one prompt per line and no format`,
      {
        hint: "leave the format out, or give rows as JSON lines",
      },
    );
  }
  const text = await readText(file.path);
  const rows = text.split(/\r?\n/).flatMap((prompt, index): PromptRow[] => {
    return prompt.trim() === "" ? [] : [{ prompt, origin: { file: file.path, line: index + 1 } }];
  });
  if (rows.length > 0) return rows;
  throw new MahaloError("E_DATA_NO_ROWS", `${file.path}: no prompt`, { hint: "write one prompt per line" });
};
