/** How fast this machine multiplies matrices, for those who ask whether it is as fast as it should be. */
import { type DType, getThreads, noGrad, ops, scope, setThreads } from "@mahalo/torch";
import { multiply } from "./products.ts";

/** Floating-point operations a second of matrix products, by compute dtype. */
export type GemmRates = { f32: number; bf16: number };

/** Operations in a second of processor time, on one thread. */
const rateOf = (dtype: DType, size: number, milliseconds: number): number =>
  noGrad(() =>
    scope(() => {
      const a = ops.rand([size, size]).to(dtype);
      const b = ops.rand([size, size]).to(dtype);
      // The first product pays for packed buffers.
      multiply(a, b).dispose();
      const began = performance.now();
      let best = Number.POSITIVE_INFINITY;
      do {
        const from = process.cpuUsage();
        multiply(a, b).dispose();
        const { user, system } = process.cpuUsage(from);
        best = Math.min(best, Math.max(1, user + system));
      } while (performance.now() - began < milliseconds);
      return (2 * size ** 3) / (best / 1e6);
    }),
  );

/**
 * Measures square matrix products in f32 and bf16: what all threads together do where nothing else runs.
 *
 * One thread is measured by the processor time that it gets, and multiplied by the number of threads: by the clock, and
 * with threads that wait for each other, other work on the machine made a product up to thirty times as slow. The best of
 * several is taken.
 *
 * @param size rows and columns; default 1024.
 * @param milliseconds time spent on each dtype; default 150.
 */
export const measureGemm = ({ size = 1024, milliseconds = 150 } = {}): GemmRates => {
  const threads = getThreads();
  setThreads(1);
  try {
    return {
      f32: threads * rateOf("float32", size, milliseconds),
      bf16: threads * rateOf("bfloat16", size, milliseconds),
    };
  } finally {
    setThreads(threads);
  }
};
