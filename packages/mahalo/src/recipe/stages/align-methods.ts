/** What the methods of align differ in: whose head reads a pair, which response is the better one, and the loss. */
import { MahaloError } from "@mahalo/torch";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { evenMix, normalizeMix } from "../../model/heads/heads.ts";
import { type PairLoss, pairLosses } from "../../train/losses.ts";
import { alignMethods } from "../../train/methods/registry.ts";
import type { RewardMargins } from "../../train/methods/scalarize.ts";
import type { PreferenceTaskOptions, ReferencePair } from "../../train/preference.ts";
import type { SourceFiles } from "../engine/source-files.ts";
import type { StageContext } from "../engine/stage.ts";
import type { AlignOptions, Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { pairRewards } from "./pair-rewards.ts";

/** Whether the method trains one head for all pairs, the model's own, and no head for each objective. */
export const singleHead = ({ method }: AlignOptions): boolean => {
  const { heads } = alignMethods.get(method);
  return heads !== "each" && heads !== "missing";
};

/** Whether the method adds heads to a model that stays as it is. */
export const addsHeads = ({ method }: AlignOptions): boolean => alignMethods.get(method).heads === "missing";

/** Whether adapters are trained, over a backbone that stays as it is. */
const trainsAdapters = ({ train }: AlignOptions): boolean => typeof train === "object" && "adapters" in train;

/** Whether nothing but heads is trained; those that are there answer over this backbone, which must then stay as it is. */
export const freezesBackbone = (align: AlignOptions): boolean =>
  align.train === "heads" || (addsHeads(align) && !trainsAdapters(align));

/** Whether the loss compares with the reference policy, whose log-probabilities are computed only then. */
export const readsReference = ({ referenceFree, loss }: AlignOptions): boolean =>
  !referenceFree && pairLosses.get(loss).reference;

/**
 * The objectives that get new heads, by add-head those that the model has none for.
 *
 * @throws MahaloError E_ADD_HEAD where there is nothing to add, or nothing to add it to
 */
export const newHeads = (
  align: AlignOptions,
  { heads }: Pick<LanguageModel, "heads">,
  objectives: readonly string[],
): readonly string[] => {
  if (!addsHeads(align)) return objectives;
  const present = heads.objectives;
  const added = objectives.filter((name) => !present.includes(name));
  if (present.length > 0 && added.length > 0) return added;
  const [fault, hint] =
    present.length === 0
      ? [
          "the model has no heads to add to",
          "name an aligned model as the recipe's model, and set sft: false",
        ]
      : [
          `the model has a head for each objective with pairs: ${present.join(", ")}`,
          "give the recipe pairs of a new objective",
        ];
  throw new MahaloError("E_ADD_HEAD", `align.method: ${align.method}: ${fault}`, { hint });
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
  return normalizeMix(weights ?? evenMix(names), names);
};

/** Pairs of both sides with what the objectives' rewards say of them, which is nothing where the recipe names none. */
export type RankedPairs = {
  pairs: readonly EncodedPair[];
  heldOut: readonly EncodedPair[];
  rewardMargins: { pairs: RewardMargins; heldOut: RewardMargins };
};

type ReferenceOf = (pairs: readonly EncodedPair[]) => Promise<ReferencePair[]>;

/** What a method makes of pairs, which must be one for each. @throws MahaloError E_METHOD */
const asMany = <T>(
  what: "rank" | "losses",
  made: T[],
  pairs: readonly EncodedPair[],
  { method }: AlignOptions,
): T[] => {
  if (Array.isArray(made) && made.length === pairs.length) return made;
  const count = Array.isArray(made) ? `${made.length}` : "no list";
  throw new MahaloError(
    "E_METHOD",
    `align method "${method}": ${what} gives ${count} for ${pairs.length} pairs`,
    {
      exitStatus: 1,
    },
  );
};

/** Rewards the pairs where the recipe names rewards; a method that ranks them does so then. */
export const rankedPairs = async (
  policy: LanguageModel,
  { pairs, heldOut }: { pairs: readonly EncodedPair[]; heldOut: readonly EncodedPair[] },
  weights: ReadonlyMap<string, number>,
  referenceOf: ReferenceOf,
  align: AlignOptions,
  context: StageContext<Recipe>,
): Promise<RankedPairs> => {
  const marginsOf = async (side: readonly EncodedPair[]): Promise<RewardMargins> => {
    if (align.rewards === undefined) return new Map();
    // Rewards need the reference even where the loss leaves it out.
    const reference = await referenceOf(side);
    return pairRewards(side, weights, { align, policy, reference, context });
  };
  const rewardMargins = { pairs: await marginsOf(pairs), heldOut: await marginsOf(heldOut) };
  const { rank } = alignMethods.get(align.method);
  if (rank === undefined) return { pairs, heldOut, rewardMargins };
  const ranked = (side: readonly EncodedPair[], margins: RewardMargins): EncodedPair[] =>
    asMany("rank", rank({ pairs: side, rewardMargins: margins, weights }), side, align);
  return {
    pairs: ranked(pairs, rewardMargins.pairs),
    heldOut: ranked(heldOut, rewardMargins.heldOut),
    rewardMargins,
  };
};

/** The loss of every pair, where the method has one of its own. */
export const lossesOf = (
  { pairs, heldOut, rewardMargins }: RankedPairs,
  weights: ReadonlyMap<string, number>,
  align: AlignOptions,
): PreferenceTaskOptions["losses"] => {
  const { method, beta, smoothing } = align;
  const { losses } = alignMethods.get(method);
  if (losses === undefined) return undefined;
  const lossesFor = (side: readonly EncodedPair[], margins: RewardMargins): PairLoss[] =>
    asMany(
      "losses",
      losses({ pairs: side, rewardMargins: margins, weights }, { beta, smoothing }),
      side,
      align,
    );
  return {
    pairs: lossesFor(pairs, rewardMargins.pairs),
    heldOut: lossesFor(heldOut, rewardMargins.heldOut),
  };
};
