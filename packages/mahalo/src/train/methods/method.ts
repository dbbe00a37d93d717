/** What a method of alignment is: the fields it reads, the heads it trains, and how it changes pairs and their losses. */
import { MahaloError } from "@mahalo/torch";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import type { PairLoss } from "../losses.ts";
import type { RewardMargins } from "./scalarize.ts";

/** Fields of the align block that only some methods read. */
export type MethodField = "objective" | "weights" | "rewards" | "models" | "conflict";

/** Pairs of one side with what rewards say of them, and the weights over objectives, which sum to 1. */
export type RewardedPairs = {
  pairs: readonly EncodedPair[];
  /** By objective; none where the recipe names no rewards. */
  rewardMargins: RewardMargins;
  weights: ReadonlyMap<string, number>;
};

/** Fields that methods may read, and what they may train. */
const known = {
  fields: ["objective", "weights", "rewards", "models", "conflict"] satisfies MethodField[],
  heads: ["each", "missing", "base"] satisfies NonNullable<AlignMethodSpec["heads"]>[],
};

/** Checks a program's method for words that mean nothing. @throws MahaloError E_REGISTRY */
export const checkMethod = (name: string, { fields, heads, merges }: AlignMethodSpec): void => {
  const refuse = (fault: string): never => {
    throw new MahaloError("E_REGISTRY", `align method "${name}": ${fault}`, { exitStatus: 1 });
  };
  for (const field of Object.keys(fields))
    if (!known.fields.some((other) => other === field)) refuse(`fields: unknown field "${field}"`);
  if (heads === undefined && merges === undefined)
    refuse(`heads is missing; it says what is trained: ${known.heads.join(", ")}`);
  if (heads !== undefined && !known.heads.includes(heads))
    refuse(`heads must be one of ${known.heads.join(", ")}, not "${heads}"`);
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
  heads?: "each" | "missing" | "base";
  /** Pairs with the better response as the chosen one, by rewards or anything else; as many as before. Default: as they are. */
  rank?(rewarded: RewardedPairs): EncodedPair[];
  /** The loss of each pair. Default: the block's loss for all. */
  losses?(rewarded: RewardedPairs, options: { beta: number; smoothing: number }): PairLoss[];
  /** Where it trains nothing: what of aligned models is summed under a mix, their weights or their logits. */
  merges?: "weights" | "logits";
};
