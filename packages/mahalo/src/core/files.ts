/** Files that are whole or not there: atomic writes, hashes, and JSON-lines files that survive a crash. */
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
} from "node:fs";
import { copyFile, type FileHandle, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { checkRegular, MahaloError, makeFolder, sweepTemporaries, temporaryFile } from "@mahalo/torch";
import { systemCodeOf as errorCode, fileError } from "./file-error.ts";
import {
  type Content,
  openSpecial,
  targetOf,
  writeAllSync,
  writeContent,
  writeThrough,
} from "./write-through.ts";

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
  /** Whether it is a file with a length, and not a device or pipe. */
  #plain = true;
  /** Whether this writer opened it. */
  #closes = true;

  /** @throws MahaloError E_FILE_WRITE; E_JSONL_SHORT when the file has fewer bytes than `keepBytes`. */
  constructor(path: string, options: JsonlWriterOptions = {}) {
    this.path = path;
    const append = options.append === true || options.keepBytes !== undefined;
    try {
      const target = targetOf(path);
      this.#plain = target.kind === "file";
      if (target.kind === "open") this.#fd = target.fd;
      else if (target.kind === "special") this.#fd = openSpecial(target);
      else this.#fd = openSync(path, append ? "a+" : "w");
      this.#closes = target.kind !== "open";
      if (append && this.#plain) this.#keep(this.#fd, options.keepBytes);
    } catch (error) {
      this.#drop();
      throw fileError("E_FILE_WRITE", "write", path, error);
    }
  }

  /** Cuts the file back to what is kept of it. */
  #keep(fd: number, keepBytes: number | undefined): void {
    const size = fstatSync(fd).size;
    if (keepBytes !== undefined && keepBytes > size) {
      throw new MahaloError(
        "E_JSONL_SHORT",
        `${this.path}: has ${size} bytes, fewer than the ${keepBytes} to go on from`,
        { hint: "the file was cut or replaced; start this stage anew" },
      );
    }
    this.#bytes = keepBytes ?? lengthOfWholeLines(fd, size);
    ftruncateSync(fd, this.#bytes);
  }

  #drop(): void {
    if (this.#fd !== undefined && this.#closes) closeSync(this.#fd);
    this.#fd = undefined;
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
      writeAllSync(this.#fd, line);
    } catch (error) {
      throw fileError("E_FILE_WRITE", "write", this.path, error);
    }
    this.#bytes += line.length;
  }

  /** Waits until the system has put everything on the disk. @throws MahaloError E_FILE_WRITE */
  sync(): void {
    if (this.#fd === undefined || !this.#plain) return;
    try {
      fsyncSync(this.#fd);
    } catch (error) {
      throw fileError("E_FILE_WRITE", "write", this.path, error);
    }
  }

  /** Syncs and closes; a second call does nothing. */
  close(): void {
    try {
      this.sync();
    } finally {
      this.#drop();
    }
  }
}
