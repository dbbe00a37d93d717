/** The elementwise parts of a transformer layer, as composed operators; fused-kernels.ts has the fast forms. */
import { ops, type Tensor } from "@mahalo/torch";
import { type Rotation, rotate } from "./rope.ts";

// Shapes: T tokens, D hidden, H query heads, G key-value heads, E head width, I width of the MLP.

/** What a layer asks of its kernels; every implementation gives the same numbers up to rounding. */
export type Kernels = {
  /** x / sqrt(mean(x²) + eps) * weight, over the last dimension (Zhang and Sennrich 2019, eq. 4). */
  rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor;
  /** Queries and keys turned by their positions. */
  rotate(x_THE: Tensor, rotation: Rotation): Tensor;
  /** silu(gate) * up of the two halves of the last dimension (Shazeer 2020, eq. 5). */
  swiglu(gateUp_TJ: Tensor): Tensor;
};

/** Composed of libtorch's operators; runs on every device. */
export const plainKernels: Kernels = {
  rmsNorm: (x, weight, eps) => ops.rmsNorm(x, weight.shape, weight, eps),
  rotate,
  swiglu: (gateUp_TJ) => {
    const width = gateUp_TJ.size(-1) / 2;
    const [gate_TI, up_TI] = ops.splitWithSizes(gateUp_TJ, [width, width], -1);
    if (gate_TI === undefined || up_TI === undefined) return gateUp_TJ;
    return ops.silu(gate_TI).mul(up_TI);
  },
};
