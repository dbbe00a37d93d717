/** Files that are whole or not there: atomic writes, and hashes. */
import { createHash } from "node:crypto";
import { createReadStream, fsyncSync } from "node:fs";
import { copyFile, type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { checkRegular, makeFolder, sweepTemporaries, temporaryFile } from "@mahalo/torch";
import { systemCodeOf as errorCode, fileError } from "./file-error.ts";
import { type Content, targetOf, writeContent, writeThrough } from "./write-through.ts";

export { fileError, systemCodeOf as errorCode } from "./file-error.ts";

/** Makes a folder and those above it; does nothing where it is there already. */
export const ensureDir = async (path: string): Promise<void> => {
  try {
    makeFolder(path);
  } catch (error) {
    throw fileError("E_FILE_WRITE", "make the folder", path, error);
  }
};

/** Makes a rename survive a power cut; file systems that cannot do this for folders are let be. */
const syncDir = async (path: string): Promise<void> => {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    await handle.sync();
  } catch (error) {
    if (!["EISDIR", "EINVAL", "EPERM", "ENOTSUP", "EBADF"].includes(errorCode(error) ?? "")) throw error;
  } finally {
    await handle?.close();
  }
};

/** Puts a whole temporary file into its place. */
const moveInto = async (temporary: string, path: string): Promise<void> => {
  try {
    await rename(temporary, path);
  } catch (error) {
    // A single file that is mounted into a container cannot be replaced, only written.
    if (errorCode(error) !== "EBUSY") throw error;
    await copyFile(temporary, path);
    await rm(temporary, { force: true });
  }
};

/**
 * Writes a file so that a reader sees the old one or the new one, never a part: temporary name in the same folder,
 * fsync, rename. Makes the folder where it is missing; the file keeps its permissions.
 *
 * A symbolic link stays, and the file that it leads to is replaced. A device, pipe or socket is written through, and
 * so is what is open already (`/dev/stdout`).
 *
 * @throws MahaloError E_FILE_WRITE
 */
export const writeFileAtomic = async (path: string, content: Content): Promise<void> => {
  try {
    const target = targetOf(path);
    if (target.kind !== "file") return await writeThrough(target, content);
    const folder = dirname(target.path);
    await ensureDir(folder);
    sweepTemporaries(folder);
    const temporary = temporaryFile(folder, target.mode);
    try {
      await writeContent(temporary.fd, content);
      fsyncSync(temporary.fd);
      await moveInto(temporary.path, target.path);
      temporary.release();
    } catch (error) {
      temporary.remove();
      throw error;
    }
    await syncDir(folder);
  } catch (error) {
    throw fileError("E_FILE_WRITE", "write", path, error);
  }
};

/** Writes a file, atomically, unless it holds just that already. @throws MahaloError E_FILE_WRITE */
export const writeFileIfOther = async (path: string, data: Uint8Array): Promise<void> => {
  const held = await readFile(path).catch(() => undefined);
  if (held === undefined || Buffer.compare(held, data) !== 0) await writeFileAtomic(path, data);
};

/** Writes a value as JSON, atomically, indented by two spaces, with a line end. */
export const writeJsonFile = (path: string, value: unknown): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

/** SHA-256 of bytes or text (UTF-8), in hexadecimal. */
export const hashBytes = (data: string | Uint8Array): string =>
  createHash("sha256").update(data).digest("hex");

/**
 * SHA-256 of a file's content, in hexadecimal; streamed, so the size does not matter.
 *
 * @throws MahaloError E_FILE_READ
 */
export const hashFile = async (path: string): Promise<string> => {
  const hash = createHash("sha256");
  try {
    checkRegular(path);
    for await (const chunk of createReadStream(path)) hash.update(chunk);
  } catch (error) {
    throw fileError("E_FILE_READ", "read", path, error);
  }
  return hash.digest("hex");
};
