/** The align stage: MAH-DPO, one head an objective over a shared backbone. */

import type { EncodedPair } from "../../data/encode.ts";
import type { LanguageModel } from "../../model/load.ts";
import { preferenceTask, type ReferencePair } from "../../train/preference.ts";
import { cachedReference } from "../../train/reference.ts";
import { selectTrained, train } from "../../train/trainer.ts";
import { hasPairs } from "../objective-schema.ts";
import type { AlignOptions, ObjectiveOptions, Recipe } from "../schema.ts";
import { modelFiles } from "../sources.ts";
import { needFolder, type Stage, type StageContext } from "../stages.ts";
import { readAllPairs } from "./data-files.ts";
import {
  loadForTraining,
  modelFolder,
  reachedRows,
  saveTrained,
  scheduleRows,
  trainingInputs,
} from "./training.ts";

/** Identity of the reference policy: the fine-tuned model's key, or the base model's files where sft is left out. */
const referencePolicy = ({ ingredients }: StageContext<Recipe>): string =>
  ingredients.dependencies.sft ?? ingredients.sources.model ?? "";

/** The reference's log-probabilities of pairs: constants, so they are computed once and kept. */
const referenceOf = async (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  align: AlignOptions,
  context: StageContext<Recipe>,
): Promise<ReferencePair[] | undefined> => {
  if (align.referenceFree) return undefined;
  const { tokensPerPass } = align;
  return cachedReference(model, pairs, {
    tokensPerPass,
    folder: context.cache,
    policy: referencePolicy(context),
    signal: context.signal,
  });
};

/** Trains a head for each objective and the backbone; its folder then holds `model/` and metrics. */
export const alignStage: Stage<Recipe> = {
  name: "align",
  version: "1",
  dependencies: ["data", "sft", "pairs"],
  leftOut: ({ align }) => align === false,
  inputs: ({ align, objectives }) =>
    align === false
      ? null
      : {
          ...trainingInputs(align),
          weights: Object.fromEntries(Object.entries(objectives).map(([name, { weight }]) => [name, weight])),
        },
  sources: ({ sft, model, revision }) => (sft === false ? [modelFiles(model, revision)] : []),
  run: async (context) => {
    const { recipe, folder, folderOf, signal } = context;
    const { align, seed } = recipe;
    if (align === false) return;
    const data = needFolder("align", "data", folderOf);
    const { train: all, heldOut } = await readAllPairs(data, folderOf("pairs"));
    const objectives = Object.keys(recipe.objectives).filter((name) =>
      hasPairs(recipe.objectives[name] as ObjectiveOptions),
    );
    const { rows: pairs, schedule } = reachedRows(all, scheduleRows(all, objectives, align, seed));
    const tuned = folderOf("sft");
    const model = await loadForTraining(recipe, tuned === undefined ? undefined : modelFolder(tuned), align);
    try {
      const reference = await referenceOf(model, pairs, align, context);
      const heldOutReference = await referenceOf(model, heldOut, align, context);
      model.heads.addNoisyCopies(objectives, { seed, std: align.headNoise, compute: model.backbone.compute });
      const trained = selectTrained(model, align.train, model.heads.parameters(), seed);
      const { loss, beta, smoothing } = align;
      const objectiveWeights = Object.fromEntries(
        objectives.map((name) => [name, recipe.objectives[name]?.weight ?? 1]),
      );
      const task = preferenceTask({
        pairs,
        reference,
        heldOut,
        heldOutReference,
        ...schedule,
        loss,
        beta,
        smoothing,
        objectiveWeights,
      });
      await train(model, task, align, trained, { folder, seed, signal });
      await saveTrained(model, context);
    } finally {
      model.dispose();
    }
  },
};
