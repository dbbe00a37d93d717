/** The npm packages, installed from the lockfile when node_modules does not match it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./paths.mjs";
import { run, tail } from "./process.mjs";
import { SetupError } from "./report.mjs";

/** @returns {Record<string, { version?: string, integrity?: string, optional?: boolean, link?: boolean }> | undefined} */
const packagesOf = (/** @type {string} */ file) => {
  try {
    return JSON.parse(readFileSync(join(ROOT, file), "utf8")).packages;
  } catch {
    return undefined;
  }
};

/**
 * True where node_modules holds what the lockfile asks for, by the record that npm itself keeps there.
 * Packages for other platforms are optional and may be missing.
 */
const matching = () => {
  const wanted = packagesOf("package-lock.json");
  const found = packagesOf("node_modules/.package-lock.json");
  if (!wanted || !found) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith("node_modules/")) return true;
    const there = found[path];
    if (!there) return entry.optional === true;
    return (
      there.version === entry.version && there.integrity === entry.integrity && existsSync(join(ROOT, path))
    );
  });
};

/** Installs the packages unless they are up to date. */
export const setUpPackages = async () => {
  if (matching()) return { note: "up to date with package-lock.json", value: undefined };
  const { status, missing, stdout, stderr } = await run("npm", ["ci", "--no-fund", "--no-audit"], {
    cwd: ROOT,
  });
  if (missing) throw new SetupError("npm is not on the PATH", "install Node 20 or newer with npm");
  if (status !== 0) {
    throw new SetupError(
      `npm ci failed:\n${tail(`${stdout}\n${stderr}`)}`,
      "check the network, or run npm install where package.json was changed",
    );
  }
  return { note: "installed from package-lock.json", value: undefined };
};
