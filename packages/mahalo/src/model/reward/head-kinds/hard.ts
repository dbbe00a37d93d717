/** Hard head: a linear layer that gives the logits of the classes 0 and 1, trained by cross-entropy. */
import { logistic } from "../../../core/logistic.ts";
import { element } from "../../../core/need.ts";
import type { RewardHeadKind } from "./kind.ts";
import { linearLayer, linearShapes } from "./linear.ts";
import { binaryCrossEntropy, shareLabels } from "./soft.ts";

/**
 * Cross-entropy of two classes; label 1 is the second one, and a label between is the share of the second.
 *
 *   loss(z0, z1) = -(1 - y) log p0 - y log p1,  slopes = (p0 - (1 - y), p1 - y),  (p0, p1) = softmax(z0, z1)
 *
 * With two classes p1 is σ(z1 - z0), so this is binary cross-entropy of the difference.
 */
export function twoClass(
  [z0, z1]: readonly [number, number],
  label: number,
): { loss: number; slopes: [number, number] } {
  const { loss, slope } = binaryCrossEntropy(z1 - z0, label);
  return { loss, slopes: [0 - slope, slope] };
}

/** Linear(D, 2). The score is softmax(z0, z1) of class 1, which is σ(z1 - z0). */
export const hard: RewardHeadKind = {
  title: "a head of two classes",
  outputs: 2,
  probability: true,
  shapes: (hiddenSize) => linearShapes(2, hiddenSize),
  ...linearLayer,
  score: (outputs) => logistic(element(outputs, 1) - element(outputs, 0)),
  steps: {
    loss: (outputs, label) => {
      const { loss, slopes } = twoClass([element(outputs, 0), element(outputs, 1)], label);
      return { loss, gradients: slopes };
    },
    ...shareLabels,
    classes: true,
  },
  // The chosen response is of class 1, the rejected one of class 0.
  pairs: { labels: { chosen: 1, rejected: 0 } },
  transformers: {
    class: "TokenClassification",
    labels: (name) => [`${name}=0`, `${name}=1`],
    reads: (_headClass, rows) => rows === 2,
  },
};
