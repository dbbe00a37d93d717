/** Rate of the machine's matrix products: a cube, and the products that one training step of a model is made of. */
import { noGrad, ops, scope } from "@mahalo/torch";
import type { ModelConfig } from "../packages/mahalo/src/model/folder/model-config.ts";
import type { ComputeDType } from "../packages/mahalo/src/model/transformer/parameters.ts";

/** A product [rows, inner] x [inner, columns], and how often it occurs. */
export type Product = { rows: number; inner: number; columns: number; times: number };

/** Rate of one product, in 10^9 floating-point operations a second: the best of several, after one to warm up. */
const rateOf = ({ rows, inner, columns }: Product, dtype: ComputeDType, milliseconds: number): number =>
  noGrad(() =>
    scope(() => {
      const a = ops.randn([rows, inner]).to(dtype);
      // Weights lie as [columns, inner]; a linear layer multiplies with the transpose.
      const b = ops.randn([columns, inner]).to(dtype);
      ops.linear(a, b).dispose();
      const began = performance.now();
      let best = Number.POSITIVE_INFINITY;
      do {
        const from = performance.now();
        ops.linear(a, b).dispose();
        best = Math.min(best, performance.now() - from);
      } while (performance.now() - began < milliseconds);
      return (2 * rows * inner * columns) / best / 1e6;
    }),
  );

/** The products of a forward pass over `tokens` tokens, `responses` of which a head reads. */
export const modelProducts = (
  { hiddenSize, intermediateSize, heads, kvHeads, headDim, layers, vocabSize }: ModelConfig,
  { tokens, responses }: { tokens: number; responses: number },
): Product[] => [
  { rows: tokens, inner: hiddenSize, columns: (heads + 2 * kvHeads) * headDim, times: layers },
  { rows: tokens, inner: heads * headDim, columns: hiddenSize, times: layers },
  { rows: tokens, inner: hiddenSize, columns: 2 * intermediateSize, times: layers },
  { rows: tokens, inner: intermediateSize, columns: hiddenSize, times: layers },
  { rows: responses, inner: hiddenSize, columns: vocabSize, times: 1 },
];

/**
 * Useful floating-point operations of forward and backward: 6 for each weight of a product and each token it reads.
 *
 * Attention's own products, norms and the recomputation of anything are left out, so a share of the machine's rate that
 * is computed from this is a lower bound.
 */
export const trainingFlops = (products: readonly Product[]): number =>
  products.reduce((sum, { rows, inner, columns, times }) => sum + 6 * rows * inner * columns * times, 0);

/** Rates in 10^9 floating-point operations a second. */
export type GemmRates = {
  /** 1024 x 1024 x 1024. */
  cube: number;
  /** The model's products together: their operations over the sum of their times. */
  model: number;
};

/** Measures both rates. @param milliseconds time for each product; default 400 */
export const measureRates = (
  products: readonly Product[],
  dtype: ComputeDType,
  milliseconds = 400,
): GemmRates => {
  const size = 1024;
  const cube = rateOf({ rows: size, inner: size, columns: size, times: 1 }, dtype, milliseconds);
  let operations = 0;
  let seconds = 0;
  for (const product of products) {
    const { rows, inner, columns, times } = product;
    const work = 2 * rows * inner * columns * times;
    operations += work;
    seconds += work / rateOf(product, dtype, milliseconds);
  }
  return { cube, model: operations / seconds };
};
