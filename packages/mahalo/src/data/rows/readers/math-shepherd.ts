/** Math-Shepherd: solutions with the tag `ки` behind every step, and the same text with + or - in the tags' places. */
import { z } from "zod";
import { checkRow } from "../check-row.ts";
import { RowProblem } from "../problems.ts";
import type { RowReader } from "./types.ts";

const rowSchema = z.looseObject({ input: z.string(), label: z.string() });
const tag = "ки";
const labels = new Map([
  ["+", 1],
  ["-", 0],
]);

/** The problem, and what follows it: the first step begins at the last "Step 1:" before the first tag. */
const cutProblem = (first: string): [problem: string, step: string] => {
  const start = first.lastIndexOf("Step 1:");
  if (start < 0) throw new RowProblem("invalid-row", 'input: has no "Step 1:" before its first tag');
  return [first.slice(0, start).trim(), first.slice(start)];
};

/**
 * A row of labelled steps: + is 1, since the step led to the right answer at least once, - is 0.
 *
 * Source: Wang et al. 2024, "Math-Shepherd".
 *
 * @throws RowProblem `invalid-row` where there is no tag, or input and label are not the same text beside them
 */
export const mathShepherd: RowReader = {
  none: "they have no step",
  read: (value) => {
    const { input, label } = checkRow(value, rowSchema);
    const texts = input.split(tag);
    if (texts.length < 2) throw new RowProblem("invalid-row", `input: has no tag ${tag}`);
    const steps: string[] = [];
    const targets: number[] = [];
    let offset = 0;
    let text = "";
    for (const [index, piece] of texts.slice(0, -1).entries()) {
      text += piece;
      const end = offset + piece.length;
      // A tag that the label has too is a part of the text.
      if (label.startsWith(piece + tag, offset)) {
        text += tag;
        offset = end + tag.length;
        continue;
      }
      const target = labels.get(label.charAt(end));
      if (!label.startsWith(piece, offset) || target === undefined) {
        throw new RowProblem("invalid-row", `label: is not the input with + or - for tag ${index + 1}`);
      }
      steps.push(text);
      targets.push(target);
      text = "";
      offset = end + 1;
    }
    const [begin, ...others] = steps;
    if (begin === undefined) throw new RowProblem("invalid-row", `input: has no tag ${tag} of its own`);
    const [problem, first] = cutProblem(begin);
    const completions = [first, ...others].map((text) => text.trim());
    return [{ prompt: problem, completions, labels: targets }];
  },
};
