/** A linear layer of a reward head: y = x W^T + b, and its gradients in closed form. */
import { ops, type Tensor } from "@mahalo/torch";
import type { HeadForward, HeadWeights } from "./kind.ts";

// Shapes: N positions, I inputs, O outputs of the layer.

/** Outputs of a layer; without a bias where the head has none of the layer's. @param layer prefix of its weights' names */
export function layerForward(head: HeadWeights, layer: string, x_NI: Tensor): Tensor {
  const bias = head.weights.get(`${layer}bias`);
  return ops.linear(x_NI, head.weight(`${layer}weight`).value, bias?.value ?? null);
}

/**
 * Gradients of a layer from d(loss)/dy: dW = dy^T x, db = sum_n dy_n, dx = dy W.
 *
 * Adds the first two to the head's and returns the third.
 */
export function layerBackward(head: HeadWeights, layer: string, x_NI: Tensor, gradient_NO: Tensor): Tensor {
  const weight = head.weight(`${layer}weight`);
  weight.accumulate(ops.mm(gradient_NO.t(), x_NI));
  head.weights.get(`${layer}bias`)?.accumulate(gradient_NO.sum(0));
  return ops.mm(gradient_NO, weight.value.detach());
}

/** Forward and backward of heads that are one linear layer. */
export const linearLayer = {
  forward: (head: HeadWeights, x_ND: Tensor): HeadForward => ({
    outputs_NO: layerForward(head, "", x_ND),
    lastInput_NI: x_ND,
  }),
  backward: (head: HeadWeights, x_ND: Tensor, _lastInput_NI: Tensor, gradient_NO: Tensor): Tensor =>
    layerBackward(head, "", x_ND, gradient_NO),
};

/** Shapes of a linear layer with a bias. */
export function linearShapes(outputs: number, hiddenSize: number): Map<string, number[]> {
  return new Map([
    ["weight", [outputs, hiddenSize]],
    ["bias", [outputs]],
  ]);
}
