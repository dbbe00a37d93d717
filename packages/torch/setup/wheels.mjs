/** Fetches pinned wheels with pip and unpacks them into a temporary folder of the cache. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "./paths.mjs";
import { run, tail } from "./process.mjs";
import { SetupError } from "./report.mjs";

const PREFIX = ".fetch-";
const ABANDONED_MS = 3_600_000;

/** The interpreters to ask, the most specific first. */
const interpreters = () => {
  const { PYTHON, VIRTUAL_ENV } = process.env;
  return [PYTHON, VIRTUAL_ENV && join(VIRTUAL_ENV, "bin", "python"), "python3", "python"].filter(
    (name) => name !== undefined && name !== "",
  );
};

/**
 * The active Python: `PYTHON`, the virtual environment's, `python3` or `python`; undefined where none runs.
 *
 * @param {string} code a program for it to run
 * @returns {Promise<{ python: string, stdout: string } | undefined>}
 */
export const askPython = async (code) => {
  for (const python of interpreters()) {
    // Started from "/", so that a folder of the clone is never taken for a module.
    const { status, stdout } = await run(python, ["-c", code], { cwd: "/" });
    if (status === 0) return { python, stdout };
  }
  return undefined;
};

const findPip = async () => {
  const found = await askPython("import sys; print(sys.version_info[:2])");
  if (!found) {
    throw new SetupError(
      "no Python 3 found; its pip fetches libtorch and the base model",
      "install it (Debian: apt-get install python3 python3-pip), or set PYTHON to an interpreter",
    );
  }
  const pip = await run(found.python, ["-m", "pip", "--version"], { cwd: "/" });
  if (pip.status !== 0) {
    throw new SetupError(
      `${found.python} has no pip; it fetches libtorch and the base model`,
      "install it (Debian: apt-get install python3-pip; else: python3 -m ensurepip), or set PYTHON to an interpreter that has it",
    );
  }
  return found.python;
};

const checkSpace = (/** @type {string} */ folder, /** @type {number} */ bytes) => {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < bytes) {
    const gigabytes = (/** @type {number} */ n) => (n / 1e9).toFixed(1);
    throw new SetupError(
      `${folder} has ${gigabytes(free)} GB free; this step needs ${gigabytes(bytes)} GB`,
      "free some space, or set XDG_CACHE_HOME to a folder on a larger disk",
    );
  }
};

/** Removes what set-ups that were killed left behind. Call it under the cache's lock. */
const sweep = (/** @type {string} */ cache) => {
  for (const name of readdirSync(cache)) {
    const path = join(cache, name);
    if (name.startsWith(PREFIX) && Date.now() - statSync(path).mtimeMs > ABANDONED_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
};

/**
 * Installs pinned wheels into a fresh folder, hands it to `use`, and removes what is left of it.
 *
 * @template T
 * @param {object} order
 * @param {string[]} order.requirements lines of a requirements file, each with its hash
 * @param {string} order.machine for example "x86_64"
 * @param {number} order.bytes disk space that downloading and unpacking takes
 * @param {(folder: string) => Promise<T> | T} use gets the folder; what it wants to keep it renames out of there
 * @returns {Promise<T>}
 */
export const withWheels = async ({ requirements, machine, bytes }, use) => {
  const cache = cacheFolder();
  mkdirSync(cache, { recursive: true });
  sweep(cache);
  checkSpace(cache, bytes);
  const python = await findPip();
  const folder = mkdtempSync(join(cache, PREFIX));
  const clean = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", clean);
  try {
    const list = join(folder, "requirements.txt");
    const scratch = join(folder, "tmp");
    const target = join(folder, "target");
    writeFileSync(list, `${requirements.join("\n")}\n`);
    mkdirSync(scratch);
    const platforms = ["manylinux_2_28", "manylinux_2_25", "manylinux_2_17", "manylinux2014"];
    const { status, stdout, stderr } = await run(
      python,
      [
        ...["-m", "pip", "install", "--no-deps", "--no-compile", "--disable-pip-version-check", "--no-input"],
        ...["--target", target, "--only-binary=:all:", "--python-version", "312", "--implementation", "cp"],
        ...platforms.flatMap((platform) => ["--platform", `${platform}_${machine}`]),
        ...["--require-hashes", "-r", list],
      ],
      // pip unpacks in TMPDIR first: the same disk, so that it can rename instead of copy.
      { cwd: "/", env: { ...process.env, TMPDIR: scratch }, show: process.stderr.isTTY === true },
    );
    if (status !== 0) {
      const output = tail(`${stdout}\n${stderr}`);
      throw new SetupError(
        `pip could not fetch ${requirements.map((line) => line.split(" ")[0]).join(", ")}:\n${output}`,
        /No space left/.test(output)
          ? "free some space, or set XDG_CACHE_HOME to a folder on a larger disk"
          : /HASHES|hash/.test(output)
            ? "the index sent a file that differs from the one pinned in setup/pins.mjs: do not use it; try another index"
            : "check the network and pip's configuration (pip config list), then run it again",
      );
    }
    return await use(target);
  } finally {
    process.removeListener("exit", clean);
    clean();
  }
};
