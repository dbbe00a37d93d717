/** What a method of alignment is: the fields it reads, the heads it trains, and how it changes pairs and their losses. */
import type { EncodedPair } from "../../data/tokens/encode.ts";
import type { PairLoss } from "../losses.ts";
import type { RewardMargins } from "./scalarize.ts";

/** Fields of the align block that only some methods read. */
const methodFields = ["objective", "weights", "rewards", "models", "conflict"] as const;

/** Field of the align block that only some methods read. */
export type MethodField = (typeof methodFields)[number];

/** What methods train; see {@link AlignMethodSpec.heads}. */
const trainedHeads = ["each", "missing", "base"] as const;

/** Pairs of one side with what rewards say of them, and the weights over objectives, which sum to 1. */
export type RewardedPairs = {
  pairs: readonly EncodedPair[];
  /** By objective; none where the recipe names no rewards. */
  rewardMargins: RewardMargins;
  weights: ReadonlyMap<string, number>;
};

/** What of a program's method means nothing; undefined where all is well. */
export const methodFault = ({ fields, heads, merges }: AlignMethodSpec): string | undefined => {
  const strange = Object.keys(fields).find((field) => !methodFields.some((name) => name === field));
  if (strange !== undefined) return `fields: unknown field "${strange}"`;
  if (heads === undefined)
    return merges === undefined
      ? `heads is missing; it says what is trained: ${trainedHeads.join(", ")}`
      : undefined;
  return trainedHeads.includes(heads)
    ? undefined
    : `heads must be one of ${trainedHeads.join(", ")}, not "${heads}"`;
};

/** A method of alignment. */
export type AlignMethodSpec = {
  /** One sentence for the recipe's reference. */
  summary: string;
  fields: Readonly<Partial<Record<MethodField, "needed" | "optional">>>;
  /**
   * What it trains: a new head for each objective; new heads for the objectives that the model has none for, and nothing
   * else; or the model's base head. Left out where it trains nothing.
   */
  heads?: (typeof trainedHeads)[number];
  /** Pairs with the better response as the chosen one, by rewards or anything else; as many as before. Default: as they are. */
  rank?(rewarded: RewardedPairs): EncodedPair[];
  /** The loss of each pair. Default: the block's loss for all. */
  losses?(rewarded: RewardedPairs, options: { beta: number; smoothing: number }): PairLoss[];
  /** Where it trains nothing: what of aligned models is summed under a mix, their weights or their logits. */
  merges?: "weights" | "logits";
};
