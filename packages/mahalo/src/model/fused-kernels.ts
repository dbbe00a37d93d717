/** The fast forms of a layer's elementwise parts: fused CPU kernels, one pass over memory each. */
import { ops } from "@mahalo/torch";
import { type Kernels, plainKernels } from "./kernels.ts";

/** Fused kernels in float32 and bfloat16; equal to {@link plainKernels} up to the rounding of the dtype. */
export const fusedKernels: Kernels = {
  rmsNorm: (x, weight, eps) => ops.fusedNorm(x, weight, eps),
  swiglu: (gateUp_TJ) => ops.fusedSwiglu(gateUp_TJ),
  splitRotate: (qkv_TQ, { cos_TE, sin_TE }, heads, kvHeads) =>
    ops.fusedSplitRotate(qkv_TQ, cos_TE, sin_TE, heads, kvHeads),
  rotate: plainKernels.rotate,
};

/** The kernels of a device: fused on the CPU, composed operators elsewhere. */
export const kernelsFor = (device: string): Kernels => (device === "cpu" ? fusedKernels : plainKernels);
