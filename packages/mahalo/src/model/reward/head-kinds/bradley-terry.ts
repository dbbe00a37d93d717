/** Bradley-Terry head: a linear layer without a bias, trained by comparing pairs; only differences of its scores mean anything. */
import { logistic, softplus } from "../../../core/logistic.ts";
import { element } from "../../../core/need.ts";
import type { RewardHeadKind } from "./kind.ts";
import { linearLayer } from "./linear.ts";

/**
 * Loss of a pair's scores; margin m = r_chosen - r_rejected.
 *
 *   loss(m) = -log σ(m),  slope(m) = -σ(-m)
 *
 * The chosen score's slope is slope(m), the rejected one's -slope(m). It is the sigmoid preference loss with beta 1.
 * Source: method, section 1.
 */
export function bradleyTerryLoss(margin: number): { loss: number; slope: number } {
  return { loss: softplus(-margin), slope: -logistic(-margin) };
}

/** Linear(D, 1) without a bias. */
export const bradleyTerry: RewardHeadKind = {
  title: "a Bradley-Terry head",
  outputs: 1,
  probability: false,
  shapes: (hiddenSize) => new Map([["weight", [1, hiddenSize]]]),
  ...linearLayer,
  score: (outputs) => element(outputs, 0),
  pairs: { compare: bradleyTerryLoss },
  transformers: {
    class: "SequenceClassification",
    labels: (name) => [name],
    reads: (headClass, rows) => headClass === "SequenceClassification" && rows === 1,
  },
};
