/** PRM800K: people's ratings of the steps of solutions, and of other steps that the model proposed in their place. */
import { z } from "zod";
import { checkRow } from "../check-row.ts";
import { RowProblem } from "../problems.ts";
import type { RowReader } from "./types.ts";

const ratedSchema = z.looseObject({ text: z.string(), rating: z.number().nullish() });
const stepSchema = z.looseObject({
  completions: z.array(ratedSchema).nullish(),
  human_completion: z.union([z.string(), ratedSchema]).nullish(),
  chosen_completion: z.int().nonnegative().nullish(),
});
const rowSchema = z.looseObject({
  question: z.looseObject({ problem: z.string(), ground_truth_answer: z.unknown().optional() }),
  label: z.looseObject({ steps: z.array(stepSchema) }),
});

type Rated = { text: string; label: number | null };

/** Proposals for a step that have text; one written by the labeler is a good one by the published instructions. */
const proposals = (step: z.output<typeof stepSchema>, index: number): { all: Rated[]; chosen: number } => {
  const rated = (step.completions ?? []).map(({ text, rating }) => ({ text, label: rating ?? null }));
  const { human_completion: human, chosen_completion: chosen } = step;
  if (chosen !== null && chosen !== undefined) {
    if (chosen >= rated.length) {
      const field = `label.steps[${index}].chosen_completion`;
      throw new RowProblem("invalid-row", `${field}: is ${chosen}, with ${rated.length} completions`);
    }
    return { all: rated, chosen };
  }
  if (human === null || human === undefined) return { all: rated, chosen: -1 };
  const written = typeof human === "string" ? human : human.text;
  return { all: [...rated, { text: written, label: 1 }], chosen: rated.length };
};

const usable = ({ text, label }: Rated): boolean => label !== null && text.trim() !== "";

/**
 * One row for the solution as it was chosen step by step, up to a step of which nothing was chosen, and one for each
 * other rated proposal, behind the steps chosen before it, which have no label there; so every rating is one label.
 * Ratings stay what they are: -1 wrong, 0 neither wrong nor of use, 1 right.
 *
 * Source: Lightman et al. 2023, "Let's Verify Step by Step"; the form is that of the published `phase*_*.jsonl`.
 */
export const prm800k: RowReader = {
  none: "no step of theirs has a rating",
  read: (value) => {
    const { question, label } = checkRow(value, rowSchema);
    const common = { prompt: question.problem, answer: question.ground_truth_answer };
    const path: Rated[] = [];
    const branches: Rated[][] = [];
    for (const [position, step] of label.steps.entries()) {
      const { all, chosen } = proposals(step, position);
      const before = path.map(({ text }) => ({ text, label: null }));
      branches.push(
        ...all.flatMap((other, index) => (index !== chosen && usable(other) ? [[...before, other]] : [])),
      );
      const next = all[chosen];
      // Behind a step without text the solution cannot be told.
      if (next === undefined || next.text.trim() === "") break;
      path.push(next);
    }
    const rows = path.some(usable) ? [path, ...branches] : branches;
    return rows.map((steps) => ({
      ...common,
      completions: steps.map(({ text }) => text),
      labels: steps.map((step) => step.label),
    }));
  },
};
