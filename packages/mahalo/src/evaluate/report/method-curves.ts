/** Training curves of a comparison: one small chart an objective and metric, one line a method. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { element } from "../../core/need.ts";
import { type MetricsRow, metricsFile, readMetrics } from "../../train/metrics.ts";
import { isBaseline } from "../compare/compared-runs.ts";
import type { Comparison } from "../compare/comparison.ts";
import { panel, pick } from "./curves.ts";
import { type Insert, markup } from "./markup.ts";

/** Metrics of each method's alignment, by its group's name. */
export type MethodMetrics = Readonly<Record<string, readonly MetricsRow[]>>;

/**
 * The metrics of each method's first seed. Methods that train nothing of their own, such as soups and what a run answers
 * beside its policies, have none.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_JSON_FIELD
 */
export const readMethodMetrics = async ({ groups }: Comparison): Promise<MethodMetrics> => {
  const metrics: Record<string, MetricsRow[]> = {};
  for (const { name, runs, centre } of groups) {
    const path = join(element(runs, 0, "run").folder, "align", metricsFile);
    // The runs of a baseline are those that answered with it beside their own policies.
    if (!isBaseline(centre) && existsSync(path)) metrics[name] = await readMetrics(path);
  }
  return metrics;
};

/** Losses differ between methods; margins and accuracies mean the same in all of them. */
const shown = [
  ["rewards/margins", "reward margin"],
  ["rewards/accuracies", "reward accuracy"],
] as const;

/** The section of the curves; a method's look is that of its place among `names`, as in the fronts. */
export const methodCurves = (
  metrics: MethodMetrics,
  names: readonly string[],
  objectives: readonly string[],
): Insert => {
  const lookOf = (name: string): number => Math.max(0, names.indexOf(name));
  const panels = objectives.flatMap((objective, index) =>
    shown.flatMap(([metric, title]): Insert[] => {
      const train = names.flatMap((name) => {
        const rows = metrics[name];
        const points = rows === undefined ? [] : pick(rows, `${objective}/${metric}`);
        return points.length === 0 ? [] : [{ name, points }];
      });
      if (train.length === 0) return [];
      const id = `method-curve-${index}-${metric.replaceAll("/", "-")}`;
      return [panel({ id, title: `${objective}: ${title}`, train, lookOf, raw: false, keyed: true })];
    }),
  );
  return (
    panels.length > 0 &&
    markup`<section id="training"><h2>Training</h2><p>Moving averages over the alignment of each method's first seed, on each objective's own pairs. The reward margin is chosen minus rejected; reward accuracy is the share of pairs ranked right. Margins grow with beta: compare them between runs of one beta.</p><div class="panels">${panels}</div></section>`
  );
};
