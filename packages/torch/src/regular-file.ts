/** Lets regular files be read only: a pipe would be waited for, and a device may never end. */
import { type Stats, statSync } from "node:fs";
import { MahaloError } from "./error.ts";

const kindOf = (stat: Stats): string | undefined => {
  if (stat.isFIFO()) return "a pipe";
  if (stat.isSocket()) return "a socket";
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return "a device";
  return undefined;
};

/**
 * What the system says of a file that is about to be read; to be called before it is opened, since opening a pipe waits.
 *
 * A folder passes, since reading it fails by itself and at once.
 *
 * @throws MahaloError `E_FILE_KIND` for a pipe, a socket or a device; what `statSync` throws where there is no file
 */
export function checkRegular(path: string): Stats {
  const stat = statSync(path);
  const kind = kindOf(stat);
  if (kind === undefined) return stat;
  throw new MahaloError("E_FILE_KIND", `${path}: is ${kind}, and only regular files are read`, {
    hint: kind === "a pipe" ? "write its contents to a file, and name that file" : "name a file",
  });
}
