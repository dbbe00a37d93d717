/** Weights once more as int8, for passes without gradients: half of bf16's bytes, a quarter of f32's, and faster products. */
import { keep, noGrad, ops, scope, type Tensor } from "@mahalo/torch";
import type { Backbone } from "./backbone.ts";
import type { Int8Weight } from "./kernels.ts";

/**
 * A weight as int8 with one float32 scale a row: scale = max |w| / 127, q = round(w / scale).
 *
 * The weight itself is left as it is; the caller disposes of the result.
 */
export const quantize = (weight_NK: Tensor): Int8Weight =>
  noGrad(() =>
    scope(() => {
      const [values_NK, scale_N] = ops.quantizeRows(weight_NK.detach());
      return { values_NK: keep(values_NK), scale_N: keep(scale_N) };
    }),
  );

/** Frees a quantized weight. */
export const disposeInt8 = (int8: Int8Weight | undefined): void => {
  int8?.values_NK.dispose();
  int8?.scale_N.dispose();
};

/**
 * Gives every linear map of a backbone its int8 copy, which passes without gradients multiply with from then on.
 *
 * Gradients go on with the weights as they are, so the copy is held beside them, a byte a weight. A weight that changes
 * afterwards needs a new copy.
 */
export const quantizeBackbone = ({ weights }: Backbone): void => {
  for (const { qkv, attentionOut, gateUp, down } of weights.layers) {
    for (const linear of [qkv, attentionOut, gateUp, down]) {
      disposeInt8(linear.int8);
      linear.int8 = quantize(linear.weight.value);
    }
  }
};
