/** The fast forms of a layer's parts: fused CPU kernels, one pass over memory each. */
import { ops, type Tensor } from "@mahalo/torch";
import { type Kernels, plainKernels, type RowwiseKernels, type RowwiseLinear } from "./kernels.ts";

/** The weight that multiplies, and its scales where it is the int8 copy. */
const weightFor = ({ weight, int8 }: RowwiseLinear): [Tensor, Tensor | null] =>
  int8 === undefined ? [weight, null] : [int8.values_NK, int8.scale_N];

/** Two native calls a layer, each weight read once; a row's result does not depend on the rows beside it. */
export const rowwiseKernels: RowwiseKernels = {
  front: (x_TD, { norm, qkv, queryNorm, keyNorm, heads, kvHeads, eps, gains_TS }, { cos_TE, sin_TE }) => {
    const [weight, scale] = weightFor(qkv);
    return ops.rowwiseFront(
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
      qkv.lowRank ?? [],
      gains_TS,
    );
  },
  back: (x_TD, o_THE, { out, norm, gateUp, down, eps, gains_TS }) =>
    ops.rowwiseBack(
      x_TD,
      o_THE,
      ...weightFor(out),
      out.bias,
      norm,
      eps,
      ...weightFor(gateUp),
      ...weightFor(down),
      out.lowRank ?? [],
      gateUp.lowRank ?? [],
      down.lowRank ?? [],
      gains_TS,
    ),
  linear: (x_TD, linear) => ops.rowwiseLinear(x_TD, ...weightFor(linear), linear.bias),
};

/** Fused kernels in float32 and bfloat16; equal to {@link plainKernels} up to the rounding of the dtype. */
export const fusedKernels: Kernels = {
  rmsNorm: (x, weight, eps) => ops.fusedNorm(x, weight, eps),
  swiglu: (gateUp_TJ) => ops.fusedSwiglu(gateUp_TJ),
  splitRotate: (qkv_TQ, { cos_TE, sin_TE }, heads, kvHeads) =>
    ops.fusedSplitRotate(qkv_TQ, cos_TE, sin_TE, heads, kvHeads),
  rotate: plainKernels.rotate,
  rowwise: rowwiseKernels,
};

/** The kernels of a device: fused on the CPU, composed operators elsewhere. */
export const kernelsFor = (device: string): Kernels => (device === "cpu" ? fusedKernels : plainKernels);
