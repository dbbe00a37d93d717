/** Rows of rollouts into stepwise rows: every step of a response with the target of a process reward model. */
import { z } from "zod";
import { checkValue } from "../core/json.ts";
import { element, need } from "../core/need.ts";
import type { Answer } from "../data/rows/answers.ts";
import { formatOrigin, type Origin, Problems } from "../data/rows/problems.ts";
import { type Prompt, promptMessages } from "../data/rows/rows.ts";
import type { Judge } from "../judges/types.ts";
import type { RolloutRow } from "./file.ts";
import { type Ending, hardLabels, hindsightTarget, monteCarloValue } from "./targets.ts";
import { answerSteps } from "./text.ts";

/** How targets are computed. */
export const relabelOptionsSchema = z.strictObject({
  target: z
    .enum(["hindsight", "value", "hard", "judge"])
    .default("hindsight")
    .describe(
      "hindsight: a step's quality and the discounted end; value: mean score of the answers that continue from it; hard: 0 or 1 from these; judge: a judge's score of the response up to the step.",
    ),
  gamma: z
    .number()
    .min(0)
    .max(1)
    .default(0.9)
    .describe("Discount factor of the final result, per step, in hindsight."),
  quality: z
    .enum(["auto", "labels", "none", "value", "judge"])
    .default("auto")
    .describe(
      "A step's own quality in hindsight: the data's labels, 0, its Monte-Carlo value, or a judge's score; auto takes labels if there are any.",
    ),
  above: z.number().default(0).describe("hard: values above it are 1."),
  aboveShare: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe("hard: hindsight targets above this share of the row's largest are 1, instead of above."),
  samples: z
    .enum(["auto", "all", "none"])
    .default("auto")
    .describe(
      "Whether sampled answers become rows themselves; auto: for prompts without a recorded response.",
    ),
});

/** Checked options of {@link relabelRows}. */
export type RelabelOptions = z.output<typeof relabelOptionsSchema>;

/** Options as a caller gives them. */
export type RelabelOptionsInput = z.input<typeof relabelOptionsSchema>;

/** Options with defaults filled in. @throws MahaloError E_RELABEL naming the field */
export const relabelOptionsOf = (input: RelabelOptionsInput = {}): RelabelOptions =>
  checkValue(input, relabelOptionsSchema, "relabel", { code: "E_RELABEL" });

/** A response with a target for each step; null for a step that nothing is known about. */
export type RelabelledRow = {
  objective: string;
  kind: RolloutRow["kind"];
  prompt: Prompt;
  /** Texts of the steps; joined they are the response. */
  steps: string[];
  labels: (number | null)[];
  answer?: Answer;
  origin: Origin;
};

/** A response to be labelled: its steps, their own quality, and what goes on from each. */
type Candidate = {
  row: RolloutRow;
  steps: readonly string[];
  labels: readonly number[] | undefined;
  /** Endings of what goes on behind step t, counting from 1. */
  endings(t: number): Ending[];
};

const scored = (row: RolloutRow, from: number): Ending[] =>
  row.rollouts.flatMap(({ from: start, steps, score }) =>
    start === from && score !== null ? [{ steps, score }] : [],
  );

const recordedOf = (row: RolloutRow): Candidate[] =>
  row.steps.length === 0
    ? []
    : [{ row, steps: row.steps, labels: row.labels, endings: (t) => scored(row, t) }];

/** Sampled answers as responses; of those with the same text the first. */
const samplesOf = (row: RolloutRow): Candidate[] => {
  const seen = new Set([row.steps.join("")]);
  return row.rollouts.flatMap((rollout): Candidate[] => {
    const { from, finish, score } = rollout;
    if (finish === "recorded" || score === null) return [];
    const steps = answerSteps(row, rollout);
    const text = steps?.join("") ?? "";
    if (steps === undefined || steps.length === 0 || text.trim() === "" || seen.has(text)) return [];
    seen.add(text);
    const ending = [{ steps: steps.length, score }];
    const endings = (t: number): Ending[] => (t > from ? ending : scored(row, t));
    return [{ row, steps, labels: undefined, endings }];
  });
};

/** A judge's score of every prefix of every candidate. */
const judgePrefixes = async (
  candidates: readonly Candidate[],
  judge: Judge,
  signal: AbortSignal | undefined,
): Promise<(number | null)[][]> => {
  const items = candidates.flatMap(({ row, steps }) =>
    steps.map((_, step) => ({
      prompt: promptMessages(row.prompt),
      response: steps.slice(0, step + 1).join(""),
      ...(row.answer === undefined ? {} : { reference: row.answer }),
      where: formatOrigin(row.origin),
    })),
  );
  const verdicts = await judge.score(items, { signal });
  let next = 0;
  return candidates.map(({ steps }) => steps.map(() => element(verdicts, next++, "verdict").score));
};

const targetsOf = (
  { steps, labels, endings }: Candidate,
  judged: readonly (number | null)[] | undefined,
  options: RelabelOptions,
): (number | null)[] => {
  const { target, gamma, quality, above, aboveShare } = options;
  if (target === "judge") return [...need(judged, "the judge's scores")];
  const hindsight = target === "hindsight" || (target === "hard" && aboveShare !== undefined);
  const soft = steps.map((_, index): number | null => {
    const t = index + 1;
    const ends = endings(t);
    if (ends.length === 0) return null;
    if (!hindsight) return monteCarloValue(t, ends);
    const label = labels === undefined ? null : element(labels, index, "label");
    const qualities = { auto: label ?? 0, labels: label, none: 0 };
    const r =
      quality === "value"
        ? monteCarloValue(t, ends)
        : quality === "judge"
          ? element(need(judged, "the judge's scores"), index)
          : qualities[quality];
    return r === null ? null : hindsightTarget(r, t, ends, { gamma });
  });
  if (target !== "hard") return soft;
  const hard = hardLabels(
    soft.flatMap((value) => value ?? []),
    aboveShare === undefined ? { above } : { aboveShare },
  );
  let next = 0;
  return soft.map((value) => (value === null ? null : element(hard, next++)));
};

/** Whether options need a judge of their own. */
export const relabelNeedsJudge = ({ target, quality }: RelabelOptions): boolean =>
  target === "judge" || (quality === "judge" && target !== "value");

/**
 * Labels the steps of responses out of their rollouts.
 *
 * A recorded response gets the targets of all that goes on from each of its steps. A sampled answer is labelled by
 * itself behind its prefix (one rollout each), by all rollouts inside it. A step from which nothing was rolled out, or
 * on whose endings the judge abstained, gets no label; a response without any is left out and counted.
 *
 * @param options as {@link relabelOptionsOf} makes them
 * @param using the judge of `target: judge` and `quality: judge`
 * @throws MahaloError E_RELABEL for numbers that cannot be; E_DATA_TOO_MANY_BAD; what the judge throws
 *
 * @example await relabelRows(rows, relabelOptionsOf({ target: "hindsight", gamma: 0.9 }))
 */
export const relabelRows = async (
  rows: readonly RolloutRow[],
  options: RelabelOptions,
  using: { judge?: Judge | undefined; signal?: AbortSignal | undefined; problems?: Problems } = {},
): Promise<RelabelledRow[]> => {
  const { judge, signal, problems = new Problems() } = using;
  const step = problems.step("relabel");
  const candidates = rows.flatMap((row) => {
    step.see(row);
    const withSamples =
      row.kind !== "interactive" &&
      (options.samples === "all" || (options.samples === "auto" && row.steps.length === 0));
    const candidates = [...recordedOf(row), ...(withSamples ? samplesOf(row) : [])];
    if (candidates.length === 0) step.skip("they have no response whose steps are known");
    return candidates;
  });
  const judged =
    relabelNeedsJudge(options) && judge !== undefined
      ? await judgePrefixes(candidates, judge, signal)
      : undefined;
  return candidates.flatMap((candidate, index): RelabelledRow[] => {
    const { row, steps } = candidate;
    const labels = targetsOf(candidate, judged?.[index], options);
    if (labels.every((label) => label === null)) {
      step.skip("no step of theirs got a label");
      return [];
    }
    return [
      {
        objective: row.objective,
        kind: row.kind,
        prompt: row.prompt,
        steps: [...steps],
        labels,
        ...(row.answer === undefined ? {} : { answer: row.answer }),
        origin: row.origin,
      },
    ];
  });
};

/** A labelled row as a line of a file: TRL's stepwise form with `objective`, `kind`, `answer` and where it comes from. */
export const stepwiseLine = ({ objective, kind, prompt, steps, labels, answer, origin }: RelabelledRow) => ({
  objective,
  kind,
  prompt,
  completions: steps,
  labels,
  ...(answer === undefined ? {} : { answer }),
  source: origin,
});
