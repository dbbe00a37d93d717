/** Several scorers as one: a state of each, and the scores of all. */
import { MahaloError } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import type { Scorer, StepScores } from "../scorer.ts";
import { States } from "./states.ts";

/**
 * Scorers side by side; the user's weights decide what each counts.
 *
 * @throws MahaloError E_GUIDE_NAME where two scores have the same name
 */
export const severalScorers = (scorers: readonly Scorer[]): Scorer => {
  const objectives = scorers.flatMap((scorer) => scorer.objectives);
  const twice = objectives.find((name, index) => objectives.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new MahaloError("E_GUIDE_NAME", `guidance: two scores are called "${twice}"`, {
      hint: "give one of them another name: NAME=MODEL#OBJECTIVE",
    });
  }
  const [only, ...others] = scorers;
  if (only !== undefined && others.length === 0) return only;
  const states = new States<readonly number[]>();
  /** Drops what the first scorers have made, where a later one has failed. */
  const forget = (begun: readonly (readonly number[])[]): void => {
    for (const scorerStates of begun)
      for (const [index, state] of scorerStates.entries()) scorers[index]?.drop(state);
  };
  return {
    objectives,
    get tokens() {
      return scorers.reduce((sum, { tokens }) => sum + tokens, 0);
    },
    async begin(prompt, reference) {
      const begun: number[] = [];
      try {
        for (const scorer of scorers) begun.push(await scorer.begin(prompt, reference));
      } catch (error) {
        forget([begun]);
        throw error;
      }
      return states.add(begun);
    },
    async score(steps, signal) {
      const results: StepScores[][] = [];
      try {
        for (const [index, scorer] of scorers.entries()) {
          const mine = steps.map((step) => ({
            ...step,
            from: element(states.get(step.from), index, "state"),
          }));
          results.push(await scorer.score(mine, signal));
        }
      } catch (error) {
        forget(steps.map((_, index) => results.map((result) => element(result, index, "score").state)));
        throw error;
      }
      return steps.map((_, index) => {
        const all = results.map((result) => element(result, index, "score"));
        return {
          state: states.add(all.map(({ state }) => state)),
          scores: Object.assign({}, ...all.map(({ scores }) => scores)),
        };
      });
    },
    drop(id) {
      const members = states.get(id);
      states.drop(id);
      for (const [scorer, state] of zip(scorers, members)) scorer.drop(state);
    },
    dispose() {
      for (const scorer of scorers) scorer.dispose();
    },
  };
};
