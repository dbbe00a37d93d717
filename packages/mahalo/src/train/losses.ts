/** Preference losses: from the log-probabilities of a pair's responses to a loss and its derivatives. */
import { MahaloError } from "@mahalo/torch";
import { logistic, softplus } from "../core/logistic.ts";
import { Registry } from "../core/registry.ts";

/** What a loss sees of a pair: log-probabilities summed over each response's tokens, in nats, and their number. */
export type PairLogProbs = {
  chosen: number;
  rejected: number;
  /** Under the reference policy; 0 where it is left out. */
  refChosen: number;
  refRejected: number;
  /** Tokens of the responses, at least 1. */
  chosenLength: number;
  rejectedLength: number;
};

/** What a loss makes of a pair. */
export type PairLossResult = {
  loss: number;
  /** d(loss)/d(chosen). */
  dChosen: number;
  /** d(loss)/d(rejected). */
  dRejected: number;
  /** The rewards that the loss compares, for metrics. Default: DPO's, β (log π(y) - log π_ref(y)). */
  rewards?: { chosen: number; rejected: number };
};

/** The loss of one pair. */
export type PairLoss = (pair: PairLogProbs) => PairLossResult;

/** What a loss may be told. */
export type PairLossOptions = {
  /** How strongly the policy is held to the reference; of `simpo`, the scale of its rewards. Default 0.1, of `simpo` 2. */
  beta?: number | undefined;
  /** Share of pairs taken as turned round, 0 to 0.5. Default 0. */
  smoothing?: number | undefined;
  /** The margin of rewards that `simpo` asks for. Default 0.5. */
  gamma?: number | undefined;
};

/** A loss and its slope at one number. */
type Curve = (x: number) => { loss: number; slope: number };

/** -(1 - s) log σ(x) - s log σ(-x), and its slope. */
const logSigmoid =
  (smoothing: number): Curve =>
  (x) => ({
    loss: (1 - smoothing) * softplus(-x) + smoothing * softplus(x),
    slope: -((1 - smoothing) * logistic(-x) - smoothing * logistic(x)),
  });

/** {@link logSigmoid} of βm as a curve of the margin m, and its slope. */
export const scaledLogSigmoid = (beta: number, smoothing: number): Curve => {
  const curve = logSigmoid(smoothing);
  return (margin) => {
    const { loss, slope } = curve(beta * margin);
    return { loss, slope: beta * slope };
  };
};

/** (m - 1 / (2β))², and its slope. */
const squaredDistance =
  (beta: number): Curve =>
  (margin) => {
    const distance = margin - 1 / (2 * beta);
    return { loss: distance * distance, slope: 2 * distance };
  };

/**
 * A loss of DPO's margin alone, m = (log π(y+) - log π_ref(y+)) - (log π(y-) - log π_ref(y-)), in nats.
 *
 * @param curve loss(m) and its slope
 */
export const ofMargin =
  (beta: number, curve: Curve): PairLoss =>
  ({ chosen, rejected, refChosen, refRejected }) => {
    // Rounded as the rewards' difference is.
    const margin = (beta * (chosen - refChosen) - beta * (rejected - refRejected)) / beta;
    const { loss, slope } = curve(margin);
    return { loss, dChosen: slope, dRejected: -slope };
  };

/**
 * Sigmoid loss of DPO, with label smoothing s (cDPO at s > 0).
 *
 *   loss(m)  = -(1 - s) log σ(βm) - s log σ(-βm)
 *   slope(m) = -β [(1 - s) σ(-βm) - s σ(βm)]
 *
 * Source: Rafailov et al. 2023, eq. 7; smoothing after Mitchell 2023.
 */
export const sigmoid = ({ beta = 0.1, smoothing = 0 }: PairLossOptions = {}): PairLoss =>
  ofMargin(beta, scaledLogSigmoid(beta, smoothing));

/**
 * Identity preference optimisation: a squared distance to a fixed margin.
 *
 *   loss(m) = (m - 1 / (2β))²,  slope(m) = 2 (m - 1 / (2β))
 *
 * Source: Azar et al. 2023, eq. 17. The margin is that of summed log-probabilities, as in the paper.
 */
export const ipo = ({ beta = 0.1 }: PairLossOptions = {}): PairLoss => ofMargin(beta, squaredDistance(beta));

/**
 * IPO of mean log-probabilities a token, so that long responses do not weigh more; TRL's `ipo`.
 *
 *   loss(m) = (m - 1 / (2β))²,  m = (log π(y+) - log π_ref(y+)) / |y+| - (log π(y-) - log π_ref(y-)) / |y-|
 *
 * Source: Azar et al. 2023, eq. 17; the mean after its authors, by TRL's account.
 */
export const ipoNorm = ({ beta = 0.1 }: PairLossOptions = {}): PairLoss => {
  const curve = squaredDistance(beta);
  return ({ chosen, rejected, refChosen, refRejected, chosenLength, rejectedLength }) => {
    const { loss, slope } = curve(
      (chosen - refChosen) / chosenLength - (rejected - refRejected) / rejectedLength,
    );
    return { loss, dChosen: slope / chosenLength, dRejected: -slope / rejectedLength };
  };
};

/**
 * SimPO: the sigmoid loss of mean log-probabilities a token, without a reference, less a margin γ.
 *
 *   loss = -(1 - s) log σ(x) - s log σ(-x),  x = (β/|y+|) log π(y+) - (β/|y-|) log π(y-) - γ
 *
 * Source: Meng et al. 2024, eq. 6; smoothing as in TRL.
 */
export const simpo = ({ beta = 2, smoothing = 0, gamma = 0.5 }: PairLossOptions = {}): PairLoss => {
  const curve = logSigmoid(smoothing);
  return ({ chosen, rejected, chosenLength, rejectedLength }) => {
    const [scaleChosen, scaleRejected] = [beta / chosenLength, beta / rejectedLength];
    const rewards = { chosen: scaleChosen * chosen, rejected: scaleRejected * rejected };
    const { loss, slope } = curve(rewards.chosen - rewards.rejected - gamma);
    return { loss, dChosen: scaleChosen * slope, dRejected: -scaleRejected * slope, rewards };
  };
};

/** What a loss declares beside its formula. */
export type PairLossSpec = {
  /** A few words for the recipe's reference. */
  summary: string;
  /** Whether it compares with the reference policy; where not, none is computed. */
  reference: boolean;
  /** Default of beta. */
  beta: number;
  /** The options that it reads beside beta. */
  reads: readonly (keyof typeof optionMeanings)[];
  make(options?: PairLossOptions): PairLoss;
};

/** Options that only some losses read, and what they are to one that does not. */
const optionMeanings = {
  smoothing: "is a form of the sigmoid loss",
  gamma: "is SimPO's target margin",
} as const;

/** Losses by name; a new one is a function above and a line here, or is added by a program. */
export const pairLosses = new Registry<PairLossSpec>("preference loss", {
  sigmoid: { summary: "DPO's", reference: true, beta: 0.1, reads: ["smoothing"], make: sigmoid },
  ipo: { summary: "IPO's squared distance", reference: true, beta: 0.1, reads: [], make: ipo },
  "ipo-norm": { summary: "IPO with means per token", reference: true, beta: 0.1, reads: [], make: ipoNorm },
  simpo: {
    summary: "SimPO, means per token without a reference",
    reference: false,
    beta: 2,
    reads: ["smoothing", "gamma"],
    make: simpo,
  },
});

/** The loss where none is named. */
export const defaultLoss = "sigmoid";

/** The option that a loss is given and has no use for, and why. */
export const unreadOption = (
  name: string,
  { smoothing = 0, gamma }: PairLossOptions,
): { option: keyof typeof optionMeanings; message: string } | undefined => {
  const given = { smoothing: smoothing > 0, gamma: gamma !== undefined };
  const { reads } = pairLosses.get(name);
  for (const option of ["smoothing", "gamma"] as const) {
    if (given[option] && !reads.includes(option))
      return { option, message: `${optionMeanings[option]}; ${name} has none` };
  }
  return undefined;
};

/**
 * Makes a loss by name and checks its options.
 *
 * @throws MahaloError E_REGISTRY_UNKNOWN, E_LOSS_OPTION
 */
export const pairLoss = (name: string, options: PairLossOptions = {}): PairLoss => {
  const spec = pairLosses.get(name);
  const { beta = spec.beta, smoothing = 0, gamma } = options;
  const refuse = (message: string): never => {
    throw new MahaloError("E_LOSS_OPTION", message);
  };
  if (!(beta > 0 && Number.isFinite(beta))) refuse(`beta: ${beta} is not above 0`);
  if (!(smoothing >= 0 && smoothing < 0.5)) refuse(`smoothing: ${smoothing} is not between 0 and 0.5`);
  if (gamma !== undefined && !(gamma >= 0 && Number.isFinite(gamma)))
    refuse(`gamma: ${gamma} is not a number of at least 0`);
  const unread = unreadOption(name, options);
  if (unread !== undefined) refuse(`${unread.option}: ${unread.message}`);
  return spec.make({ beta, smoothing, gamma });
};
