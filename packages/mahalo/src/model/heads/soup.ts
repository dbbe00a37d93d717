/** Soups: one model whose weights are the weighted sum of several models' weights. */
import { MahaloError, noGrad, ops } from "@mahalo/torch";
import { need } from "../../core/need.ts";
import { type LanguageModel, type LoadOptions, loadModel } from "../folder/load.ts";
import type { Parameter } from "../transformer/parameters.ts";
import type { Mix } from "./heads.ts";
import { normalizeMix } from "./heads.ts";

/** The weights of a model of one head: its backbone's, and its head's. */
const weightsOf = ({ backbone, heads }: LanguageModel): Parameter[] => [...backbone.parameters(), heads.base];

const checkMember = (name: string, model: LanguageModel): void => {
  if (model.heads.objectives.length === 0) return;
  throw new MahaloError(
    "E_SOUP_MODEL",
    `${name}: has a head for each objective, and these cannot be averaged`,
    {
      hint: "name models with one head (align.method: dpo); for a mix of heads use mahalo export --mix",
    },
  );
};

const add = (soup: LanguageModel, other: LanguageModel, name: string, weight: number): void => {
  const [ours, theirs] = [weightsOf(soup), weightsOf(other)];
  for (const [index, parameter] of ours.entries()) {
    const from = theirs[index];
    const shapes = [parameter, from].map((each) => each?.value.shape.join(" x "));
    if (from === undefined || parameter.master === undefined || shapes[0] !== shapes[1]) {
      throw new MahaloError(
        "E_SOUP_MODEL",
        `${name}: ${parameter.name} is ${shapes[1] ?? "missing"}, not ${shapes[0]}`,
        {
          hint: "a soup needs models that were trained from the same model",
        },
      );
    }
    ops.add_(parameter.master, from.float(), { alpha: weight });
  }
};

/**
 * A model made of others: W = sum_k w_k W_k for every weight, in float32.
 *
 * Models must have one head and one shape; a soup makes sense of models trained from the same one. With all weight on
 * one model it is that model bit for bit. Weights are scaled to sum 1; of a weight 0 the model is not read.
 *
 * Source: Rame et al. 2023 (rewarded soups), eq. 1; Jang et al. 2023 (personalized soups), section 4.
 *
 * @param models folders or names by objective, as `loadModel` takes them
 * @throws MahaloError E_SOUP_MODEL for models that do not fit together; E_MIX_*; and what `loadModel` throws
 *
 * @example await saveModel(await soupModel({ a: "runs/dpo-a/align/model", b: "runs/dpo-b/align/model" }, { a: 3, b: 1 }), "soup")
 */
export const soupModel = async (
  models: Readonly<Record<string, string>>,
  mix: Mix,
  { compute }: Pick<LoadOptions, "compute"> = {},
): Promise<LanguageModel> => {
  const members = [...normalizeMix(mix, Object.keys(models))].filter(([, weight]) => weight > 0);
  const [head, ...others] = members;
  const [first, share] = need(head, "a model with any weight");
  const soup = await loadModel(need(models[first], `the model of ${first}`), {
    training: true,
    ...(compute === undefined ? {} : { compute }),
  });
  try {
    checkMember(first, soup);
    noGrad(() => {
      for (const { master } of weightsOf(soup))
        if (master !== undefined && share !== 1) ops.mulScalar_(master, share);
    });
    for (const [name, weight] of others) {
      const other = await loadModel(need(models[name], `the model of ${name}`));
      try {
        checkMember(name, other);
        noGrad(() => add(soup, other, name, weight));
      } finally {
        other.dispose();
      }
    }
  } catch (error) {
    soup.dispose();
    throw error;
  }
  for (const parameter of weightsOf(soup)) parameter.syncFromMaster();
  return soup;
};
