/** mahalo report: write a run's report anew from its results and metrics. */
import type { Command } from "commander";
import { writeReport } from "../evaluate/report/write.ts";
import { type CommonOptions, command, type Io, outputOf } from "./command.ts";

/** Rebuilds report.html and sweep.svg of a run. */
export const reportCommand = (io: Io): Command =>
  command({
    name: "report",
    summary: "Write a run's report.html and sweep.svg again from its results and metrics.",
    examples: [["mahalo report runs/quickstart", "for example after an update of mahalo"]],
  })
    .argument("<run>", "folder of a run")
    .action(async (run: string, options: CommonOptions) => {
      const files = await writeReport(run);
      outputOf(io, options).result(files, () => `${Object.values(files).join("\n")}\n`);
    });
