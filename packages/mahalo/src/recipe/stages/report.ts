/** The report stage: one self-contained page out of results and metrics. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../core/files.ts";
import { readBytes } from "../../core/read-file.ts";
import { writeReport } from "../../evaluate/report/write.ts";
import { metricsFile } from "../../train/metrics.ts";
import { needFolder, type Stage } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";

/** Writes report.html and sweep.svg; the stage's folder keeps copies of all that they were made from. */
export const reportStage: Stage<Recipe> = {
  name: "report",
  version: "2",
  dependencies: ["sft", "align", "evaluate", "guide"],
  inputs: () => null,
  run: async ({ folder, folderOf }) => {
    const copy = async (from: string, to: string): Promise<void> =>
      writeFileAtomic(join(folder, to), await readBytes(from));
    const evaluated = needFolder("report", "evaluate", folderOf);
    await copy(join(evaluated, "results.json"), "results.json");
    const guided = folderOf("guide");
    if (guided !== undefined) await copy(join(guided, "guidance.json"), "guidance.json");
    for (const stage of ["sft", "align"]) {
      const trained = folderOf(stage);
      const metrics = trained === undefined ? undefined : join(trained, metricsFile);
      if (metrics !== undefined && existsSync(metrics)) await copy(metrics, join(stage, metricsFile));
    }
    await writeReport(folder);
  },
};
