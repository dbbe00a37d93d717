/** All search strategies by name, a new one being a file and a line here or added by a program, and the rules that take one of the answers they end in. */
import { Registry } from "../../core/registry.ts";
import { beam } from "./beam.ts";
import { bestOfN } from "./best-of-n.ts";
import { dvts } from "./dvts.ts";
import { step } from "./step.ts";
import { best, type Choice, type Sizes, type Strategy } from "./types.ts";
import { majority, mostVotes, mostWeight, weightedVote } from "./votes.ts";

/** Strategies by name. */
export const strategies = new Registry<Strategy>("search strategy", {
  step,
  beam,
  dvts,
  "best-of-n": bestOfN,
  majority,
  "weighted-vote": weightedVote,
});

/** Answers that a search grows side by side: the candidates of its first step. */
export const sideBySide = ({ strategy, ...sizes }: Sizes & { strategy: string }): number =>
  strategies
    .get(strategy)
    .begin(sizes)
    .reduce((sum, count) => sum + count, 0);

/** Rules by name. */
export const choices = new Registry<Choice>("choice among answers", {
  best,
  majority: mostVotes,
  "weighted-vote": mostWeight,
});

/** The rule that a search takes its answer by, and whether it needs scores: for its steps or for that. */
export const choiceOf = (
  strategy: string,
  asked: string | undefined,
): { choice: Choice; scored: boolean } => {
  const { choice: usual, scored } = strategies.get(strategy);
  const choice = asked === undefined ? usual : choices.get(asked);
  return { choice, scored: scored || choice.scored };
};
