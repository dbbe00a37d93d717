/** Matrix products outside of the decoder's kernels: libtorch's, or in float32 where bfloat16 has no instructions. */
import { ops, type Tensor } from "@mahalo/torch";
import { findProcessor } from "./machine.ts";

let bf16: boolean | undefined;

/** Whether libtorch would multiply this tensor one number at a time: bfloat16 on a processor that has no products of it. */
export const slowProducts = ({ dtype, device }: Tensor): boolean => {
  if (dtype !== "bfloat16" || device !== "cpu") return false;
  bf16 ??= findProcessor().bf16;
  return !bf16;
};

/**
 * y = x W^T + bias, with gradients.
 *
 * @param x_NK input rows
 * @param weight_MK weight, one row an output
 * @param bias_M added to every row; default none
 */
export const linear = (x_NK: Tensor, weight_MK: Tensor, bias_M: Tensor | null = null): Tensor =>
  slowProducts(x_NK) ? ops.wideLinear(x_NK, weight_MK, bias_M) : ops.linear(x_NK, weight_MK, bias_M);

/** a b, without gradients. */
export const multiply = (a_NK: Tensor, b_KM: Tensor): Tensor =>
  slowProducts(a_NK) ? ops.wideMm(a_NK, b_KM) : ops.mm(a_NK, b_KM);
