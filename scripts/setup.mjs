/** Set-up: npm packages, libtorch, the base model and the native addon; does only what is missing, and says what it does. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endOnFailure } from "../packages/mahalo/src/core/failure.mjs";
import { setUpAddon, withBuildLock } from "./setup/addon.mjs";
import { setUpLibtorch } from "./setup/libtorch.mjs";
import { setUpModel } from "./setup/model.mjs";
import { setUpPackages } from "./setup/packages.mjs";
import { BUILD } from "./setup/paths.mjs";
import { SetupError, step } from "./setup/report.mjs";

const RECORD = join(BUILD, "setup.json");

const lastRecord = () => {
  try {
    return JSON.parse(readFileSync(RECORD, "utf8"));
  } catch {
    return undefined;
  }
};

const writeRecord = (/** @type {object} */ record) => {
  const text = `${JSON.stringify(record, null, 2)}\n`;
  mkdirSync(BUILD, { recursive: true });
  const temporary = `${RECORD}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, RECORD);
};

const setUp = async () => {
  const last = lastRecord();
  await step("packages", setUpPackages);
  const libtorch = await step("libtorch", () => setUpLibtorch(last));
  const model = await step("model", setUpModel);
  const addon = await step("addon", () => setUpAddon(libtorch, last));
  const record = { format: 1, libtorch, addon, model };
  if (JSON.stringify(record) !== JSON.stringify(last)) writeRecord(record);
};

endOnFailure("set-up");
// A signal ends the process through its exit handlers, which remove locks and half-fetched files.
for (const [signal, status] of Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }))
  process.once(signal, () => process.exit(status));

const [major = 0] = process.versions.node.split(".").map(Number);
try {
  if (major < 20) throw new SetupError(`Node ${process.version} is too old`, "install Node 20 or newer");
  // One at a time in a clone: the second finds everything done.
  await withBuildLock(setUp);
} catch (error) {
  if (error instanceof SetupError) {
    process.stderr.write(`set-up failed: ${error.message}\n  what to do: ${error.hint}\n`);
    process.exitCode = 2;
  } else if (
    error instanceof Error &&
    "code" in error &&
    (error.code === "ENOSPC" || error.code === "EACCES")
  ) {
    process.stderr.write(
      `set-up failed: ${error.message}\n  what to do: free disk space, or make the folder writable\n`,
    );
    process.exitCode = 2;
  } else {
    throw error;
  }
}
