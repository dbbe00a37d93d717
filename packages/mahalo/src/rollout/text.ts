/** What stands in a row of rollouts: whole answers, their steps, and what a judge is shown of them. */
import { formatOrigin } from "../data/rows/problems.ts";
import { promptMessages } from "../data/rows/rows.ts";
import { cutText } from "../data/tokens/text-steps.ts";
import type { JudgedItem } from "../judges/types.ts";
import type { Rollout, RolloutRow } from "./file.ts";

/** The text of a whole answer: the steps that it goes on from, and what follows them. */
export const answerText = ({ kind, steps }: RolloutRow, { from, text }: Rollout): string =>
  kind === "interactive" ? steps.join("") : steps.slice(0, from).join("") + text;

/** The steps of a whole answer; undefined where it is not known where those behind the prefix end. */
export const answerSteps = (
  { steps }: RolloutRow,
  { from, text, finish, cuts }: Rollout,
): string[] | undefined => {
  const prefix = steps.slice(0, from);
  if (finish === "recorded") return prefix;
  if (cuts === undefined) return undefined;
  return [...prefix, ...cutText(text, cuts)];
};

/**
 * What a judge is shown of an ending: prompt and whole answer; of a dialogue, all up to and with the tutor's turn, and
 * the student's reply as what is to be judged.
 */
export const judgedEnding = (row: RolloutRow, rollout: Rollout): JudgedItem => {
  const before = promptMessages(row.prompt);
  const interactive = row.kind === "interactive";
  return {
    prompt: interactive ? [...before, { role: "assistant", content: row.steps.join("") }] : before,
    response: interactive ? rollout.text : answerText(row, rollout),
    ...(row.answer === undefined ? {} : { reference: row.answer }),
    where: formatOrigin(row.origin),
  };
};
