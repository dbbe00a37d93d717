/** Scores in words, for the terminal. */

import type { Interval } from "../core/bootstrap.ts";
import { formatNumberOf } from "../core/format.ts";
import type { LabelMetrics, ScoreMetrics } from "./score-metrics.ts";
import type { JudgedScore, ScoredRow, StepwiseScore } from "./score-rows.ts";

const digits = (value: number): string => value.toFixed(3);

const oneLine = (text: string): string => {
  const flat = text.trim().replaceAll(/\s+/g, " ");
  return flat.length > 72 ? `${flat.slice(0, 69)}...` : flat;
};

const describeSide = (name: string, score: StepwiseScore | JudgedScore): string => {
  if (!("steps" in score)) {
    return `  ${name}${score.score === null ? "no verdict" : digits(score.score)}  ${score.reason}\n`;
  }
  const { last, min, product, mean } = score;
  const lines = score.steps.map(({ text, score: stepScore, label }) => {
    return `    ${digits(stepScore)}${label === undefined ? "" : ` (${label})`}  ${oneLine(text)}\n`;
  });
  const whole = `last ${digits(last)}, min ${digits(min)}, product ${digits(product)}, mean ${digits(mean)}`;
  return `  ${name}${whole}\n${lines.join("")}`;
};

/** A scored row: its place, and each side with its steps. */
export const describeScored = (row: ScoredRow): string =>
  `${row.row} ${row.objective}\n${
    "chosen" in row
      ? describeSide("chosen: ", row.chosen) + describeSide("rejected: ", row.rejected)
      : describeSide("", row)
  }`;

const within = (interval: Interval | undefined): string =>
  interval === undefined ? "" : ` [${digits(interval[0])} to ${digits(interval[1])}]`;

const describeLabels = ({ count, accuracy, auc, aucInterval, ...rest }: LabelMetrics): string => {
  const { ece, correlation, margin } = rest;
  const named = Object.entries({ accuracy, auc, ece, correlation, margin });
  const shown = named.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name} ${digits(value)}${name === "auc" ? within(aucInterval) : ""}`],
  );
  return `${shown.join(", ")} (${count})`;
};

/** The metrics of each objective, a line for each kind of score. */
export const describeMetrics = (metrics: Readonly<Record<string, ScoreMetrics>>): string =>
  Object.entries(metrics)
    .map(([objective, { rows, abstained, mean, pairs = {}, responses = {}, steps }]) => {
      const means = Object.entries(mean).map(([name, value]) => `${name} ${digits(value)}`);
      const left = abstained > 0 ? `, ${abstained} without a verdict` : "";
      return [
        `${objective}: ${formatNumberOf(rows, "row")}${left}${means.length === 0 ? "" : `; mean ${means.join(", ")}`}`,
        ...(steps === undefined ? [] : [`  steps: ${describeLabels(steps)}`]),
        ...Object.entries(responses).map(
          ([name, metrics]) => `  responses by ${name}: ${describeLabels(metrics)}`,
        ),
        ...Object.entries(pairs).map(
          ([name, { count, accuracy, accuracyInterval, ties, margin }]) =>
            `  pairs by ${name}: accuracy ${digits(accuracy)}${within(accuracyInterval)}, margin ${digits(margin)}, ties ${ties} (${count})`,
        ),
      ].join("\n");
    })
    .join("\n")
    .concat("\n");
