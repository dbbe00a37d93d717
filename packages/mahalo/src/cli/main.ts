/** Entry point of the mahalo command: connects the command line to this process. */
import { errorCode } from "../core/files.ts";
import { clearProgress } from "../core/progress.ts";
import { runCli } from "./program.ts";

const controller = new AbortController();
const stop = (): void => {
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
  process.stderr.write("\nmahalo: stopping at the next safe point; Ctrl-C again stops at once\n");
};
process.on("SIGINT", stop);
process.on("SIGTERM", stop);
// A reader that has seen enough (`mahalo schema | head`) ends the command without complaint.
process.stdout.on("error", (error) => {
  if (errorCode(error) !== "EPIPE") throw error;
  process.exit(0);
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => {
    clearProgress();
    process.stderr.write(text);
  },
  signal: controller.signal,
  colour: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
});
process.off("SIGINT", stop);
process.off("SIGTERM", stop);
