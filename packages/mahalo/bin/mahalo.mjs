#!/usr/bin/env node
/** The mahalo command: runs the TypeScript sources in this process through tsx. */
import { fileURLToPath } from "node:url";

const main = new URL("../src/cli/main.ts", import.meta.url);
process.argv[1] = fileURLToPath(main);
try {
  const { register } = await import("tsx/esm/api");
  register();
} catch (error) {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  process.stderr.write(
    "mahalo: its packages are not installed; run: node scripts/setup.mjs  (E_NOT_SET_UP)\n",
  );
  process.exit(2);
}
try {
  await import(main.href);
} catch (error) {
  // The engine loads its addon when it is imported, before the command line can report that it was not built.
  if (!(error instanceof Error) || error.name !== "MahaloError") throw error;
  const { message, hint, code, exitStatus } = /** @type {Error & Record<string, any>} */ (error);
  process.stderr.write(`mahalo: ${message}${hint ? `; ${hint}` : ""}  (${code})\n`);
  process.exit(exitStatus ?? 2);
}
