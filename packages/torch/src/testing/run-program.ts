/** Runs a program of this folder in a process of its own, for tests that must survive its crash or measure its memory. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a program ended: `status` is null when a signal killed it. */
export type Ending = { status: number | null; signal: string | null; output: string; errors: string };

/** Runs `testing/<name>`, or a program of any other path or URL, with Node flags; never rejects, so that a crash can be told from an error. */
export const runProgram = (name: string, flags: readonly string[] = []): Promise<Ending> =>
  new Promise((resolve) => {
    const path = fileURLToPath(new URL(name, import.meta.url));
    const child = execFile(
      process.execPath,
      [...flags, "--import", "tsx", path],
      { maxBuffer: 1 << 24 },
      (_, output, errors) => resolve({ status: child.exitCode, signal: child.signalCode, output, errors }),
    );
  });
