/** The logistic function and its logarithm, without overflow. */

/** log(1 + e^x), which is -log σ(-x). */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** σ(x) = 1 / (1 + e^-x). */
export const logistic = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
