/** Entry point of the mahalo command: connects the command line to this process. */
import { describeFailure } from "../core/failure.mjs";
import { errorCode, fileError } from "../core/files.ts";
import { stopWaitingOn } from "../core/interrupt.ts";
import { clearProgress } from "../core/progress.ts";
import { interrupted, runCli } from "./program.ts";

/** Signals that end a command at the next safe point, and its exit status then, as shells expect it: 128 and the number. */
const statuses = { SIGHUP: 129, SIGINT: interrupted, SIGTERM: 143 } as const;
type StopSignal = keyof typeof statuses;

const controller = new AbortController();
stopWaitingOn(controller.signal);
let stoppedBy: StopSignal | undefined;

const stop = (signal: StopSignal): void => {
  if (stoppedBy !== undefined) {
    // A closed terminal tells it twice, and service managers after SIGTERM; only a person's haste ends at once.
    if (signal === "SIGHUP") return;
    process.exit(statuses[signal]);
  }
  stoppedBy = signal;
  controller.abort();
  const again = signal === "SIGINT" ? "Ctrl-C again stops at once" : `${signal} again stops at once`;
  process.stderr.write(`\nmahalo: stopping at the next safe point; ${again}\n`);
};
const handlers = (Object.keys(statuses) as StopSignal[]).map(
  (signal) => [signal, () => stop(signal)] as const,
);
for (const [signal, handler] of handlers) process.on(signal, handler);

process.stdout.on("error", (error) => {
  // A reader that has seen enough (`mahalo schema | head`) ends the command without complaint.
  if (errorCode(error) === "EPIPE") process.exit(0);
  // A terminal that was closed takes nothing more, but the command is to end in good order.
  if (stoppedBy === "SIGHUP") return;
  const failure = fileError("E_FILE_WRITE", "write", "standard output", error);
  process.stderr.write(`mahalo: ${describeFailure(failure)}\n`);
  process.exit(1);
});

const status = await runCli(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => {
    clearProgress();
    process.stderr.write(text);
  },
  signal: controller.signal,
  colour: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
});
process.exitCode = status === interrupted && stoppedBy !== undefined ? statuses[stoppedBy] : status;
for (const [signal, handler] of handlers) process.off(signal, handler);
