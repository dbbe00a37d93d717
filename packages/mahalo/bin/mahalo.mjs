#!/usr/bin/env node
/** The mahalo command: in a clone it runs the TypeScript sources through tsx, in an installed package what was built of them. */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (/** @type {string} */ path) => new URL(path, import.meta.url);
const inClone = existsSync(here("../src/cli/main.ts"));
const { endOnFailure } = await import(
  here(inClone ? "../src/core/failure.mjs" : "../dist/core/failure.mjs").href
);

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

/** What --help says before there is an addon, without which the commands cannot be loaded. */
const beforeSetUp = `mahalo is not set up yet. Run:

  $ mahalo setup

It fetches libtorch (550 MB) and the base model (93 MB) once, and compiles the addon, which takes about a minute. Any
other command does this first. LIBTORCH=/path names a libtorch of your own. Afterwards, mahalo --help lists the commands.
`;

const asksHelp = (/** @type {string[]} */ words) => words.includes("--help") || words.includes("-h");

/** Sets up an installed package before its first command. Ends the process where nothing else was asked for, or it failed. */
const prepare = async (/** @type {string | undefined} */ command, /** @type {string[]} */ options) => {
  const { ADDON, setUp } = await import("@mahalo/torch/setup");
  if (existsSync(ADDON)) return;
  if (command === "--version" || command === "-V") {
    process.stdout.write(`${JSON.parse(readFileSync(here("../package.json"), "utf8")).version}\n`);
  } else if (command === undefined || command === "help" || asksHelp([command, ...options])) {
    process.stdout.write(beforeSetUp);
  } else {
    if (!(await setUp())) process.exit(2);
    if (command !== "setup") return;
  }
  process.exit(0);
};

checkOpenFiles();
const main = here(inClone ? "../src/cli/main.ts" : "../dist/cli/main.js");
const [command, ...options] = process.argv.slice(2);
process.argv[1] = fileURLToPath(main);
try {
  if (inClone) {
    const { register } = await import("tsx/esm/api");
    register();
  } else await prepare(command, options);
  // The engine loads its addon when it is imported: that it was not built is told as any failure is.
  await import(main.href);
} catch (error) {
  const missing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
  if (!inClone || !missing || !/^Cannot find package/.test(error.message)) throw error;
  process.stderr.write(
    "mahalo: its packages are not installed; run: node scripts/setup.mjs  (E_NOT_SET_UP)\n",
  );
  process.exit(2);
}
