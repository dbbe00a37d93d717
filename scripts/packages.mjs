/** The npm packages, installed from the lockfile when node_modules does not match it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, tail } from "../packages/torch/setup/process.mjs";
import { SetupError } from "../packages/torch/setup/report.mjs";
import { ROOT } from "./paths.mjs";

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
  const flags = ["--no-fund", "--no-audit"];
  let result = await run("npm", ["ci", ...flags], { cwd: ROOT });
  if (result.status !== 0 && /EUSAGE/.test(result.stderr)) {
    // npm ci refuses a lockfile without the optional packages of every other platform, which some registries do not
    // carry; npm install holds to the same versions and hashes, and --no-save leaves the lockfile alone.
    result = await run("npm", ["install", "--no-save", ...flags], { cwd: ROOT });
  }
  const { status, missing, stdout, stderr } = result;
  if (missing) throw new SetupError("npm is not on the PATH", "install Node 20 or newer with npm");
  if (status !== 0) {
    throw new SetupError(
      `npm could not install the packages:\n${tail(`${stdout}\n${stderr}`)}`,
      "check the network and npm's configuration (npm config list), then run it again",
    );
  }
  if (!matching()) {
    throw new SetupError(
      "node_modules does not match package-lock.json after installing",
      "run npm install and commit package-lock.json with the change to package.json",
    );
  }
  return { note: "installed from package-lock.json", value: undefined };
};
