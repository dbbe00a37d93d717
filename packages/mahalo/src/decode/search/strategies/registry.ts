/** All search strategies by name, and the rules that take one of the answers they end in. */
import { beam } from "./beam.ts";
import { bestOfN } from "./best-of-n.ts";
import { dvts } from "./dvts.ts";
import { step } from "./step.ts";
import { best, type Choice, type Strategy } from "./types.ts";
import { majority, mostVotes, mostWeight, weightedVote } from "./votes.ts";

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

/** Rules by name. */
export const choices = {
  best,
  majority: mostVotes,
  "weighted-vote": mostWeight,
} as const satisfies Record<string, Choice>;

/** Name of a rule. */
export type ChoiceName = keyof typeof choices;

/** All names. */
export const choiceNames = Object.keys(choices) as ChoiceName[];

/** The rule that a search takes its answer by, and whether it needs scores: for its steps or for that. */
export const choiceOf = (
  strategy: StrategyName,
  asked: ChoiceName | undefined,
): { choice: Choice; scored: boolean } => {
  const choice = asked === undefined ? strategies[strategy].choice : choices[asked];
  return { choice, scored: strategies[strategy].scored || choice.scored };
};
