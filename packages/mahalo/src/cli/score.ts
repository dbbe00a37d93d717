/** mahalo score: score the steps of responses with a reward model, or responses with a judge. */
import type { Command } from "commander";
import { formatNumberOf } from "../core/format.ts";
import { writeJsonLines } from "../core/json-lines.ts";
import { progress } from "../core/progress.ts";
import { Problems } from "../data/rows/problems.ts";
import { parseStepBoundary, type StepBoundary } from "../data/tokens/steps.ts";
import { judgeRows } from "../judges/judge-rows.ts";
import { makeJudge } from "../judges/registry.ts";
import { loadRewardModel } from "../model/reward/reward-model.ts";
import { computeDType, type Precision } from "../model/transformer/precision.ts";
import { loadScorable, type ScorableRow } from "../scoring/scorable-rows.ts";
import { type ScoreMetrics, scoreMetrics } from "../scoring/score-metrics.ts";
import { type ScoredRow, scoreRows } from "../scoring/score-rows.ts";
import { describeMetrics, describeScored } from "../scoring/score-summary.ts";
import { type CommonOptions, command, type Io, outputOf, Unmet, usage } from "./command.ts";
import { parseJudge, type RowFlags, rowFile } from "./judge-options.ts";
import { number, precisionOption } from "./sampling-options.ts";

type ScoreOptions = CommonOptions &
  RowFlags & {
    rows: string;
    judge?: unknown;
    objective?: string;
    step?: StepBoundary;
    separator?: string;
    threshold: number;
    precision: Precision;
    out?: string;
  };

type Result = { rows: ScoredRow[]; metrics: Record<string, ScoreMetrics> };

/** A progress bar over responses, of which a pair has two. */
const bar = (rows: readonly ScorableRow[]) => {
  const total = rows.reduce((sum, { form }) => sum + (form === "pair" ? 2 : 1), 0);
  return progress({ label: "score", total, unit: "responses" });
};

const byModel = async (
  name: string,
  rows: readonly ScorableRow[],
  { objective, step, threshold, precision }: ScoreOptions,
  { problems, signal }: { problems: Problems; signal: AbortSignal },
): Promise<Result> => {
  const model = await loadRewardModel(name, { compute: computeDType(precision) });
  try {
    const shown = bar(rows);
    const onProgress = (done: number): void => shown.update(done);
    const scored = scoreRows(model, rows, { objective, boundary: step, problems, signal, onProgress });
    shown.done();
    const kindOf = (name: string) => model.rewards.get(name).kind;
    return { rows: scored, metrics: scoreMetrics(scored, { threshold, kindOf }) };
  } finally {
    model.dispose();
  }
};

const byJudge = async (
  rows: readonly ScorableRow[],
  { judge: declared, objective, threshold }: ScoreOptions,
  signal: AbortSignal,
): Promise<Result> => {
  const judge = makeJudge(declared, "--judge");
  try {
    const shown = bar(rows);
    const onProgress = (done: number): void => shown.update(done);
    const scored = await judgeRows(judge, rows, { objective, signal, onProgress });
    shown.done();
    return { rows: scored, metrics: scoreMetrics(scored, { threshold }) };
  } finally {
    judge.dispose?.();
  }
};

/** Scores rows; with what the rows say of right and wrong, says how good the scores are. */
export const scoreCommand = (io: Io): Command =>
  command({
    name: "score",
    summary: "Score the steps of responses with a reward model, or responses with a judge.",
    examples: [
      [
        "mahalo score runs/math/reward/accuracy/model --rows steps.jsonl",
        "every step; AUC where rows have labels",
      ],
      [
        "mahalo score RM --rows pairs.jsonl --objective helpful --json",
        "both sides of every pair, and accuracy",
      ],
      [
        "mahalo score RM --rows hh.jsonl.gz --format transcript-pair --out scores.jsonl",
        "a file in another format",
      ],
      ["mahalo score --judge math --rows answers.jsonl", "a judge instead of a model"],
      ["mahalo score --judge '{kind: rule, asksQuestion: true}' --rows answers.jsonl", "one with options"],
    ],
  })
    .argument("[model]", "folder or hub id of a reward model; or name a judge with --judge")
    .requiredOption(
      "--rows <file>",
      "rows in TRL's formats: chosen and rejected, completions (with labels), or completion (with label)",
    )
    .option("--judge <judge>", "score with a judge: its kind, or a declaration as in a recipe", parseJudge)
    .option("--format <name>", "named format of the rows, as in a recipe")
    .option("--columns <map>", "column map of the rows, as in a recipe")
    .option("--objective <name>", "what to score on; default: the rows' own, or the model's only objective")
    .option(
      "--step <boundary>",
      "what ends a step: blank-line, line, sentence, sentence:12 or turn; default: as the model was trained, else turn",
      parseStepBoundary,
    )
    .option(
      "--separator <text>",
      "text between completions that have no white space at their ends (default: a line feed)",
    )
    .option("--threshold <value>", "score and label above which a step or response is good", number, 0.5)
    .addOption(precisionOption())
    .option("--out <file>", "write the scored rows to this file as JSON lines; default: print them")
    .action(async (name: string | undefined, options: ScoreOptions) => {
      const output = outputOf(io, options);
      const { rows: path, judge, separator, out } = options;
      if ((name === undefined) === (judge === undefined)) {
        throw usage("name either a reward model or a judge with --judge");
      }
      const problems = new Problems();
      const given = await loadScorable(rowFile(path, options), {
        problems,
        separator,
        signal: io.signal,
      });
      const { rows, metrics } =
        name === undefined
          ? await byJudge(given, options, io.signal)
          : await byModel(name, given, options, { problems, signal: io.signal });
      if (problems.summary() !== "") output.note(problems.summary());
      if (out === undefined) {
        output.result(
          { rows, metrics },
          () => `${rows.map(describeScored).join("")}\n${describeMetrics(metrics)}`,
        );
      } else {
        await writeJsonLines(out, rows);
        output.result(
          { file: out, rows: rows.length, metrics },
          () => `${out}: ${formatNumberOf(rows.length, "row")}\n${describeMetrics(metrics)}`,
        );
      }
      if (Object.values(metrics).every(({ mean }) => Object.keys(mean).length === 0)) throw new Unmet();
    });
