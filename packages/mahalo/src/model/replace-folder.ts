/** Writes a folder so that a reader finds the old one or the new one, never a part of either. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { ensureDir, fileError } from "../core/files.ts";

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
  const known = existsSync(target);
  const path = known ? realpathSync(target) : resolve(target);
  if (known && !statSync(path).isDirectory()) {
    throw new MahaloError("E_FOLDER_EXISTS", `${target}: is a file, not a folder`, {
      hint: "choose another folder",
    });
  }
  if (known && !isEmptyFolder(path) && !mayReplace(path)) {
    throw new MahaloError("E_FOLDER_EXISTS", `${target}: exists, and what it holds would be lost`, {
      hint: "choose another folder, or ask for it to be replaced (--force)",
    });
  }
  const parent = dirname(path);
  await ensureDir(parent);
  const mark = randomBytes(6).toString("hex");
  const temporary = join(parent, `.${basename(path)}.${mark}.tmp`);
  const aside = join(parent, `.${basename(path)}.${mark}.old`);
  try {
    await mkdir(temporary);
    await write(temporary);
    await syncFolder(temporary);
    if (known) await rename(path, aside);
    try {
      await rename(temporary, path);
    } catch (error) {
      if (known) await rename(aside, path);
      throw error;
    }
    await syncFolder(parent);
    await rm(aside, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (error instanceof MahaloError) throw error;
    throw fileError("E_FILE_WRITE", "write", target, error);
  }
};
