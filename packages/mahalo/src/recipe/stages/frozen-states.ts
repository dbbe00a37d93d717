/** Hidden states that the runs of one folder share: those of the model that align begins with, where it stays frozen. */
import { dirname, join } from "node:path";
import { hashBytes } from "../../core/files.ts";
import { canonicalJson } from "../../core/json.ts";
import { numberSetting } from "../../core/settings.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { HiddenStore } from "../../train/hidden-store.ts";
import { StateCache } from "../../train/state-cache.ts";
import type { StageContext } from "../engine/stage.ts";
import { readStageManifest } from "../engine/stage-manifest.ts";
import { runFolder } from "../run-folder.ts";
import type { Recipe } from "../schema/schema.ts";

/** Folder of the states, beside the runs that read them. */
const statesFolder = (recipe: Recipe): string => join(dirname(runFolder(recipe)), ".states");

/** What identifies the weights that align begins with: the files of the fine-tuned model, or those of the base model. */
const weightsOf = async ({ folderOf, ingredients }: StageContext<Recipe>): Promise<string | undefined> => {
  const tuned = folderOf("sft");
  if (tuned === undefined) return ingredients.sources.model;
  const { outputs = {} } = (await readStageManifest(tuned)) ?? {};
  const sums = Object.entries(outputs).flatMap(([name, file]) =>
    name.endsWith(".safetensors") && typeof file === "object" ? [file.sha256] : [],
  );
  return sums.length === 0 ? undefined : hashBytes(canonicalJson(sums));
};

/**
 * A cache of the hidden states of the model that align begins with. What it reads is kept in `.states` beside the runs,
 * at most MAHALO_STATES_GB gigabytes in all (default 4; 0 keeps nothing), and read from there by later runs over the same
 * rows, with another beta or by another method.
 *
 * @throws MahaloError E_SETTING
 */
export const openFrozenStates = async (
  model: LanguageModel,
  context: StageContext<Recipe>,
): Promise<StateCache> => {
  const weights = await weightsOf(context);
  const maxBytes = numberSetting(process.env, "MAHALO_STATES_GB", 4, { zero: true }) * 1e9;
  const { backbone } = model;
  if (weights === undefined || maxBytes === 0) return new StateCache();
  const folder = statesFolder(context.recipe);
  return new StateCache({
    store: new HiddenStore({ folder, weights, compute: backbone.compute, maxBytes }),
  });
};
