/** All search strategies by name. */
import { beam } from "./beam.ts";
import { bestOfN } from "./best-of-n.ts";
import { dvts } from "./dvts.ts";
import { step } from "./step.ts";
import type { Strategy } from "./types.ts";
import { majority, weightedVote } from "./votes.ts";

/** Strategies by name; a new one is a file and a line here. */
export const strategies = {
  step,
  beam,
  dvts,
  "best-of-n": bestOfN,
  majority,
  "weighted-vote": weightedVote,
} as const satisfies Record<string, Strategy>;

/** Name of a strategy. */
export type StrategyName = keyof typeof strategies;

/** All names. */
export const strategyNames = Object.keys(strategies) as StrategyName[];
