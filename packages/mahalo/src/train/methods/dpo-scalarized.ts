/** DPO on pairs that the weighted sum of rewards ranks anew. */
import type { AlignMethodSpec } from "./method.ts";
import { rankBy, scalarized } from "./scalarize.ts";

/** Both responses of a pair change places where the other objectives outweigh its own. */
export const dpoScalarized: AlignMethodSpec = {
  summary: "one head, on all pairs, ranked again by the weighted sum of rewards.",
  fields: { weights: "optional", rewards: "needed", conflict: "optional" },
  heads: "base",
  rank: ({ pairs, rewardMargins, weights }) =>
    rankBy(
      pairs,
      pairs.map((_, index) => scalarized(rewardMargins, weights, index)),
    ),
};
