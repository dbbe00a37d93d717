/** The fast forms of a layer's parts: fused CPU kernels, one pass over memory each. */
import { ops, type Tensor } from "@mahalo/torch";
import { findProcessor } from "../core/machine.ts";
import { type FewRowsKernels, type FewRowsLinear, type Kernels, plainKernels } from "./kernels.ts";

/** Rows up to which int8 is faster than the weight itself: with more, arithmetic costs more than the bytes that it saves. */
const MOST_INT8_ROWS = 8;

/** The weight that multiplies so many rows, and its scales where it is the int8 copy. */
const weightFor = ({ weight, int8 }: FewRowsLinear, x_TD: Tensor): [Tensor, Tensor | null] =>
  int8 === undefined || x_TD.size(0) > MOST_INT8_ROWS ? [weight, null] : [int8.values_NK, int8.scale_N];

/** With AVX-512's products of bfloat16 and int8 a weight in registers serves many rows; elsewhere rows go one by one. */
const mostRows = (): number => {
  const { avx512, bf16 } = findProcessor();
  return avx512 && bf16 ? 16 : 4;
};

/** Two native calls a layer, each weight read once; a row's result does not depend on the rows beside it. */
export const fewRowsKernels: FewRowsKernels = {
  most: mostRows(),
  front: (x_TD, { norm, qkv, queryNorm, keyNorm, heads, kvHeads, eps }, { cos_TE, sin_TE }) => {
    const [weight, scale] = weightFor(qkv, x_TD);
    return ops.fewRowsFront(
      x_TD,
      norm,
      eps,
      weight,
      scale,
      qkv.bias,
      queryNorm,
      keyNorm,
      cos_TE,
      sin_TE,
      heads,
      kvHeads,
    );
  },
  back: (x_TD, o_THE, { out, norm, gateUp, down, eps }) =>
    ops.fewRowsBack(
      x_TD,
      o_THE,
      ...weightFor(out, x_TD),
      out.bias,
      norm,
      eps,
      ...weightFor(gateUp, x_TD),
      ...weightFor(down, x_TD),
    ),
  linear: (x_TD, linear) => ops.fewRowsLinear(x_TD, ...weightFor(linear, x_TD), linear.bias),
};

/** Fused kernels in float32 and bfloat16; equal to {@link plainKernels} up to the rounding of the dtype. */
export const fusedKernels: Kernels = {
  rmsNorm: (x, weight, eps) => ops.fusedNorm(x, weight, eps),
  swiglu: (gateUp_TJ) => ops.fusedSwiglu(gateUp_TJ),
  splitRotate: (qkv_TQ, { cos_TE, sin_TE }, heads, kvHeads) =>
    ops.fusedSplitRotate(qkv_TQ, cos_TE, sin_TE, heads, kvHeads),
  rotate: plainKernels.rotate,
  fewRows: fewRowsKernels,
};

/** The kernels of a device: fused on the CPU, composed operators elsewhere. */
export const kernelsFor = (device: string): Kernels => (device === "cpu" ? fusedKernels : plainKernels);
