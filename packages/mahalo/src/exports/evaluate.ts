/** mahalo/evaluate: sweeps, fronts, intervals and comparisons. */

export { distinct, klOfSamples, winRates } from "../evaluate/answer-metrics.ts";
export { type Comparison, readComparison } from "../evaluate/compare/comparison.ts";
export { overSeeds, pairedOverSeeds } from "../evaluate/compare/seeds.ts";
export {
  coverage,
  dominates,
  frontOf,
  hypervolume,
  interference,
  leastRegret,
  regrets,
} from "../evaluate/front.ts";
export { bootstrapMean, type Estimate, wilson } from "../evaluate/intervals.ts";
export { mixGrid } from "../evaluate/mixes.ts";
export { nextMix } from "../evaluate/refine.ts";
export { fitScale, mixAt, type Scale } from "../evaluate/scale.ts";
export { type Policy, runSweep, type SweepOptions, type SweepOutcome } from "../evaluate/sweep.ts";
