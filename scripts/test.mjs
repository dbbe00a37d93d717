/** Runs the tests with coverage; arguments go on to vitest: `npm test -- packages/torch`. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { endOnFailure } from "../packages/mahalo/src/core/failure.mjs";
import { ROOT } from "./paths.mjs";

endOnFailure("tests");
const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
const child = spawn(
  process.execPath,
  [vitest, "run", "--coverage", "--coverage.reportOnFailure", ...process.argv.slice(2)],
  {
    cwd: ROOT,
    stdio: "inherit",
  },
);
// The terminal sends Ctrl-C to both; this process waits for vitest's own ending.
process.on("SIGINT", () => {});
child.on("error", (error) => {
  process.stderr.write(`tests did not start: ${error.message}; run: node scripts/setup.mjs\n`);
  process.exitCode = 2;
});
child.on("close", (status, signal) => {
  process.exitCode = status ?? (signal ? 1 : 0);
});
