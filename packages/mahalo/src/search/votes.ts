/** Votes of answers: those that mean the same vote alike. */
import { extractAnswer, sameAnswer } from "@mahalo/math-verify";

/**
 * Numbers the final answers of replies so that those that mean the same have the same number, in the order in which
 * classes appear; undefined for a reply that states none.
 *
 * Two answers are of one class where a chain of equal answers leads from one to the other: `0.5` and `50` are two
 * classes, but with a `50%` among the answers, which means both, all three are one. So classes do not depend on the
 * replies' order.
 *
 * @example votesOf(["The answer is 1/2.", "0.5", "I do not know."]) // [0, 0, undefined]
 */
export const votesOf = (texts: readonly string[]): (number | undefined)[] => {
  const answers = texts.map((text) => extractAnswer(text)?.text);
  const classes: { members: string[] }[] = [];
  const seen = new Set<string>();
  for (const answer of answers) {
    if (answer === undefined || seen.has(answer)) continue;
    seen.add(answer);
    const joined = classes.filter(({ members }) => members.some((member) => sameAnswer(member, answer)));
    const [into] = joined;
    if (into === undefined) {
      classes.push({ members: [answer] });
      continue;
    }
    into.members = [...joined.flatMap(({ members }) => members), answer];
    for (const other of joined.slice(1)) classes.splice(classes.indexOf(other), 1);
  }
  const numbers = new Map(
    classes.flatMap(({ members }, number) => members.map((member) => [member, number] as const)),
  );
  return answers.map((answer) => (answer === undefined ? undefined : numbers.get(answer)));
};
