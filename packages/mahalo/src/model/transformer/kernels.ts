/** The elementwise parts of a transformer layer, as composed operators; fused-kernels.ts has the fast forms. */
import { MahaloError, ops, type Tensor } from "@mahalo/torch";
import { type Rotation, rotate } from "./rope.ts";

// Shapes: T tokens, D hidden, H query heads, G key-value heads, E head width, I width of the MLP,
// S ranks of all adapters of a map.

/** A weight as int8, q w ~ scale[n] q[n, k]. */
export type Int8Weight = { values_NK: Tensor; scale_N: Tensor };

/** A linear map as rowwise kernels see it: int8 where it was quantized, else its weight. */
export type RowwiseLinear = {
  weight: Tensor;
  bias: Tensor | null;
  int8: Int8Weight | undefined;
  /** A [S, in] and B [out, S] of the map's adapters, in the order of the gains. */
  lowRank?: readonly [a_SN: Tensor, b_MS: Tensor] | undefined;
};

/**
 * The linear parts of a layer without gradients: what lies before its attention, and what lies behind.
 *
 * A row's result depends on that row alone, bit for bit: not on the rows beside it, nor on their number.
 */
export type RowwiseKernels = {
  /** Norm, projection, norms of heads where the model has them, rotation: [T, H, E], [T, G, E], [T, G, E]. */
  front(
    x_TD: Tensor,
    layer: {
      norm: Tensor;
      qkv: RowwiseLinear;
      queryNorm: Tensor | null;
      keyNorm: Tensor | null;
      heads: number;
      kvHeads: number;
      eps: number;
      gains_TS?: Tensor | undefined;
    },
    rotation: Rotation,
  ): [Tensor, Tensor, Tensor];
  /** x + out(o), and to that its MLP's output added, [T, D]. */
  back(
    x_TD: Tensor,
    o_THE: Tensor,
    layer: {
      out: RowwiseLinear;
      norm: Tensor;
      gateUp: RowwiseLinear;
      down: RowwiseLinear;
      eps: number;
      gains_TS?: Tensor | undefined;
    },
  ): Tensor;
  /** x W^T + b, in float32. */
  linear(x_TD: Tensor, linear: RowwiseLinear): Tensor;
};

/** What a layer asks of its kernels; every implementation gives the same numbers up to rounding. */
export type Kernels = {
  /** x / sqrt(mean(x²) + eps) * weight, over the last dimension (Zhang and Sennrich 2019, eq. 4). */
  rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor;
  /** Heads turned by their positions. */
  rotate(x_THE: Tensor, rotation: Rotation): Tensor;
  /** Rows of query, key and value heads to rotated queries [T, H, E], rotated keys [T, G, E] and values [T, G, E]. */
  splitRotate(qkv_TQ: Tensor, rotation: Rotation, heads: number, kvHeads: number): [Tensor, Tensor, Tensor];
  /** silu(gate) * up of the two halves of the last dimension (Shazeer 2020, eq. 5). */
  swiglu(gateUp_TJ: Tensor): Tensor;
  /** Passes without gradients, row by row, where the device has them. */
  rowwise?: RowwiseKernels | undefined;
};

/** Rows of query, key and value heads, apart: [T, H, E], [T, G, E], [T, G, E]. */
export const splitHeads = (
  qkv_TQ: Tensor,
  headDim: number,
  heads: number,
  kvHeads: number,
): [Tensor, Tensor, Tensor] => {
  const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim];
  const [q, k, v] = ops
    .splitWithSizes(qkv_TQ, widths, -1)
    .map((part) => part.reshape(-1, part.size(-1) / headDim, headDim));
  if (q === undefined || k === undefined || v === undefined) {
    throw new MahaloError("E_INTERNAL", "qkv does not split", { exitStatus: 1 });
  }
  return [q, k, v];
};

/** Composed of libtorch's operators; runs on every device. */
export const plainKernels: Kernels = {
  rmsNorm: (x, weight, eps) => ops.rmsNorm(x, weight.shape, weight, eps),
  rotate,
  splitRotate: (qkv_TQ, rotation, heads, kvHeads) => {
    const [q_THE, k_TGE, v_TGE] = splitHeads(qkv_TQ, rotation.cos_TE.size(-1), heads, kvHeads);
    return [rotate(q_THE, rotation), rotate(k_TGE, rotation), v_TGE];
  },
  swiglu: (gateUp_TJ) => {
    const width = gateUp_TJ.size(-1) / 2;
    const [gate_TI, up_TI] = ops.splitWithSizes(gateUp_TJ, [width, width], -1);
    if (gate_TI === undefined || up_TI === undefined) return gateUp_TJ;
    return ops.silu(gate_TI).mul(up_TI);
  },
};
