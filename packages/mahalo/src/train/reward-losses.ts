/** Reward losses: from what a reward head says of a step, and the step's label, to a loss and its slopes. */
import { logistic, softplus } from "../core/logistic.ts";
import { type PairLoss, sigmoid } from "./losses.ts";

/** Loss of one label, and d(loss)/d(output) of the one number that a head gives. */
export type NumberLoss = (output: number, label: number) => { loss: number; slope: number };

/** Loss of one label, and d(loss)/d(output) of each of the two numbers that a head gives. */
export type TwoClassLoss = (
  outputs: readonly [number, number],
  label: number,
) => { loss: number; slopes: [number, number] };

/**
 * Squared error of a value head; any label.
 *
 *   loss(v) = (v - y)²,  slope(v) = 2 (v - y)
 *
 * Source: method, section 1.
 */
export const squaredError: NumberLoss = (value, label) => {
  const distance = value - label;
  return { loss: distance * distance, slope: 2 * distance };
};

/**
 * Binary cross-entropy of a logit against a number in [0, 1]: least where σ(z) is the label, so that 0.7 stays 0.7.
 *
 *   loss(z) = -y log σ(z) - (1 - y) log σ(-z),  slope(z) = σ(z) - y
 */
export const binaryCrossEntropy: NumberLoss = (logit, label) => ({
  loss: label * softplus(-logit) + (1 - label) * softplus(logit),
  slope: logistic(logit) - label,
});

/**
 * Cross-entropy of two classes; label 1 is the second one, and a label between is the share of the second.
 *
 *   loss(z0, z1) = -(1 - y) log p0 - y log p1,  slopes = (p0 - (1 - y), p1 - y),  (p0, p1) = softmax(z0, z1)
 *
 * With two classes p1 is σ(z1 - z0), so this is binary cross-entropy of the difference.
 */
export const twoClass: TwoClassLoss = ([z0, z1], label) => {
  const { loss, slope } = binaryCrossEntropy(z1 - z0, label);
  return { loss, slopes: [0 - slope, slope] };
};

/**
 * Bradley-Terry loss of a pair's scores; margin m = r_chosen - r_rejected.
 *
 *   loss(m) = -log σ(m),  slope(m) = -σ(-m)
 *
 * The chosen score's slope is slope(m), the rejected one's -slope(m). It is the sigmoid preference loss with beta 1.
 * Source: method, section 1.
 */
export const bradleyTerry: PairLoss = sigmoid({ beta: 1 });
