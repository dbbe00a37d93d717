/** Policies made of several aligned models: their weights summed (soup), or their logits (mod). */
import { type LogitMixture, logitMixture } from "../../decode/logit-mixing.ts";
import type { SweepMix } from "../../evaluate/mixes.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { soupModel } from "../../model/heads/soup.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import { alignMethods } from "../../train/methods/registry.ts";
import type { SourceFiles } from "../engine/source-files.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";

/** A method that trains nothing: it answers under a mix by models that were aligned to one objective each. */
export type Merged = {
  method: string;
  merges: "weights" | "logits";
  models: Readonly<Record<string, string>>;
};

/** What a recipe merges; undefined where it trains its policy. */
export const mergedOf = ({ align }: Pick<Recipe, "align">): Merged | undefined => {
  if (align === false || align.models === undefined) return undefined;
  const { method, models } = align;
  const { merges } = alignMethods.get(method);
  return merges === undefined ? undefined : { method, merges, models };
};

/** The merged models, for a stage's content hash. */
export const mergedSources = (recipe: Pick<Recipe, "align">): SourceFiles[] =>
  Object.entries(mergedOf(recipe)?.models ?? {}).map(([objective, model]) => ({
    ...modelFiles(model),
    label: `align.models.${objective}`,
  }));

/** Runs `use` with a policy under a mix: its model, the mix to ask it for, and its decoder where it has its own. */
export const withMerged = async <T>(
  { merges, models }: Merged,
  mix: SweepMix,
  use: (model: LanguageModel, mix: SweepMix | undefined, decoder?: LogitMixture["decoder"]) => Promise<T>,
): Promise<T> => {
  const compute = computeDType("auto");
  if (merges === "weights") {
    const soup = await soupModel(models, mix, { compute });
    try {
      return await use(soup, undefined);
    } finally {
      soup.dispose();
    }
  }
  const members = new Map<string, LanguageModel>();
  try {
    for (const [name, model] of Object.entries(models))
      members.set(name, await loadModel(model, { compute }));
    const { model, decoder } = logitMixture(members);
    try {
      return await use(model, mix, decoder);
    } finally {
      model.dispose();
    }
  } finally {
    for (const member of members.values()) member.dispose();
  }
};
