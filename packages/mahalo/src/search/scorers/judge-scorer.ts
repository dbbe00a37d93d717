/** A judge that guides a search: it is shown the response so far, as text. */
import { zip } from "../../core/need.ts";
import { type Prompt, promptMessages } from "../../data/rows/rows.ts";
import type { Judge } from "../../judges/types.ts";
import type { Scorer } from "../scorer.ts";
import { States } from "./states.ts";

/** What is asked, and what is right. */
type Question = { prompt: Prompt; reference: unknown };

/**
 * A judge as a scorer. Where it abstains there is no score, and the search decides by its setting what becomes of that.
 *
 * A judge of whole answers fits whole answers: best-of-n, votes, or a search whose step is the turn.
 *
 * @param name of its score; default: the judge's
 */
export const judgeScorer = (judge: Judge, name: string = judge.name): Scorer => {
  const states = new States<Question>();
  return {
    objectives: [name],
    tokens: 0,
    begin: async (prompt, reference) => states.add({ prompt, reference }),
    async score(steps, signal) {
      const items = steps.map(({ from, text }) => {
        const { prompt, reference } = states.get(from);
        const item = { prompt: promptMessages(prompt), response: text };
        return reference === undefined ? item : { ...item, reference };
      });
      const verdicts = await judge.score(items, { signal });
      return zip(steps, verdicts).map(([{ from }, { score }]) => ({
        state: states.add(states.get(from)),
        scores: { [name]: score ?? Number.NaN },
      }));
    },
    drop: (state) => states.drop(state),
    dispose: () => judge.dispose?.(),
  };
};
