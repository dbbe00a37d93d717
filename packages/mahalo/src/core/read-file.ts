/** Reads whole files of text or bytes: regular files only, of a size that fits, and UTF-8 without a fault. */
import { lstatSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { checkRegular, MahaloError } from "@mahalo/torch";
import { errorCode, fileError } from "./files.ts";
import { formatBytes } from "./format.ts";

/** The most bytes of a file that is read whole: JavaScript's texts are not longer. */
export const maxTextBytes = 2 ** 29 - 24;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const decode = (path: string, bytes: Uint8Array): string => {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new MahaloError("E_FILE_UTF8", `${path}: is not valid UTF-8`, {
      hint: "convert the file to UTF-8, or fetch it again",
      cause,
    });
  }
};

const checkSize = (path: string): void => {
  const { size } = checkRegular(path);
  if (size <= maxTextBytes) return;
  throw new MahaloError(
    "E_FILE_SIZE",
    `${path}: has ${formatBytes(size)}; a file of this kind is read whole and may have ${formatBytes(maxTextBytes)}`,
    { hint: "is this the right file?" },
  );
};

/**
 * Whether a path names anything. A link that leads nowhere, or in a circle, is there: reading it says what is wrong.
 *
 * @throws MahaloError E_FILE_READ where that cannot be told, for example for want of a right
 */
export function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    throw fileError("E_FILE_READ", "read", path, error);
  }
}

/**
 * The bytes of a file.
 *
 * @throws MahaloError E_FILE_READ, E_FILE_KIND for what is no regular file, E_FILE_SIZE above {@link maxTextBytes}
 */
export async function readBytes(path: string): Promise<Buffer> {
  try {
    checkSize(path);
    return await readFile(path);
  } catch (error) {
    throw fileError("E_FILE_READ", "read", path, error);
  }
}

/** {@link readBytes} without waiting for others. */
export function readBytesSync(path: string): Buffer {
  try {
    checkSize(path);
    return readFileSync(path);
  } catch (error) {
    throw fileError("E_FILE_READ", "read", path, error);
  }
}

/**
 * The text of a file.
 *
 * @throws MahaloError as {@link readBytes}, and E_FILE_UTF8
 */
export async function readText(path: string): Promise<string> {
  return decode(path, await readBytes(path));
}

/** {@link readText} without waiting for others. */
export function readTextSync(path: string): string {
  return decode(path, readBytesSync(path));
}
