/** Preference losses: from a pair's margin of log-probabilities to a loss and its slope. */
import { MahaloError } from "@mahalo/torch";
import { logistic, softplus } from "../core/logistic.ts";

/** Loss, and d(loss)/d(margin), of one pair; margin in nats. */
export type PairLoss = (margin: number) => { loss: number; slope: number };

/** What a loss may be told. */
export type PairLossOptions = {
  /** How strongly the policy is held to the reference. Default 0.1. */
  beta?: number;
  /** Share of pairs taken as turned round, 0 to 0.5. Default 0. */
  smoothing?: number;
};

/**
 * Sigmoid loss of DPO, with label smoothing s (cDPO at s > 0).
 *
 *   loss(m)  = -(1 - s) log σ(βm) - s log σ(-βm)
 *   slope(m) = -β [(1 - s) σ(-βm) - s σ(βm)]
 *
 * Source: Rafailov et al. 2023, eq. 7; smoothing after Mitchell 2023.
 */
export const sigmoid =
  ({ beta = 0.1, smoothing = 0 }: PairLossOptions = {}): PairLoss =>
  (margin) => {
    const x = beta * margin;
    return {
      loss: (1 - smoothing) * softplus(-x) + smoothing * softplus(x),
      slope: -beta * ((1 - smoothing) * logistic(-x) - smoothing * logistic(x)),
    };
  };

/**
 * Identity preference optimisation: a squared distance to a fixed margin.
 *
 *   loss(m) = (m - 1 / (2β))²,  slope(m) = 2 (m - 1 / (2β))
 *
 * Source: Azar et al. 2023, eq. 17. The margin is that of summed log-probabilities, as in the paper.
 */
export const ipo =
  ({ beta = 0.1 }: PairLossOptions = {}): PairLoss =>
  (margin) => {
    const distance = margin - 1 / (2 * beta);
    return { loss: distance * distance, slope: 2 * distance };
  };

/** Losses by name; a new one is a function above and a line here. */
export const pairLosses = { sigmoid, ipo } as const;

/** Name of a preference loss. */
export type PairLossName = keyof typeof pairLosses;

/**
 * Makes a loss by name and checks its options.
 *
 * @throws MahaloError E_LOSS_OPTION
 */
export const pairLoss = (name: PairLossName, options: PairLossOptions = {}): PairLoss => {
  const { beta = 0.1, smoothing = 0 } = options;
  if (!(beta > 0 && Number.isFinite(beta)))
    throw new MahaloError("E_LOSS_OPTION", `beta: ${beta} is not above 0`);
  if (!(smoothing >= 0 && smoothing < 0.5)) {
    throw new MahaloError("E_LOSS_OPTION", `smoothing: ${smoothing} is not between 0 and 0.5`);
  }
  if (name === "ipo" && smoothing > 0) {
    throw new MahaloError("E_LOSS_OPTION", "smoothing: is a form of the sigmoid loss; ipo has none");
  }
  return pairLosses[name]({ beta, smoothing });
};
