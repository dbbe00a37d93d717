/** How fast this machine multiplies matrices: the one number that estimates of time rest on. */
import { type DType, noGrad, ops, scope } from "@mahalo/torch";

/** Floating-point operations a second of matrix products, by compute dtype. */
export type GemmRates = { f32: number; bf16: number };

const rateOf = (dtype: DType, size: number, milliseconds: number): number =>
  noGrad(() =>
    scope(() => {
      const a = ops.rand([size, size]).to(dtype);
      const b = ops.rand([size, size]).to(dtype);
      // The first product pays for threads and packed buffers.
      ops.mm(a, b).dispose();
      const began = performance.now();
      let best = Number.POSITIVE_INFINITY;
      do {
        const from = performance.now();
        ops.mm(a, b).dispose();
        best = Math.min(best, performance.now() - from);
      } while (performance.now() - began < milliseconds);
      return (2 * size ** 3) / (best / 1000);
    }),
  );

/**
 * Measures square matrix products in f32 and bf16.
 *
 * The best of several is taken, since other work on the machine only ever slows a product down.
 *
 * @param size rows and columns; default 1024.
 * @param milliseconds time spent on each dtype; default 150.
 */
export const measureGemm = ({ size = 1024, milliseconds = 150 } = {}): GemmRates => ({
  f32: rateOf("float32", size, milliseconds),
  bf16: rateOf("bfloat16", size, milliseconds),
});
