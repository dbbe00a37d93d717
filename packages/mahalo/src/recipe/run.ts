/** Runs a recipe: the stage engine over the real stages, in the run's folder. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { writeFileIfOther } from "../core/files.ts";
import { formatDuration } from "../core/format.ts";
import { readBytes } from "../core/read-file.ts";
import { writeResolvedRecipe } from "./load.ts";
import { pipeline } from "./pipeline.ts";
import { type RunStagesOptions, runStages, type StageOutcome } from "./run-stages.ts";
import type { Recipe } from "./schema.ts";

/** The folder of a recipe's run. */
export const runFolder = ({ out, name }: Recipe): string => resolve(out, name);

/** What a run did, and where its results are. */
export type RunOutcome = {
  name: string;
  folder: string;
  stages: StageOutcome[];
  /** The report, once there is one. */
  report: string | undefined;
};

/** Results that stand at the top of the run's folder too, by the stage that writes them. */
const published = [
  ["evaluate", "results.json"],
  ["guide", "guidance.json"],
  ["report", "report.html"],
  ["report", "sweep.svg"],
] as const;

/** Takes away what an earlier run published, so that no result of another recipe stands beside this one's stages. */
const unpublish = async (folder: string): Promise<void> => {
  for (const [, file] of published) await rm(join(folder, file), { force: true });
};

const publish = async (folder: string, stages: readonly StageOutcome[]): Promise<string | undefined> => {
  let report: string | undefined;
  for (const [stage, file] of published) {
    const from = join(folder, stage, file);
    if (!stages.some(({ name }) => name === stage) || !existsSync(from)) continue;
    const to = join(folder, file);
    await writeFileIfOther(to, await readBytes(from));
    if (file === "report.html") report = to;
  }
  return report;
};

/** Options of {@link runRecipe}. */
export type RunRecipeOptions = Omit<RunStagesOptions, "folder" | "seed">;

/**
 * Runs all stages of a recipe that are not fresh.
 *
 * The run's folder (`<out>/<name>`) then holds the resolved recipe, a folder for each stage with its metrics and
 * models, and once they are made `results.json`, `report.html` and `sweep.svg`.
 *
 * @throws MahaloError as {@link runStages}.
 */
export const runRecipe = async (recipe: Recipe, options: RunRecipeOptions = {}): Promise<RunOutcome> => {
  const folder = runFolder(recipe);
  const stages = await runStages(pipeline, recipe, {
    ...options,
    folder,
    seed: recipe.seed,
    begin: async (fresh) => {
      if (!fresh) await unpublish(folder);
      await writeResolvedRecipe(join(folder, "recipe.yaml"), recipe);
    },
  });
  return { name: recipe.name, folder, stages, report: await publish(folder, stages) };
};

/** A run's outcome as text. */
export const describeRun = ({ name, folder, stages, report }: RunOutcome): string => {
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const did = stages.map((stage) => `${stage.name} ${stage.did}`).join(", ");
  const lines = [`${name}: ${did} (${formatDuration(seconds)})`, `folder: ${folder}`];
  if (report !== undefined) lines.push(`report: ${report}`);
  return `${lines.join("\n")}\n`;
};
