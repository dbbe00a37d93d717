/** Rows with their scores: what a reward model says of every step, or a judge of every response. */
import { type Aggregates, aggregateScores } from "../core/aggregate.ts";
import { element, zip } from "../core/need.ts";
import { formatOrigin, type ProblemStep, Problems } from "../data/rows/problems.ts";
import type { Prompt } from "../data/rows/rows.ts";
import { type StepBoundary, stepTexts } from "../data/tokens/steps.ts";
import type { ScorableRow } from "./scorable-rows.ts";
import { type ScoredResponse, type ScoringModel, scoreSteps } from "./score.ts";
import { encodeScored, type TextModel } from "./score-text.ts";

/** One step and its score. */
export type ScoredStep = {
  text: string;
  score: number;
  /** What the row says of it, where it says so. */
  label?: number;
};

/** A response scored step by step, and as a whole in every way. */
export type StepwiseScore = { response: string; steps: ScoredStep[] } & Aggregates;

/** A judge's verdict on a response; null where it abstains. */
export type JudgedScore = { response: string; score: number | null; reason: string };

/** A row's score. */
export type ScoredRow<Score = StepwiseScore | JudgedScore> = {
  /** Where it comes from: `rows.jsonl:118`. */
  row: string;
  objective: string;
  prompt: Prompt;
} & ({ chosen: Score; rejected: Score } | (Score & { label?: number }));

/** Options of {@link scoreRows}. */
export type ScoreRowsOptions = {
  /** What to score all rows on. Default: each row's own objective where the model has it, else the model's only one. */
  objective?: string | undefined;
  /** What ends a step of a response that does not bring its steps. Default as for `encodeScored`. */
  boundary?: StepBoundary | undefined;
  /** A plain prompt becomes a user message in the chat template. Default true. */
  chat?: boolean | undefined;
  /** Rows that cannot be scored are counted here. Default: a new collector with its default share. */
  problems?: Problems | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number) => void) | undefined;
};

/** The response, or both sides of a pair, as text or as the texts of its steps. */
export const responsesOf = (row: ScorableRow): (string | readonly string[])[] =>
  row.form === "pair" ? [row.chosen, row.rejected] : [row.form === "steps" ? row.steps : row.response];

/** A response as text. */
export const textOf = (response: string | readonly string[] = ""): string =>
  typeof response === "string" ? response : response.join("");

/** A row and the scores of its sides put together. */
export const withScores = <Score extends object>(
  row: ScorableRow,
  objective: string,
  [first, second]: readonly Score[],
): ScoredRow<Score>[] => {
  const common = { row: formatOrigin(row.origin), objective, prompt: row.prompt };
  if (first === undefined) return [];
  if (row.form === "pair")
    return second === undefined ? [] : [{ ...common, chosen: first, rejected: second }];
  const given = row.form === "response" ? row.label : undefined;
  return [{ ...common, ...first, ...(given === undefined ? {} : { label: given }) }];
};

/** The objective of a row: what is asked for, the row's own where the model has it, else the model's only one. */
const objectiveOf = (
  { rewards }: ScoringModel,
  row: ScorableRow,
  asked: string | undefined,
): string | undefined =>
  asked ??
  (row.objective !== undefined && rewards.objectives.includes(row.objective) ? row.objective : undefined);

const stepwise = (
  model: TextModel,
  row: ScorableRow,
  response: string | readonly string[],
  { text, scores }: { text: ScoredResponse; scores: readonly number[] },
): StepwiseScore => {
  const texts =
    typeof response === "string" ? stepTexts(model.tokenizer, text.response, text.ends) : response;
  const labels = row.form === "steps" ? row.labels : scores.map(() => null);
  const steps = zip(texts, scores).map(([text, score], index): ScoredStep => {
    const label = element(labels, index, "label");
    return { text, score, ...(label === null ? {} : { label }) };
  });
  return { response: textOf(response), steps, ...aggregateScores(scores) };
};

/**
 * Scores rows with a reward model: every step, and the response by its last, worst, product and mean.
 *
 * Rows that cannot be scored (longer than the model's context, say) are left out and counted in `problems`.
 *
 * @throws MahaloError E_REWARD_OBJECTIVE, E_DATA_TOO_MANY_BAD, E_INTERRUPTED
 */
export const scoreRows = (
  model: ScoringModel & TextModel,
  rows: readonly ScorableRow[],
  { objective, boundary, chat, problems = new Problems(), signal, onProgress }: ScoreRowsOptions = {},
): ScoredRow<StepwiseScore>[] => {
  const step: ProblemStep = problems.step("scoring");
  const encoded = rows.flatMap((row) => {
    step.see(row);
    const scoredOn = objectiveOf(model, row, objective);
    const texts = step.guard(row.origin, () =>
      responsesOf(row).map((response) =>
        encodeScored(model, row.prompt, response, { objective: scoredOn, boundary, chat }),
      ),
    );
    return texts === undefined ? [] : [{ row, texts }];
  });
  step.check();
  const scores = scoreSteps(
    model,
    encoded.flatMap(({ texts }) => texts),
    { signal, onProgress },
  );
  let next = 0;
  return encoded.flatMap(({ row, texts }) => {
    const sides = zip(responsesOf(row), texts).map(([response, text]) =>
      stepwise(model, row, response, { text, scores: element(scores, next++) }),
    );
    return withScores(row, element(texts, 0).objective ?? "", sides);
  });
};
