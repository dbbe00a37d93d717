/** Rows of labelled steps: a prompt, the texts of a response's steps and a target for each, in TRL's stepwise form. */
import { z } from "zod";
import { element } from "../../core/need.ts";
import { checkRow } from "./check-row.ts";
import { type Origin, RowProblem } from "./problems.ts";
import { type Prompt, parseExample } from "./rows.ts";

/** Where an objective's targets come from: a check, somebody's opinion, or what the other side says next. */
export const objectiveKinds = ["verifiable", "judged", "interactive"] as const;

/** A response given step by step, with a target for each step. */
export type StepRow = {
  objective: string;
  /** Where the targets come from, where the file says so. */
  kind?: (typeof objectiveKinds)[number] | undefined;
  prompt: Prompt;
  /** Texts that joined are the response. */
  steps: string[];
  /** One for each step, any number in the objective's range; null for a step that has none. */
  labels: (number | null)[];
  origin: Origin;
};

/** Labels as text, beside numbers. */
const words = new Map([
  ["+", 1],
  ["true", 1],
  ["-", 0],
  ["false", 0],
]);

const labelOf = (text: string): unknown => {
  const plain = text.trim().toLowerCase();
  const number = plain === "" ? Number.NaN : Number(plain);
  return words.get(plain) ?? (Number.isFinite(number) ? number : text);
};

/** A label of a step: a number, true or false, or either of them as text. */
export const stepLabel = z.preprocess(
  (value) => (typeof value === "string" ? labelOf(value) : value),
  z.union([z.number(), z.boolean()]),
);

/**
 * A row of labelled steps as a file holds it: TRL's stepwise form with `objective` and `kind`.
 *
 * `labels` are numbers, or true or + for 1 and false or - for 0, also as text; null stands for a step without a label. A `kind` of other words
 * than {@link objectiveKinds} is not ours and is passed over.
 */
export const stepRowSchema = z.looseObject({
  objective: z.string().min(1).nullish(),
  kind: z.enum(objectiveKinds).optional().catch(undefined),
  prompt: z.unknown(),
  completions: z.array(z.string().min(1)).min(1),
  labels: z.array(stepLabel.nullable()).nullish(),
});

/** How rows of steps are read. */
export type StepRowOptions = {
  /** What stands between steps. Default: nothing where they bring their white space along, else a line feed. */
  separator?: string | undefined;
  /** Labels above this number become 1, all others 0. Default: labels stay as they are. */
  above?: number | undefined;
};

/** Steps with what stands between them: where the data leave that out, a line feed, as in TRL. */
const joinable = (steps: readonly string[], separator: string | undefined): string[] => {
  const apart = steps
    .slice(1)
    .some((step, index) => !/\s$/.test(element(steps, index, "step")) && !/^\s/.test(step));
  const between = separator ?? (apart ? "\n" : "");
  return steps.map((step, index) => (index < steps.length - 1 ? step + between : step));
};

/**
 * A row of steps out of a value of a file, whether its steps have labels or not; those without get null.
 *
 * @param objective name for rows that carry none of their own
 * @throws RowProblem `invalid-row`, `unknown-role`, `empty-prompt`, `empty-response`
 */
export const parseSteps = (
  value: unknown,
  origin: Origin,
  objective: string,
  { separator, above }: StepRowOptions = {},
): StepRow => {
  const { kind, prompt: given, completions, labels, objective: named } = checkRow(value, stepRowSchema);
  if (labels && labels.length !== completions.length) {
    throw new RowProblem("invalid-row", `labels: ${labels.length} for ${completions.length} completions`);
  }
  const blank = completions.findIndex(
    (text, index) => text.trim() === "" && labels?.[index] !== null && labels?.[index] !== undefined,
  );
  if (blank >= 0) {
    throw new RowProblem(
      "empty-response",
      `completions[${blank}]: is only white space, so there is no step for its label`,
    );
  }
  const steps = joinable(completions, separator);
  const { prompt } = parseExample({ prompt: given, completion: steps.join("") }, origin, "");
  const target = (label: number | boolean | null | undefined): number | null => {
    if (label === null || label === undefined) return null;
    return above === undefined ? Number(label) : Number(Number(label) > above);
  };
  return {
    objective: named ?? objective,
    ...(kind === undefined ? {} : { kind }),
    prompt,
    steps,
    labels: completions.map((_, index) => target(labels?.[index])),
    origin,
  };
};

/**
 * A row of labelled steps, at least one of which has a label.
 *
 * @throws RowProblem as {@link parseSteps}, and `invalid-row` where no step has a label
 *
 * @example parseStepRow({ prompt: "1 + 1?", completions: ["It is 2."], labels: [true] }, origin, "accuracy")
 */
export const parseStepRow = (
  value: unknown,
  origin: Origin,
  objective: string,
  options: StepRowOptions = {},
): StepRow => {
  const row = parseSteps(value, origin, objective, options);
  if (row.labels.some((label) => label !== null)) return row;
  throw new RowProblem("invalid-row", "labels: no step has a label, so nothing can be learned from the row");
};
