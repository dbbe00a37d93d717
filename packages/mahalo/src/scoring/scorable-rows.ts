/** Rows that can be scored, in any of TRL's forms: preference pairs, responses, and responses given step by step. */
import { z } from "zod";
import { checkRow } from "../data/rows/check-row.ts";
import { type LoadOptions, loadParsed, type RowFile } from "../data/rows/load.ts";
import type { Origin } from "../data/rows/problems.ts";
import { type Prompt, parseExample, parsePreference } from "../data/rows/rows.ts";
import { parseSteps, stepLabel } from "../data/rows/step-rows.ts";

type Common = {
  /** The row's own; undefined where it names none. */
  objective?: string | undefined;
  prompt: Prompt;
  /** What a judge compares with. */
  answer?: unknown;
  origin: Origin;
};

/** A row to be scored. */
export type ScorableRow = Common &
  (
    | { form: "pair"; chosen: string; rejected: string }
    | {
        form: "response";
        response: string;
        /** Whether it is good, as a number. */
        label?: number | undefined;
      }
    | {
        form: "steps";
        /** Texts that joined are the response. */
        steps: readonly string[];
        /** One for each step; null for a step without. */
        labels: readonly (number | null)[];
      }
  );

const tagsSchema = z.looseObject({
  objective: z.string().min(1).nullish(),
  answer: z.unknown().optional(),
  chosen: z.unknown().optional(),
  rejected: z.unknown().optional(),
  completions: z.unknown().optional(),
  label: stepLabel.nullish(),
});

/**
 * A row to be scored out of a value of a file: a pair where it has `chosen` and `rejected`, steps where it has
 * `completions` (with `labels` where there are any), else a response (`completion`, `response` or `messages`, with
 * `label` where there is one).
 *
 * @param separator what stands between steps. Default: nothing where they bring their white space along, else a line feed.
 * @throws RowProblem for a row of none of these forms
 */
export const parseScorable = (value: unknown, origin: Origin, separator?: string): ScorableRow => {
  const tags = checkRow(value, tagsSchema);
  const common = { objective: tags.objective ?? undefined, answer: tags.answer, origin };
  if (tags.chosen !== undefined && tags.rejected !== undefined) {
    const { prompt, chosen, rejected } = parsePreference(value, origin, "");
    return { ...common, form: "pair", prompt, chosen, rejected };
  }
  if (tags.completions !== undefined) {
    const { prompt, steps, labels } = parseSteps(value, origin, "", { separator });
    return { ...common, form: "steps", prompt, steps, labels };
  }
  const { prompt, response } = parseExample(value, origin, "");
  const good = tags.label ?? undefined;
  return {
    ...common,
    form: "response",
    prompt,
    response,
    ...(good === undefined ? {} : { label: Number(good) }),
  };
};

/** Reads the rows of a file, whatever their objectives; errors as of `loadPreferences`. */
export const loadScorable = (
  file: RowFile,
  { separator, ...options }: LoadOptions & { separator?: string | undefined } = {},
): Promise<ScorableRow[]> =>
  loadParsed(file, (value, origin) => parseScorable(value, origin, separator), options);
