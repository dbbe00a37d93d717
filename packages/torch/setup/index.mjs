/** Set-up: libtorch, the base model and the native addon; does only what is missing, and says what it does. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setUpAddon } from "./addon.mjs";
import { setUpLibtorch } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";
import { setUpModel } from "./model.mjs";
import { BUILD, RECORD } from "./paths.mjs";
import { SetupError, step } from "./report.mjs";

export { ADDON, CLONE, SET_UP_COMMAND } from "./paths.mjs";

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

const setUpAll = async () => {
  const last = lastRecord();
  const libtorch = await step("libtorch", () => setUpLibtorch(last));
  const model = await step("model", setUpModel);
  const addon = await step("addon", () => setUpAddon(libtorch, last));
  const record = { format: 1, libtorch, addon, model };
  if (JSON.stringify(record) !== JSON.stringify(last)) writeRecord(record);
};

/** What is wrong with set-up, with what to do about it, or undefined for an error of another kind. */
const explain = (/** @type {unknown} */ error) => {
  if (error instanceof SetupError) return { message: error.message, hint: error.hint };
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (error instanceof Error && (code === "ENOSPC" || code === "EACCES"))
    return { message: error.message, hint: "free disk space, or make the folder writable" };
  return undefined;
};

/**
 * Sets up, one process at a time: the second finds everything done. What fails is told on stderr.
 *
 * @param {() => Promise<void>} [first] done before all else, under the same lock
 * @returns {Promise<boolean>} whether all is there
 */
export const setUp = async (first) => {
  // A signal ends the process through its exit handlers, which remove locks and half-fetched files.
  const ends = Object.entries({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }).map(([signal, status]) => {
    const end = () => process.exit(status);
    process.once(signal, end);
    return () => process.removeListener(signal, end);
  });
  const [major = 0] = process.versions.node.split(".").map(Number);
  try {
    if (major < 20) throw new SetupError(`Node ${process.version} is too old`, "install Node 20 or newer");
    await withLock(join(BUILD, "setup.lock"), async () => {
      await first?.();
      await setUpAll();
    });
    return true;
  } catch (error) {
    const told = explain(error);
    if (told === undefined) throw error;
    process.stderr.write(`set-up failed: ${told.message}\n  what to do: ${told.hint}\n`);
    return false;
  } finally {
    for (const end of ends) end();
  }
};
