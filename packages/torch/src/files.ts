/** What Node's file functions lack: locks that the kernel releases, links followed, folders, and temporary names. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { constants } from "node:os";
import { dirname, join, resolve } from "node:path";
import { native } from "./native.ts";
import { systemCode } from "./safetensors/errors.ts";

/** What became of an attempt to lock a file; `unsupported`: its file system has no locks. */
export type LockAttempt = "locked" | "held" | "unsupported";

/**
 * Locks an open file for this process alone, without waiting (flock). The kernel releases it when the file is closed,
 * however the process ends, and all processes of the machine see it, those of other containers too.
 */
export function tryLock(fd: number): LockAttempt {
  const error = native.lockFile(fd);
  if (error === 0) return "locked";
  return error === constants.errno.EAGAIN ? "held" : "unsupported";
}

/** Whether the open file is still the one of that name. */
export function isFileAt(fd: number, path: string): boolean {
  const open = fstatSync(fd, { bigint: true });
  const named = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return named !== undefined && named.ino === open.ino && named.dev === open.dev;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/**
 * Makes a folder and those above it; does nothing where it is there already.
 *
 * Node's own way of doing so never ends where the system takes no new folders, as under /proc.
 *
 * @throws what the system says.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    if (isFolder(path)) return;
    const parent = dirname(path);
    if (systemCode(error) !== "ENOENT" || parent === path || isFolder(parent)) throw error;
    makeFolder(parent);
    try {
      mkdirSync(path);
    } catch (again) {
      // Another process may have been quicker.
      if (!isFolder(path)) throw again;
    }
  }
}

/**
 * The path that a symbolic link leads to, also where nothing is there yet; a path that is no link comes back as it is.
 *
 * @param isEnd says which links are not followed any further. Default: none.
 */
export function followLinks(path: string, isEnd: (path: string) => boolean = () => false): string {
  let target = path;
  // As many as Linux follows; a circle then fails when it is opened, with the system's own word.
  for (let links = 0; links < 40 && !isEnd(target); links++) {
    let next: string;
    try {
      next = readlinkSync(target);
    } catch {
      return target;
    }
    target = resolve(dirname(target), next);
  }
  return target;
}

const TEMPORARY = /^\.mahalo-[0-9a-f]{12}\.tmp$/;

/** Whether a file or folder of this name is something half written, which is never an output. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name);
}

const removedAtExit = new Set<string>();
let listening = false;

/** Has a path removed when the process exits; not where it is killed. */
export function removeAtExit(path: string): void {
  removedAtExit.add(path);
  if (listening) return;
  listening = true;
  process.on("exit", () => {
    for (const left of removedAtExit) rmSync(left, { recursive: true, force: true });
  });
}

/** Takes back {@link removeAtExit}. */
export function keepAtExit(path: string): void {
  removedAtExit.delete(path);
}

/** A file or folder under a temporary name; locked while it is in use, so that others can tell it from a dead one's. */
export type Temporary = {
  path: string;
  /** Number of the open file (or folder). */
  fd: number;
  /** Closes it, and lets it be: it has been moved to its place. */
  release: () => void;
  /** Closes and removes it. */
  remove: () => void;
};

function makeTemporary(folder: string, open: (path: string) => number): Temporary {
  for (;;) {
    const path = join(folder, `.mahalo-${randomBytes(6).toString("hex")}.tmp`);
    const fd = open(path);
    // Who sweeps may have found it before it was locked: then another is made.
    if (tryLock(fd) === "held" || !isFileAt(fd, path)) {
      closeSync(fd);
      continue;
    }
    removeAtExit(path);
    let closed = false;
    const close = (): void => {
      if (closed) return;
      closed = true;
      keepAtExit(path);
      closeSync(fd);
    };
    return {
      path,
      fd,
      release: close,
      remove: () => {
        rmSync(path, { recursive: true, force: true });
        close();
      },
    };
  }
}

/**
 * Makes an empty temporary file in a folder, open for reading and writing.
 *
 * @param mode permissions; default: those of every new file.
 */
export function temporaryFile(folder: string, mode?: number): Temporary {
  return makeTemporary(folder, (path) => {
    const fd = openSync(path, "wx+");
    if (mode !== undefined) fchmodSync(fd, mode);
    return fd;
  });
}

/** Makes an empty temporary folder in a folder. */
export function temporaryFolder(folder: string): Temporary {
  return makeTemporary(folder, (path) => {
    mkdirSync(path);
    return openSync(path, "r");
  });
}

/** Removes something that a process which is gone left half written; what a living process holds stays. */
function removeDead(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, isFolder(path) ? "r" : "r+");
  } catch {
    return;
  }
  try {
    if (tryLock(fd) === "locked") rmSync(path, { recursive: true, force: true });
  } catch {
    // What cannot be removed does no harm: it is never an output.
  } finally {
    closeSync(fd);
  }
}

/** Removes what processes that are gone left half written in a folder. */
export function sweepTemporaries(folder: string): void {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return;
  }
  for (const name of names) if (isTemporaryName(name)) removeDead(join(folder, name));
}
