/** Rows with a judge's verdicts: one on every response. */
import { element } from "../core/need.ts";
import { formatOrigin } from "../data/rows/problems.ts";
import { promptMessages } from "../data/rows/rows.ts";
import type { ScorableRow } from "../scoring/scorable-rows.ts";
import {
  type JudgedScore,
  responsesOf,
  type ScoredRow,
  type ScoreRowsOptions,
  textOf,
  withScores,
} from "../scoring/score-rows.ts";
import type { Judge } from "./types.ts";

/** Scores rows with a judge: one verdict a response. @throws what the judge throws */
export const judgeRows = async (
  judge: Judge,
  rows: readonly ScorableRow[],
  { objective, signal, onProgress }: Pick<ScoreRowsOptions, "objective" | "signal" | "onProgress"> = {},
): Promise<ScoredRow<JudgedScore>[]> => {
  const items = rows.flatMap((row) =>
    responsesOf(row).map((response) => ({
      prompt: promptMessages(row.prompt),
      response: textOf(response),
      ...(row.answer === undefined ? {} : { reference: row.answer }),
      where: formatOrigin(row.origin),
    })),
  );
  let done = 0;
  const verdicts = await judge.score(items, { signal, onVerdict: () => onProgress?.(++done) });
  // A judge that judges all in one go need not tell of each.
  if (done < items.length) onProgress?.(items.length);
  let next = 0;
  return rows.flatMap((row) => {
    const sides = responsesOf(row).map((response): JudgedScore => {
      const { score, reason } = element(verdicts, next++, "verdict");
      return { response: textOf(response), score, reason };
    });
    return withScores(row, objective ?? row.objective ?? judge.name, sides);
  });
};
