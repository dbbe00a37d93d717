#!/usr/bin/env node
/** The mahalo command: runs the TypeScript sources in this process through tsx. */
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { endOnFailure } from "../src/core/failure.mjs";

endOnFailure("mahalo");

/** Loading the sources opens many files at once; where too few may be open, Node hangs or fails for reasons that mislead. */
const checkOpenFiles = () => {
  /** @type {number[]} */
  const open = [];
  try {
    while (open.length < 128) open.push(openSync("/dev/null", "r"));
  } finally {
    for (const file of open) closeSync(file);
  }
};

checkOpenFiles();
const main = new URL("../src/cli/main.ts", import.meta.url);
process.argv[1] = fileURLToPath(main);
try {
  const { register } = await import("tsx/esm/api");
  register();
  // The engine loads its addon when it is imported: that it was not built is told as any failure is.
  await import(main.href);
} catch (error) {
  const missing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
  if (!missing || !/^Cannot find package/.test(error.message)) throw error;
  process.stderr.write(
    "mahalo: its packages are not installed; run: node scripts/setup.mjs  (E_NOT_SET_UP)\n",
  );
  process.exit(2);
}
