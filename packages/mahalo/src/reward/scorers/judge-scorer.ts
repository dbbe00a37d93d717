/** A judge that guides a search: it is shown the response so far, as text. */
import { MahaloError } from "@mahalo/torch";
import { type Prompt, promptMessages } from "../../data/rows.ts";
import type { Scorer } from "../../decode/search/scorer.ts";
import type { Judge } from "../judges/types.ts";

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
  const states = new Map<number, Question>();
  let next = 0;
  const add = (question: Question): number => {
    states.set(next, question);
    return next++;
  };
  const questionOf = (state: number): Question => {
    const question = states.get(state);
    if (question !== undefined) return question;
    throw new MahaloError("E_SCORER_STATE", `there is no state ${state}`, { exitStatus: 1 });
  };
  return {
    objectives: [name],
    tokens: 0,
    begin: async (prompt, reference) => add({ prompt, reference }),
    async score(steps, signal) {
      const items = steps.map(({ from, text }) => {
        const { prompt, reference } = questionOf(from);
        const item = { prompt: promptMessages(prompt), response: text };
        return reference === undefined ? item : { ...item, reference };
      });
      const verdicts = await judge.score(items, { signal });
      return steps.map(({ from }, at) => ({
        state: add(questionOf(from)),
        scores: { [name]: verdicts[at]?.score ?? Number.NaN },
      }));
    },
    drop: (state) => {
      states.delete(state);
    },
    dispose: () => judge.dispose?.(),
  };
};
