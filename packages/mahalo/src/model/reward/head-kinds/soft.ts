/** Soft head: a linear layer that gives the logit of a number in [0, 1], trained by binary cross-entropy. */
import { logistic, softplus } from "../../../core/logistic.ts";
import { element } from "../../../core/need.ts";
import type { RewardHeadKind } from "./kind.ts";
import { linearLayer, linearShapes } from "./linear.ts";

/**
 * Binary cross-entropy of a logit against a number in [0, 1]: least where σ(z) is the label, so that 0.7 stays 0.7.
 *
 *   loss(z) = -y log σ(z) - (1 - y) log σ(-z),  slope(z) = σ(z) - y
 */
export function binaryCrossEntropy(logit: number, label: number): { loss: number; slope: number } {
  return {
    loss: label * softplus(-logit) + (1 - label) * softplus(logit),
    slope: logistic(logit) - label,
  };
}

/** Labels in [0, 1], for losses of probabilities. */
export const shareLabels = {
  accepts: (label: number): boolean => label >= 0 && label <= 1,
  range: "a number in [0, 1]",
};

/** Linear(D, 1). */
export const soft: RewardHeadKind = {
  title: "a soft head",
  outputs: 1,
  probability: true,
  shapes: (hiddenSize) => linearShapes(1, hiddenSize),
  ...linearLayer,
  score: (outputs) => logistic(element(outputs, 0)),
  steps: {
    loss: (outputs, label) => {
      const { loss, slope } = binaryCrossEntropy(element(outputs, 0), label);
      return { loss, gradients: [slope] };
    },
    ...shareLabels,
    classes: false,
  },
  pairs: { labels: { chosen: 1, rejected: 0 } },
  transformers: {
    class: "TokenClassification",
    labels: (name) => [name],
    reads: (headClass, rows) => headClass === "TokenClassification" && rows === 1,
  },
};
