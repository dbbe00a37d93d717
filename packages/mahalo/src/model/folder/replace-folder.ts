/** Writes a folder so that a reader finds the old one or the new one, never a part of either. */
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { followLinks, MahaloError, sweepTemporaries, temporaryFolder, tryLock } from "@mahalo/torch";
import { ensureDir, fileError } from "../../core/files.ts";
import { nameBeforeAside } from "../../core/leftovers.ts";

/** Asks the system to put a folder's entries on the disk, where its file system can. */
const syncFolder = async (path: string): Promise<void> => {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    await handle.sync();
  } catch {
    // Some file systems cannot sync folders; the rename is atomic all the same.
  } finally {
    await handle?.close();
  }
};

const isEmptyFolder = (path: string): boolean =>
  statSync(path).isDirectory() && readdirSync(path).length === 0;

/** Settles what a killed process moved aside: the folder goes back to its name, or is removed where a new one took it. */
const settleAsides = (parent: string): void => {
  for (const name of readdirSync(parent)) {
    const before = nameBeforeAside(name);
    if (before === undefined) continue;
    const path = join(parent, name);
    const fd = openSync(path, "r");
    try {
      // Another process that lives may be about to put its new folder into place.
      if (tryLock(fd) === "held") continue;
      if (existsSync(join(parent, before))) rmSync(path, { recursive: true, force: true });
      else renameSync(path, join(parent, before));
    } finally {
      closeSync(fd);
    }
  }
};

/** Puts a whole new folder into the place of an old one, which is moved aside before and removed after. */
const swap = async (temporary: string, path: string): Promise<void> => {
  const aside = join(dirname(path), `.${basename(path)}.mahalo-${randomBytes(6).toString("hex")}.old`);
  const fd = openSync(path, "r");
  try {
    tryLock(fd);
    await rename(path, aside);
    try {
      await rename(temporary, path);
    } catch (error) {
      await rename(aside, path);
      throw error;
    }
    await syncFolder(dirname(path));
    await rm(aside, { recursive: true, force: true });
  } finally {
    closeSync(fd);
  }
};

/**
 * Makes a folder anew: `write` fills a temporary one beside it, which then takes the place of what was there.
 *
 * What was there is moved aside before and removed after, so that a failure at any point loses neither.
 *
 * @param target the folder; a link to one is followed. Folders above it are made.
 * @param mayReplace whether a folder with content may be replaced; by default none is
 * @throws MahaloError E_FOLDER_EXISTS when `target` may not be replaced, E_FILE_WRITE, and what `write` throws
 */
export const replaceFolder = async (
  target: string,
  write: (temporary: string) => Promise<void>,
  mayReplace: (folder: string) => boolean = () => false,
): Promise<void> => {
  const path = followLinks(resolve(target));
  const parent = dirname(path);
  try {
    await ensureDir(parent);
    sweepTemporaries(parent);
    settleAsides(parent);
    const taken = existsSync(path);
    if (taken && !statSync(path).isDirectory()) {
      throw new MahaloError("E_FOLDER_EXISTS", `${target}: is a file, not a folder`, {
        hint: "choose another folder",
      });
    }
    if (taken && !isEmptyFolder(path) && !mayReplace(path)) {
      throw new MahaloError("E_FOLDER_EXISTS", `${target}: exists, and its contents would be lost`, {
        hint: "choose another folder, or ask for it to be replaced (--force)",
      });
    }
    const temporary = temporaryFolder(parent);
    try {
      await write(temporary.path);
      await syncFolder(temporary.path);
      if (taken) await swap(temporary.path, path);
      else await rename(temporary.path, path);
      temporary.release();
    } catch (error) {
      temporary.remove();
      throw error;
    }
    await syncFolder(parent);
  } catch (error) {
    throw fileError("E_FILE_WRITE", "write", target, error);
  }
};
