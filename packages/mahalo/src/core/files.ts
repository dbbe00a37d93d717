/** Files that are whole or not there: atomic writes, hashes, and JSON-lines files that survive a crash. */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { checkRegular, MahaloError } from "@mahalo/torch";

/** The system's short name of a failure (`ENOENT`, `ENOSPC`, ...), or undefined. */
export const errorCode = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
};

const hints: Record<string, string> = {
  ENOENT: "check the path",
  EACCES: "check the permissions of the file and its folder",
  EPERM: "check the permissions of the file and its folder",
  ENOSPC: "free some disk space",
  EROFS: "the file system is read-only; choose another folder",
  EISDIR: "a file is wanted, not a folder",
  ENOTDIR: "a part of the path is a file, not a folder",
};

/** A {@link MahaloError} for a failed file operation; names the file and says what to do. */
export const fileError = (code: string, doing: string, path: string, error: unknown): MahaloError => {
  // What was refused in clear words already stays as it is.
  if (error instanceof MahaloError) return error;
  const system = errorCode(error);
  const reason =
    system === "ENOENT"
      ? "there is no such file or folder"
      : error instanceof Error
        ? error.message
        : String(error);
  return new MahaloError(code, `${path}: cannot ${doing}: ${reason}`, {
    hint: system === undefined ? undefined : hints[system],
    cause: error,
  });
};

/** Makes a folder and those above it; does nothing where it is there already. */
export const ensureDir = async (path: string): Promise<void> => {
  try {
    await mkdir(path, { recursive: true });
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

/**
 * Writes a file so that a reader sees the old one or the new one, never a part: temporary name in the same folder,
 * fsync, rename. Makes the folder where it is missing.
 *
 * @param data text (UTF-8), bytes, or chunks of either for files too large to hold.
 * @throws MahaloError E_FILE_WRITE
 */
export const writeFileAtomic = async (
  path: string,
  data: string | Uint8Array | Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
): Promise<void> => {
  const folder = dirname(path);
  await ensureDir(folder);
  const temporary = join(folder, `.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const handle = await open(temporary, "wx");
    try {
      if (typeof data === "string" || data instanceof Uint8Array) await handle.writeFile(data);
      else for await (const chunk of data) await handle.writeFile(chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDir(folder);
  } catch (error) {
    await rm(temporary, { force: true });
    if (error instanceof MahaloError) throw error;
    throw fileError("E_FILE_WRITE", "write", path, error);
  }
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

/** Length of the file's leading part that ends with a line end; looks backward in blocks. */
const lengthOfWholeLines = (fd: number, size: number): number => {
  const block = Buffer.alloc(64 * 1024);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    const read = readSync(fd, block, 0, end - start, start);
    const at = block.subarray(0, read).lastIndexOf(0x0a);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
};

/** Options of {@link JsonlWriter}. */
export type JsonlWriterOptions = {
  /** Keep what the file holds and go on behind it; a torn last line is cut off first. Default false: start empty. */
  append?: boolean;
  /** Keep only this many leading bytes before appending (the {@link JsonlWriter.bytes} of a checkpoint). */
  keepBytes?: number;
};

/** Appends values to a file as JSON lines; each line is handed to the system whole, so a crash tears none but the last. */
export class JsonlWriter {
  readonly path: string;
  #fd: number | undefined;
  #bytes = 0;

  /** @throws MahaloError E_FILE_WRITE; E_JSONL_SHORT when the file has fewer bytes than `keepBytes`. */
  constructor(path: string, options: JsonlWriterOptions = {}) {
    this.path = path;
    const append = options.append === true || options.keepBytes !== undefined;
    let fd: number;
    try {
      fd = openSync(path, append ? "a+" : "w");
    } catch (error) {
      throw fileError("E_FILE_WRITE", "write", path, error);
    }
    if (append) {
      const size = fstatSync(fd).size;
      if (options.keepBytes !== undefined && options.keepBytes > size) {
        closeSync(fd);
        throw new MahaloError(
          "E_JSONL_SHORT",
          `${path}: has ${size} bytes, fewer than the ${options.keepBytes} to go on from`,
          {
            hint: "the file was cut or replaced; start this stage anew",
          },
        );
      }
      this.#bytes = options.keepBytes ?? lengthOfWholeLines(fd, size);
      ftruncateSync(fd, this.#bytes);
    }
    this.#fd = fd;
  }

  /** Bytes written so far, kept ones included; a checkpoint keeps this number. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends one value as one line. @throws MahaloError E_FILE_WRITE */
  write(value: unknown): void {
    if (this.#fd === undefined)
      throw new MahaloError("E_FILE_WRITE", `${this.path}: already closed`, { exitStatus: 1 });
    const line = Buffer.from(`${JSON.stringify(value)}\n`);
    try {
      let done = 0;
      while (done < line.length) done += writeSync(this.#fd, line, done);
    } catch (error) {
      throw fileError("E_FILE_WRITE", "write", this.path, error);
    }
    this.#bytes += line.length;
  }

  /** Waits until the system has put everything on the disk. */
  sync(): void {
    if (this.#fd !== undefined) fsyncSync(this.#fd);
  }

  /** Syncs and closes; a second call does nothing. */
  close(): void {
    if (this.#fd === undefined) return;
    fsyncSync(this.#fd);
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}
