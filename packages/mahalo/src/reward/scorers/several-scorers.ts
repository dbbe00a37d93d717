/** Several scorers as one: a state of each, and the scores of all. */
import { MahaloError } from "@mahalo/torch";
import type { Scorer, StepScores } from "../../decode/search/scorer.ts";

/**
 * Scorers side by side; the user's weights decide what each counts.
 *
 * @throws MahaloError E_GUIDE_NAME where two scores have the same name
 */
export const severalScorers = (scorers: readonly Scorer[]): Scorer => {
  const [only, ...others] = scorers;
  if (only !== undefined && others.length === 0) return only;
  const objectives = scorers.flatMap((one) => one.objectives);
  const twice = objectives.find((name, at) => objectives.indexOf(name) !== at);
  if (twice !== undefined) {
    throw new MahaloError("E_GUIDE_NAME", `guidance: two scorers score "${twice}"`, {
      hint: "give one of them a name of its own: NAME=MODEL",
    });
  }
  const states = new Map<number, readonly number[]>();
  let next = 0;
  const add = (own: readonly number[]): number => {
    states.set(next, own);
    return next++;
  };
  const statesOf = (id: number): readonly number[] => {
    const own = states.get(id);
    if (own !== undefined) return own;
    throw new MahaloError("E_SCORER_STATE", `there is no state ${id}`, { exitStatus: 1 });
  };
  return {
    objectives,
    get tokens() {
      return scorers.reduce((sum, { tokens }) => sum + tokens, 0);
    },
    async begin(prompt, reference) {
      const own: number[] = [];
      for (const scorer of scorers) own.push(await scorer.begin(prompt, reference));
      return add(own);
    },
    async score(steps, signal) {
      const found: StepScores[][] = [];
      for (const [at, scorer] of scorers.entries()) {
        const mine = steps.map((step) => ({ ...step, from: statesOf(step.from)[at] ?? 0 }));
        found.push(await scorer.score(mine, signal));
      }
      return steps.map((_, index) => ({
        state: add(found.map((one) => one[index]?.state ?? 0)),
        scores: Object.assign({}, ...found.map((one) => one[index]?.scores ?? {})),
      }));
    },
    drop(id) {
      const own = statesOf(id);
      states.delete(id);
      for (const [at, scorer] of scorers.entries()) scorer.drop(own[at] ?? 0);
    },
    dispose() {
      for (const scorer of scorers) scorer.dispose();
    },
  };
};
