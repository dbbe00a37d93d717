/** Runs a recipe: the stage engine over the real stages, in the run's folder. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileIfOther } from "../core/files.ts";
import { formatDuration } from "../core/format.ts";
import { findMemory, type Memory } from "../core/machine.ts";
import { readBytes } from "../core/read-file.ts";
import { removeControl, writeControl } from "../evaluate/control-file.ts";
import { readResults } from "../evaluate/results.ts";
import { type RunStagesOptions, runStages, type StageOutcome } from "./engine/run-stages.ts";
import { writeResolvedRecipe } from "./load.ts";
import { checkMemory } from "./memory.ts";
import { pipeline } from "./pipeline.ts";
import { runFolder } from "./run-folder.ts";
import type { Recipe } from "./schema/schema.ts";

export { runFolder } from "./run-folder.ts";

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

/** Folder of the model that a run aligned. */
const alignedModel = (folder: string): string => join(folder, "align", "model");

/** Takes away what an earlier run published, so that no result of another recipe stands beside this one's stages. */
const unpublish = async (folder: string): Promise<void> => {
  for (const [, file] of published) await rm(join(folder, file), { force: true });
  await removeControl(alignedModel(folder));
};

/** Keeps what the run's evaluation measured beside its model. */
const publishControl = async (folder: string): Promise<void> => {
  const path = join(folder, "evaluate", "results.json");
  const model = alignedModel(folder);
  if (existsSync(path) && existsSync(model)) await writeControl(model, await readResults(path));
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
export type RunRecipeOptions = Omit<RunStagesOptions, "folder" | "seed" | "begin" | "beforeStage"> & {
  /** The memory that there is. Default: what the machine or the container has. */
  memory?: Memory;
  /** Begin stages even if by their estimate they need more memory than there is. Default false. */
  ignoreMemory?: boolean | undefined;
};

/**
 * Runs all stages of a recipe that are not fresh.
 *
 * The run's folder (`<out>/<name>`) then holds the resolved recipe, a folder for each stage with its metrics and
 * models, and once they are made `results.json`, `report.html` and `sweep.svg`.
 *
 * @throws MahaloError as {@link runStages}; E_RUN_MEMORY before a training stage begins that cannot fit into memory.
 */
export const runRecipe = async (recipe: Recipe, options: RunRecipeOptions = {}): Promise<RunOutcome> => {
  const folder = runFolder(recipe);
  const { memory = findMemory(), ignoreMemory = false, ...rest } = options;
  let checked = ignoreMemory;
  const stages = await runStages(pipeline.items, recipe, {
    ...rest,
    folder,
    seed: recipe.seed,
    // Rows are counted by the data stage, so that what follows it is checked at once, before hours go into its first.
    beforeStage: async (name) => {
      if (checked || name === "data") return;
      checked = true;
      await checkMemory(recipe, memory, { until: rest.until });
    },
    begin: async (fresh) => {
      if (!fresh) await unpublish(folder);
      await writeResolvedRecipe(join(folder, "recipe.yaml"), recipe);
    },
  });
  if (stages.some(({ name }) => name === "evaluate")) await publishControl(folder);
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
