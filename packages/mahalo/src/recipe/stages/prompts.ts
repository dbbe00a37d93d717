/** The prompts that a recipe's policies are evaluated on, the policies themselves, and their answers. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import { writeJsonFile } from "../../core/files.ts";
import { readJsonFile } from "../../core/json.ts";
import { rng } from "../../core/random.ts";
import type { Answer } from "../../data/rows/answers.ts";
import { loadPrompts, locateRows } from "../../data/rows/load.ts";
import type { Message } from "../../data/rows/messages.ts";
import { RowProblem } from "../../data/rows/problems.ts";
import { promptMessages } from "../../data/rows/rows.ts";
import { encodePrompt } from "../../data/tokens/encode.ts";
import type { SweepPrompt } from "../../evaluate/sweep.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import { needFolder, type StageContext } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";
import { readPrompts } from "./data-files.ts";
import { withSystem } from "./prompted.ts";

type Context = StageContext<Recipe>;

/** The first `count` held-out prompts in their drawn order, or as many drawn from the file that the recipe names. */
export const evaluationPrompts = async (
  { recipe, folderOf, signal }: Context,
  stage: string,
  count: number,
): Promise<SweepPrompt[]> => {
  const { from } = recipe.evaluate;
  const toPrompt = (prompt: Message[], reference: Answer | undefined): SweepPrompt => ({
    prompt,
    ...(reference === undefined ? {} : { reference }),
  });
  if (from === "heldOut") {
    const all = await readPrompts(needFolder(stage, "data", folderOf), signal);
    return all.slice(0, count).map(({ prompt, answer }) => toPrompt(prompt, answer));
  }
  const all = await loadPrompts(await locateRows(from), { signal });
  const drawn = rng(recipe.seed, "evaluate", "prompts").shuffle(all);
  return drawn
    .slice(0, Math.min(count, from.limit ?? count))
    .map(({ prompt, answer }) => toPrompt(promptMessages(prompt), answer));
};

/**
 * Tokens of a prompt to answer, cut as the data stage cuts it.
 *
 * @param system what a policy is told in front of the prompt; it belongs to no row, so it takes nothing of the limit
 * @throws MahaloError E_PROMPT for a prompt that the template or the limit leaves nothing of
 */
export function askedIds(
  { tokenizer, template }: Pick<LanguageModel, "tokenizer" | "template">,
  prompt: Message[],
  { chat, maxPromptTokens }: Recipe["data"],
  system?: string,
): number[] {
  const within = (asked: Message[], most: number): number[] =>
    encodePrompt(asked, { tokenizer, template, chat, maxPromptTokens: most });
  try {
    if (system === undefined) return within(prompt, maxPromptTokens);
    const told = withSystem(prompt, system);
    const unlimited = Number.MAX_SAFE_INTEGER;
    const added = within(told, unlimited).length - within(prompt, unlimited).length;
    return within(told, maxPromptTokens + Math.max(0, added));
  } catch (error) {
    if (!(error instanceof RowProblem)) throw error;
    throw new MahaloError("E_PROMPT", `a prompt of the evaluation cannot be used: ${error.message}`, {
      hint: "raise data.maxPromptTokens, or remove its row",
    });
  }
}

/** Runs `use` with a model in memory, in the fastest dtype. */
export const withModel = async <T>(
  name: string,
  { recipe }: Context,
  use: (model: LanguageModel) => Promise<T>,
): Promise<T> => {
  const pinned = name === recipe.model && recipe.revision !== undefined ? { revision: recipe.revision } : {};
  const model = await loadModel(name, { compute: computeDType("auto"), ...pinned });
  try {
    return await use(model);
  } finally {
    model.dispose();
  }
};

/**
 * What a policy has answered, kept in the stage's folder so that a run that was cut short does not make it again.
 *
 * @param name of the file; another for every policy of the stage
 */
export const cachedAnswers = async <T>(
  { folder }: Pick<Context, "folder">,
  name: string,
  schema: z.ZodType<T>,
  make: () => Promise<T>,
): Promise<T> => {
  const path = join(folder, "answers", `${name}.json`);
  if (existsSync(path)) return readJsonFile(path, schema);
  const answers = await make();
  await writeJsonFile(path, answers);
  return answers;
};
