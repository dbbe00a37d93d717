/** Reads vitest's JSON report and prints "PASSED FAILED"; a file that failed to load counts as one failed test. */
import { readFileSync } from "node:fs";

const [file = "", status = "0"] = process.argv.slice(2);
let passed = 0;
let failed = 0;
try {
  const report = JSON.parse(readFileSync(file, "utf8"));
  passed = report.numPassedTests;
  failed = report.numFailedTests;
  for (const suite of report.testResults) {
    if (suite.status === "failed" && suite.assertionResults.every((test) => test.status !== "failed"))
      failed += 1;
  }
} catch (error) {
  process.stderr.write(`no test report: ${error instanceof Error ? error.message : error}\n`);
}
// vitest can fail outside any test, for example on an unhandled rejection, or before it wrote its report.
if (status !== "0" && failed === 0) failed = 1;
process.stdout.write(`${passed} ${failed}\n`);
