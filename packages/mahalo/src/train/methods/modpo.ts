/** MODPO: the preference loss of one objective's pairs for fixed weights, the other objectives' rewards as its margin. */
import { MahaloError } from "@mahalo/torch";
import { lookUp } from "../../core/need.ts";
import { ofMargin, type PairLoss, scaledLogSigmoid } from "../losses.ts";
import type { AlignMethodSpec } from "./method.ts";
import { scalarized } from "./scalarize.ts";

/** What {@link modpo} is told of a pair. */
export type ModpoOptions = {
  /** How strongly the policy is held to the reference. Default 0.1. */
  beta?: number;
  /** Weight w_k of the pair's own objective, above 0; weights of all objectives sum to 1. */
  weight: number;
  /** Sum over the other objectives of w_j (r_j(y+) - r_j(y-)): what they already say for the chosen response. */
  others: number;
  /** Share of pairs taken as turned round, 0 to 0.5. Default 0. */
  smoothing?: number;
};

/**
 * The loss of one pair of objective k, for any number of other objectives j:
 *
 *   loss(m) = -log σ( (1/w_k) [β m - sum_{j≠k} w_j (r_j(x, y+) - r_j(x, y-))] ),  slope(m) = -(β/w_k) σ(-(...))
 *
 * where m is DPO's margin of log-probabilities against the reference, in nats. With w_k = 1 it is DPO's loss. One
 * policy is trained for each vector of weights.
 *
 * Source: Zhou et al. 2023 (MODPO), eq. 11.
 *
 * @throws MahaloError E_LOSS_OPTION for a weight that is not in (0, 1] or a margin that is not finite
 */
export const modpo = ({ beta = 0.1, weight, others, smoothing = 0 }: ModpoOptions): PairLoss => {
  if (!(weight > 0 && weight <= 1)) {
    throw new MahaloError(
      "E_LOSS_OPTION",
      `modpo: weight ${weight} of the pair's objective is not in (0, 1]`,
      {
        hint: "give every objective whose pairs are trained on a weight above 0, or name one as align.objective",
      },
    );
  }
  if (!Number.isFinite(others))
    throw new MahaloError("E_LOSS_OPTION", `modpo: the other objectives' rewards sum to ${others}`);
  const curve = scaledLogSigmoid(beta / weight, smoothing);
  return ofMargin(beta, (margin) => curve(margin - others / beta));
};

/** One head for fixed weights: each pair under its own objective's weight, the other objectives' rewards as its margin. */
export const modpoMethod: AlignMethodSpec = {
  summary: "one head for fixed weights, with the other objectives' rewards as margin.",
  fields: { objective: "optional", weights: "optional", rewards: "needed", conflict: "optional" },
  heads: "base",
  losses: ({ pairs, rewardMargins, weights }, { beta, smoothing }) =>
    pairs.map(({ objective }, index) =>
      modpo({
        beta,
        smoothing,
        weight: lookUp(weights, objective, "weight of objective"),
        others: scalarized(rewardMargins, weights, index, objective),
      }),
    ),
};
