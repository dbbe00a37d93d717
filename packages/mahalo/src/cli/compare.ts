/** mahalo compare: several runs beside each other, in one table, one figure and one results.json. */
import type { Command } from "commander";
import { element } from "../core/need.ts";
import { compareRuns } from "../evaluate/compare/compare.ts";
import type { Comparison } from "../evaluate/compare/comparison.ts";
import type { SeedEstimate } from "../evaluate/compare/seeds.ts";
import { verdictOf, writeComparison } from "../evaluate/report/compare-page.ts";
import { readMethodMetrics } from "../evaluate/report/method-curves.ts";
import { formatNumber } from "../evaluate/report/scale.ts";
import { type CommonOptions, command, type Io, outputOf } from "./command.ts";

const withInterval = (estimate: SeedEstimate | undefined): string =>
  estimate === undefined
    ? "–"
    : `${formatNumber(estimate.mean)} (${formatNumber(estimate.low)} to ${formatNumber(estimate.high)})`;

const aligned = (rows: readonly (readonly string[])[]): string => {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => element(row, column).length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(element(widths, column)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
};

/** What each policy gained over the model before alignment: a row a policy, a column an objective, marked where decided. */
const gainsText = ({ gains, objectives }: Comparison): string => {
  const over = gains[0]?.over;
  if (over === undefined) return "";
  const policies = [
    ...new Map(gains.map(({ name, label }) => [JSON.stringify([name, label]), { name, label }])).values(),
  ];
  const rows = policies.map(({ name, label }) => [
    name,
    label,
    ...objectives.map((objective) => {
      const match = gains.find((gain) => gain.name === name && gain.label === label && gain.of === objective);
      return `${withInterval(match?.gain)}${match?.decided === true ? " *" : ""}`;
    }),
  ]);
  const table = aligned([["method", `gain over ${over}`, ...objectives], ...rows]);
  if (!gains.some(({ decided }) => decided)) return table;
  return `${table}\n* the interval excludes 0; a loss on an objective that was not trained for is interference`;
};

const asText = (comparison: Comparison): string => {
  const { groups, objectives, differences, notes } = comparison;
  const policies = groups.flatMap(({ name, points }) =>
    points.map(({ label, results, onFront }) => [
      name,
      label,
      ...objectives.map((objective) => withInterval(results[objective])),
      onFront ? "front" : "",
    ]),
  );
  const volumes = groups.map(({ name, hypervolume, leastRegret }) => [
    name,
    withInterval(hypervolume),
    formatNumber(leastRegret),
  ]);
  const rows = differences.map((difference) => [
    `${difference.a} - ${difference.b}`,
    difference.of,
    withInterval(difference.difference),
    verdictOf(difference),
  ]);
  const parts = [
    aligned([["method", "policy", ...objectives, ""], ...policies]),
    aligned([["method", "hypervolume", "least regret"], ...volumes]),
    rows.length > 0 ? aligned([["difference", "of", "mean (95%)", "verdict"], ...rows]) : "",
    gainsText(comparison),
    ...notes,
  ];
  return `${parts.filter((part) => part !== "").join("\n\n")}\n`;
};

/** Compares runs and writes what came out. */
export const compareCommand = (io: Io): Command =>
  command({
    name: "compare",
    summary: "Compare runs: fronts, hypervolumes and paired differences over prompts and seeds.",
    examples: [
      ["mahalo compare runs/mah-dpo runs/dpo-mixed --to runs/compared", "two methods"],
      [
        "mahalo compare runs/mah-dpo-* runs/soup-*",
        "several seeds of each: runs that differ by seed are one method",
      ],
    ],
  })
    .argument("<runs...>", "folders of runs")
    .option("--to <folder>", "where results.json, report.html and the figures go", "comparison")
    .action(async (runs: string[], { to, ...common }: CommonOptions & { to: string }) => {
      const output = outputOf(io, common);
      const comparison = await compareRuns(runs);
      const files = await writeComparison(to, comparison, await readMethodMetrics(comparison));
      output.result({ ...files, ...comparison }, () => `${asText(comparison)}\nreport: ${files.html}\n`);
    });
