/** Builds report.html and sweep.svg of a run from its results.json and metrics. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../core/files.ts";
import { readJsonFile } from "../../core/json.ts";
import { metricsFile, readMetrics } from "../../train/metrics.ts";
import { guidanceSchema } from "../guidance.ts";
import { readResults } from "../results.ts";
import { reportPage, type StageMetrics } from "./page.ts";
import { sweepSvg } from "./sweep-chart.ts";

/** Stages that train, in the order of the report. */
const trainingStages = ["sft", "align"] as const;

/** The files that {@link writeReport} wrote. */
export type ReportFiles = { html: string; svg?: string };

/**
 * Rebuilds the report of a run; the work of `mahalo report RUN`.
 *
 * Reads `results.json` and each training stage's `metrics.jsonl` (a stage without one is left out), writes
 * `report.html` and, where there was a sweep, `sweep.svg`. The same inputs give the same bytes.
 *
 * @param run the run's folder, for example `runs/quickstart`.
 * @throws MahaloError E_FILE_READ, E_RESULTS, E_JSON_SYNTAX, E_JSON_FIELD, E_FILE_WRITE
 */
export const writeReport = async (run: string): Promise<ReportFiles> => {
  const results = await readResults(join(run, "results.json"));
  const metrics: Record<string, StageMetrics[string]> = {};
  for (const stage of trainingStages) {
    const path = join(run, stage, metricsFile);
    if (existsSync(path)) {
      metrics[stage] = await readMetrics(path);
    }
  }
  const guided = join(run, "guidance.json");
  const guidance = existsSync(guided)
    ? await readJsonFile(guided, guidanceSchema, { code: "E_RESULTS", hint: "run the guide stage again" })
    : undefined;
  const html = join(run, "report.html");
  await writeFileAtomic(html, reportPage(results, metrics, guidance));
  if (!results.sweep) {
    return { html };
  }
  const svg = join(run, "sweep.svg");
  await writeFileAtomic(svg, sweepSvg(results.sweep));
  return { html, svg };
};
