/** Value head: a network of two layers that gives a number of any size, trained by squared error. */
import { ops } from "@mahalo/torch";
import { element } from "../../../core/need.ts";
import type { RewardHeadKind } from "./kind.ts";
import { layerBackward, layerForward } from "./linear.ts";

/**
 * Squared error; any label.
 *
 *   loss(v) = (v - y)²,  slope(v) = 2 (v - y)
 *
 * Source: method, section 1.
 */
export function squaredError(value: number, label: number): { loss: number; slope: number } {
  const distance = value - label;
  return { loss: distance * distance, slope: 2 * distance };
}

/** Linear(D, D), ReLU, Linear(D, 1). Source: method, section 1. */
export const value: RewardHeadKind = {
  title: "a value head",
  outputs: 1,
  probability: false,
  shapes: (hiddenSize) =>
    new Map([
      ["hidden.weight", [hiddenSize, hiddenSize]],
      ["hidden.bias", [hiddenSize]],
      ["out.weight", [1, hiddenSize]],
      ["out.bias", [1]],
    ]),
  forward: (head, x_ND) => {
    const inner_ND = ops.relu(layerForward(head, "hidden.", x_ND));
    return { outputs_NO: layerForward(head, "out.", inner_ND), lastInput_NI: inner_ND };
  },
  backward: (head, x_ND, inner_ND, gradient_NO) => {
    const gradient_ND = layerBackward(head, "out.", inner_ND, gradient_NO);
    // What the ReLU cut off passes nothing back.
    const passed_ND = gradient_ND.mul(ops.gtScalar(inner_ND, 0).to(gradient_ND.dtype));
    return layerBackward(head, "hidden.", x_ND, passed_ND);
  },
  score: (outputs) => element(outputs, 0),
  steps: {
    loss: (outputs, label) => {
      const { loss, slope } = squaredError(element(outputs, 0), label);
      return { loss, gradients: [slope] };
    },
    accepts: Number.isFinite,
    range: "a finite number",
    classes: false,
  },
};
