/** The sft stage: supervised fine-tuning of the base model on responses. */
import { sftTask } from "../../train/sft.ts";
import { setTrainable, train } from "../../train/trainer.ts";
import { needFolder, type Stage } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { readExamples, readHeldOutExamples } from "./data-files.ts";
import { loadForTraining, refuseHeads, saveTrained, scheduleRows, trainingInputs } from "./training.ts";

/** Trains the base model on the examples of the data stage; its folder then holds `model/` and metrics. */
export const sftStage: Stage<Recipe> = {
  name: "sft",
  version: "1",
  dependencies: ["data"],
  skipped: ({ sft }) => sft === false,
  inputs: ({ sft }) => {
    if (sft === false) return null;
    // Which rows these are is the data stage's matter.
    const { from: _, ...options } = sft;
    return trainingInputs(options);
  },
  sources: ({ model, revision }) => [modelFiles(model, revision)],
  run: async (context) => {
    const { recipe, folder, folderOf, signal } = context;
    const { sft, seed } = recipe;
    if (sft === false) return;
    const data = needFolder("sft", "data", folderOf);
    const [examples, heldOut] = [await readExamples(data, signal), await readHeldOutExamples(data, signal)];
    // Examples are one list here: an objective's share among them is its share of the rows.
    const rows = examples.map(() => ({ objective: "sft" }));
    const schedule = scheduleRows(rows, ["sft"], sft, seed);
    const model = await loadForTraining(recipe, undefined, sft);
    try {
      refuseHeads(model, "sft", "set sft: false");
      const trained = setTrainable(model, sft.train, [model.heads.base], seed);
      // Rows that are read once gain nothing from keeping what frozen layers give.
      const options = { ...sft, cacheHidden: sft.epochs > 1 };
      await train(model, sftTask({ examples, heldOut, ...schedule }), options, trained, {
        folder,
        seed,
        signal,
      });
      await saveTrained(model, context);
    } finally {
      model.dispose();
    }
  },
};
