/** All search strategies by name, a new one being a file and a line here, and the rules that take one of the answers they end in. */
import { beam } from "./beam.ts";
import { bestOfN } from "./best-of-n.ts";
import { dvts } from "./dvts.ts";
import { step } from "./step.ts";
import { best, type Choice, type Sizes, type Strategy } from "./types.ts";
import { majority, mostVotes, mostWeight, weightedVote } from "./votes.ts";

const strategies = {
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
export const strategyNames = Object.keys(strategies) as [StrategyName, ...StrategyName[]];

/** A strategy by its name. */
export const searchStrategy = (name: StrategyName): Strategy => strategies[name];

/** Answers that a search grows side by side: the candidates of its first step. */
export const sideBySide = ({ strategy, ...sizes }: Sizes & { strategy: StrategyName }): number =>
  searchStrategy(strategy)
    .begin(sizes)
    .reduce((sum, count) => sum + count, 0);

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
  const { choice: own, scored } = searchStrategy(strategy);
  const choice = asked === undefined ? own : choices[asked];
  return { choice, scored: scored || choice.scored };
};
