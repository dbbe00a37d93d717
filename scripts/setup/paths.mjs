/** Where set-up keeps things: the clone's own build folder, and a cache folder that all clones of a user share. */
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of this clone. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Sources of the addon. */
export const NATIVE = join(ROOT, "packages", "torch", "native");

/** What set-up builds for this clone. */
export const BUILD = join(ROOT, "packages", "torch", "build");

/** The shared cache: `$XDG_CACHE_HOME/mahalo`, or `~/.cache/mahalo`; a relative XDG_CACHE_HOME is ignored, as the XDG standard asks. */
export const cacheFolder = () => {
  const base = process.env.XDG_CACHE_HOME;
  return join(base && isAbsolute(base) ? base : join(homedir(), ".cache"), "mahalo");
};
