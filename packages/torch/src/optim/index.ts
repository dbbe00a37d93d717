/** Optimisers: update rules, the optimiser that applies them, gradient clipping. */
export { clipGradNorm, gradNorm } from "./clip.ts";
export { Optimizer, type OptimizerOptions } from "./optimizer.ts";
export {
  type AdamWOptions,
  adamW,
  type RmsPropOptions,
  rmsProp,
  type SgdOptions,
  sgd,
  type UpdateRule,
} from "./rules.ts";
