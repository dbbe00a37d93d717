/** JSON lines, one value each: whole files at once, and files that grow and survive a crash. */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync } from "node:fs";
import { MahaloError } from "@mahalo/torch";
import { fileError } from "./file-error.ts";
import { writeFileAtomic } from "./files.ts";
import { openSpecial, targetOf, writeAllSync } from "./write-through.ts";

function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** Lines in pieces that are worth a write each. */
function* pieces(values: Iterable<unknown>): Generator<string> {
  let piece = "";
  for (const value of values) {
    piece += jsonLine(value);
    if (piece.length < 2 ** 16) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

/** Writes values as JSON lines, as {@link writeFileAtomic} does: all or nothing. @throws MahaloError E_FILE_WRITE */
export function writeJsonLines(path: string, values: Iterable<unknown>): Promise<void> {
  return writeFileAtomic(path, pieces(values));
}

/** Length of the file's leading part that ends with a line end; looks backward in blocks. */
function lengthOfWholeLines(fd: number, size: number): number {
  const block = Buffer.alloc(64 * 1024);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - block.length);
    const read = readSync(fd, block, 0, end - start, start);
    const feed = block.subarray(0, read).lastIndexOf(0x0a);
    if (feed >= 0) return start + feed + 1;
    end = start;
  }
  return 0;
}

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
        `${this.path}: has ${size} bytes, fewer than the ${keepBytes} to resume from`,
        { hint: "the file was cut or replaced; run this stage again from the start" },
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
    const line = Buffer.from(jsonLine(value));
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
