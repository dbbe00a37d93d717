/** What the methods of align differ in: whose head reads a pair, which response is the better one, and the loss. */
import { MahaloError } from "@mahalo/torch";
import { lookUp } from "../../core/need.ts";
import type { EncodedPair } from "../../data/encode.ts";
import { normalizeMix } from "../../model/heads.ts";
import type { LanguageModel } from "../../model/load.ts";
import type { PairLoss } from "../../train/losses.ts";
import { modpo } from "../../train/modpo.ts";
import type { PreferenceTaskOptions, ReferencePair } from "../../train/preference.ts";
import { type RewardGaps, rankBy, scalarized } from "../../train/scalarize.ts";
import type { AlignOptions, Recipe } from "../schema.ts";
import type { SourceFiles } from "../source-files.ts";
import { modelFiles } from "../sources.ts";
import type { StageContext } from "../stages.ts";
import { pairRewards } from "./pair-rewards.ts";

/** Whether the method trains one head for all pairs, the model's own, and no head for each objective. */
export const singleHead = ({ method }: AlignOptions): boolean =>
  method !== "mah-dpo" && method !== "add-head";

/**
 * The objectives that get new heads, by add-head those that the model has none for.
 *
 * @throws MahaloError E_ADD_HEAD where there is nothing to add, or nothing to add it to
 */
export const newHeads = (
  { method }: AlignOptions,
  { heads }: Pick<LanguageModel, "heads">,
  objectives: readonly string[],
): readonly string[] => {
  if (method !== "add-head") return objectives;
  const known = heads.objectives;
  const added = objectives.filter((name) => !known.includes(name));
  if (known.length > 0 && added.length > 0) return added;
  const [fault, hint] =
    known.length === 0
      ? [
          "the model has no heads to add to",
          "name an aligned model as the recipe's model, and set sft: false",
        ]
      : [
          `the model has a head for each objective with pairs: ${known.join(", ")}`,
          "give the recipe pairs of a new objective",
        ];
  throw new MahaloError("E_ADD_HEAD", `align.method: add-head: ${fault}`, { hint });
};

/** The models that reward pairs, for the stage's content hash. */
export const rewardModels = ({ rewards = {} }: AlignOptions): SourceFiles[] =>
  Object.entries(rewards).map(([objective, model]) => ({
    ...modelFiles(model),
    label: `align.rewards.${objective}`,
  }));

/** Weights over objectives, scaled to sum 1: those of the block, else equal ones. */
export const weightsOf = (
  { weights, rewards = {} }: AlignOptions,
  objectives: readonly string[],
): ReadonlyMap<string, number> => {
  const names = [...new Set([...objectives, ...Object.keys(rewards), ...Object.keys(weights ?? {})])];
  return normalizeMix(weights ?? Object.fromEntries(names.map((name) => [name, 1])), names);
};

/** Pairs of both sides with what the objectives' rewards say of them; no rewards where the method has no use for them. */
export type RankedPairs = {
  pairs: readonly EncodedPair[];
  heldOut: readonly EncodedPair[];
  gaps: { pairs: RewardGaps; heldOut: RewardGaps } | undefined;
};

type ReferenceOf = (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  align: AlignOptions,
  context: StageContext<Recipe>,
) => Promise<ReferencePair[] | undefined>;

/** Rewards the pairs where the method asks for it; dpo-scalarized then ranks both responses anew. */
export const rankedPairs = async (
  policy: LanguageModel,
  { pairs, heldOut }: { pairs: readonly EncodedPair[]; heldOut: readonly EncodedPair[] },
  weights: ReadonlyMap<string, number>,
  referenceOf: ReferenceOf,
  align: AlignOptions,
  context: StageContext<Recipe>,
): Promise<RankedPairs> => {
  if (align.rewards === undefined) return { pairs, heldOut, gaps: undefined };
  const gapsOf = async (side: readonly EncodedPair[]): Promise<RewardGaps> => {
    // Rewards need the reference even where the loss leaves it out.
    const known = await referenceOf(policy, side, { ...align, referenceFree: false }, context);
    return pairRewards(side, weights, { align, policy, reference: known ?? [], context });
  };
  const gaps = { pairs: await gapsOf(pairs), heldOut: await gapsOf(heldOut) };
  if (align.method !== "dpo-scalarized") return { pairs, heldOut, gaps };
  const ranked = (side: readonly EncodedPair[], own: RewardGaps): EncodedPair[] =>
    rankBy(
      side,
      side.map((_, at) => scalarized(own, weights, at)),
    );
  return { pairs: ranked(pairs, gaps.pairs), heldOut: ranked(heldOut, gaps.heldOut), gaps };
};

/** MODPO's loss of every pair: its own objective's weight, and the other objectives' rewards as its margin. */
export const lossesOf = (
  { pairs, heldOut, gaps }: RankedPairs,
  weights: ReadonlyMap<string, number>,
  { method, beta, smoothing }: AlignOptions,
): PreferenceTaskOptions["losses"] => {
  if (method !== "modpo" || gaps === undefined) return undefined;
  const losses = (side: readonly EncodedPair[], own: RewardGaps): PairLoss[] =>
    side.map(({ objective }, at) =>
      modpo({
        beta,
        smoothing,
        weight: lookUp(weights, objective, "the weight of objective"),
        others: scalarized(own, weights, at, objective),
      }),
    );
  return { pairs: losses(pairs, gaps.pairs), heldOut: losses(heldOut, gaps.heldOut) };
};
