/** Where set-up keeps things: what it builds for this package, and a cache folder that all packages and clones of a user share. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package. */
const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)));

/** The root of the clone that this package lies in, or undefined where npm installed it. */
export const CLONE = existsSync(join(PACKAGE, "src")) ? dirname(dirname(PACKAGE)) : undefined;

/** What a user runs to set up. */
export const SET_UP_COMMAND = CLONE === undefined ? "npx mahalo setup" : "node scripts/setup.mjs";

/** Sources of the addon. */
export const NATIVE = join(PACKAGE, "native");

/** The shared cache: `$XDG_CACHE_HOME/mahalo`, or `~/.cache/mahalo`; a relative XDG_CACHE_HOME is ignored, as the XDG standard asks. */
export const cacheFolder = (environment = process.env) => {
  const base = environment.XDG_CACHE_HOME;
  return join(base && isAbsolute(base) ? base : join(homedir(), ".cache"), "mahalo");
};

/** A name for the sources of this package's addon: packages with other sources get another addon. */
const sourcesName = () => {
  const hash = createHash("sha256");
  for (const name of readdirSync(NATIVE).sort()) hash.update(name).update(readFileSync(join(NATIVE, name)));
  return `addon-${process.arch}-${hash.digest("hex").slice(0, 16)}`;
};

/** What set-up builds: in a clone its own folder; for an installed package a folder of the cache, which outlives node_modules. */
export const BUILD = CLONE === undefined ? join(cacheFolder(), sourcesName()) : join(PACKAGE, "build");

/** The compiled addon. */
export const ADDON = join(BUILD, "mahalo_torch.node");

/** What the last set-up found and built. */
export const RECORD = join(BUILD, "setup.json");

/** The folder of an npm package that the addon is compiled with. */
export const packageFolder = (/** @type {string} */ name) =>
  dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
