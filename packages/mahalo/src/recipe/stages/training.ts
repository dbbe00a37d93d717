/** What the two training stages share: the order of rows, the number of steps, and the model they begin with. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { element, lookUp } from "../../core/need.ts";
import { listNames } from "../../core/suggest.ts";
import { type Balance, balancedBatches } from "../../data/tokens/balance.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { saveModel } from "../../model/folder/save.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import type { StageContext } from "../engine/stage.ts";
import { keyOf } from "../engine/stage-manifest.ts";
import type { Recipe, TrainingOptions } from "../schema/schema.ts";

/** Folder of a stage's model, inside the stage's own. */
export const modelFolder = (stage: string): string => join(stage, "model");

/** The order of rows over a whole run. */
export type Schedule = {
  steps: number;
  /** Indices into the list of all rows. */
  batch: (step: number) => number[];
};

/**
 * Plans the steps of a training stage over rows of several objectives.
 *
 * An epoch ends when the largest objective was seen once; `epochs` may be a fraction, `maxSteps` ends earlier.
 *
 * @param rows the objective of each row.
 * @throws MahaloError E_BATCH_SIZE, E_BATCH_EMPTY
 */
export const scheduleRows = (
  rows: readonly { objective: string }[],
  objectives: readonly string[],
  options: Pick<TrainingOptions, "batchSize" | "epochs" | "maxSteps">,
  seed: number,
): Schedule => {
  const members = new Map(objectives.map((name): [string, number[]] => [name, []]));
  for (const [index, { objective }] of rows.entries()) members.get(objective)?.push(index);
  const counts = Object.fromEntries([...members].map(([name, indices]) => [name, indices.length]));
  const balance: Balance = balancedBatches({ counts, batchSize: options.batchSize, seed });
  const steps = Math.min(
    Math.max(1, Math.ceil(options.epochs * balance.stepsPerEpoch)),
    options.maxSteps ?? Number.POSITIVE_INFINITY,
  );
  return {
    steps,
    batch: (step) => {
      const epoch = Math.floor(step / balance.stepsPerEpoch);
      const parts = balance.batch(epoch, step % balance.stepsPerEpoch);
      return parts.flatMap(({ objective, rows: indices }) =>
        indices.map((index) => element(lookUp(members, objective, "objective"), index, "row")),
      );
    },
  };
};

/**
 * The rows that a plan's steps reach, in their order, and the plan over these alone: what is computed for each row
 * beforehand is not computed for rows that `maxSteps` leaves out.
 */
export const reachedRows = <Row>(
  rows: readonly Row[],
  { steps, batch }: Schedule,
): { rows: Row[]; schedule: Schedule } => {
  const reached = new Set(Array.from({ length: steps }, (_, step) => batch(step)).flat());
  const place = new Map([...reached].sort((a, b) => a - b).map((index, position) => [index, position]));
  return {
    rows: rows.filter((_, index) => reached.has(index)),
    schedule: { steps, batch: (step) => batch(step).map((index) => lookUp(place, index, "row")) },
  };
};

/** Loads a model to train: the recipe's base model, or the folder that an earlier stage saved. */
export const loadForTraining = (
  recipe: Recipe,
  from: string | undefined,
  options: TrainingOptions,
): Promise<LanguageModel> =>
  loadModel(from ?? recipe.model, {
    compute: computeDType(options.precision),
    training: true,
    ...(from === undefined && recipe.revision !== undefined ? { revision: recipe.revision } : {}),
  });

/**
 * Refuses to train the backbone beneath heads that a model has.
 *
 * @param field what of the recipe would, and `otherwise` what to do in its place
 * @throws MahaloError E_HEAD_EXISTS
 */
export const refuseHeads = ({ heads }: LanguageModel, field: string, otherwise: string): void => {
  if (heads.objectives.length === 0) return;
  throw new MahaloError(
    "E_HEAD_EXISTS",
    `${field}: the model has heads for ${listNames(heads.objectives)}, which would answer over another backbone`,
    { hint: `${otherwise}, or export a mix (mahalo export) and begin with that` },
  );
};

/** Saves what a stage trained, with what it came from. */
export const saveTrained = async (
  model: LanguageModel,
  { recipe, folder, ingredients }: StageContext<Recipe>,
): Promise<void> => {
  const { name, model: base, seed } = recipe;
  const provenance = { recipe: name, base, seed, stage: ingredients.stage, key: keyOf(ingredients) };
  await saveModel(model, modelFolder(folder), { provenance });
};

/** Keys of a training block that change its outputs; where checkpoints go to does not. */
export const trainingInputs = <Options extends TrainingOptions>({
  saveEvery: _,
  ...rest
}: Options): Omit<Options, "saveEvery"> => rest;
