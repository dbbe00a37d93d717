/** Scalarised rewards: several objectives' rewards of a pair as one number, and pairs ranked by it. */
import { MahaloError } from "@mahalo/torch";
import { zip } from "../../core/need.ts";

/** r(chosen) - r(rejected) of every pair, by objective. */
export type RewardMargins = ReadonlyMap<string, readonly number[]>;

/**
 * The weighted sum of the margins of pair `index`: sum_k w_k (r_k(y+) - r_k(y-)).
 *
 * @param without an objective that is left out of the sum. Default: none.
 * @throws MahaloError E_REWARD_GAP where an objective with a weight above 0 has no finite reward of the pair
 */
export const scalarized = (
  rewardMargins: RewardMargins,
  weights: ReadonlyMap<string, number>,
  index: number,
  without?: string,
): number => {
  let sum = 0;
  for (const [name, weight] of weights) {
    if (weight === 0 || name === without) continue;
    const margin = rewardMargins.get(name)?.[index];
    if (margin === undefined || !Number.isFinite(margin)) {
      throw new MahaloError("E_REWARD_GAP", `align.rewards.${name}: no reward of pair ${index + 1}`, {
        hint: `name a reward for every objective with a weight above 0, or give "${name}" the weight 0`,
      });
    }
    sum += weight * margin;
  }
  return sum;
};

/**
 * Pairs with the better response as the chosen one, by scalarised rewards; a tie stays as it is.
 *
 * @param rewardMargins sum of each pair, as {@link scalarized} gives it
 */
export const rankBy = <Pair extends { chosen: unknown; rejected: unknown }>(
  pairs: readonly Pair[],
  rewardMargins: readonly number[],
): Pair[] =>
  zip(pairs, rewardMargins).map(([pair, margin]) =>
    margin < 0 ? { ...pair, chosen: pair.rejected, rejected: pair.chosen } : pair,
  );
