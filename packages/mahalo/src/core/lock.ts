/** The one file lock: the kernel holds it for a process and releases it with the process, however that ends. */
import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { isFileAt, keepAtExit, removeAtExit, tryLock } from "@mahalo/torch";
import { z } from "zod";
import { ensureDir, fileError } from "./files.ts";
import { pause } from "./interrupt.ts";

/** A lock that this process holds. */
export type FileLock = {
  /** False on a file system without locks: then nothing keeps two processes apart. */
  kept: boolean;
  /** Gives the lock back and removes its file; a second call does nothing. */
  release: () => void;
};

/** What a lock file says of its holder, for people; the lock itself is the kernel's. */
const holderSchema = z.object({ pid: z.int(), host: z.string(), since: z.string() });

/** File systems that other machines write to, by the number that Linux gives them (statfs(2)). */
const networks: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x517b, "SMB"],
  [0x0bd00bd0, "Lustre"],
  [0x00c36400, "Ceph"],
  [0x47504653, "GPFS"],
  [0x01021997, "9p"],
  [0x65735546, "FUSE"],
]);

/** Name of the network file system that a folder lies on, if it does. */
export function networkFileSystem(folder: string): string | undefined {
  try {
    return networks.get(statfsSync(folder).type >>> 0);
  } catch {
    return undefined;
  }
}

/** Who holds a lock, in words: "process 12 on this-machine, since ..."; "another process" where the file does not say. */
export function describeHolder(path: string): string {
  try {
    const { pid, host, since } = holderSchema.parse(JSON.parse(readFileSync(path, "utf8")));
    return `process ${pid} on ${host}, since ${since}`;
  } catch {
    return "another process";
  }
}

function writeHolder(fd: number): void {
  try {
    ftruncateSync(fd, 0);
    writeSync(fd, JSON.stringify({ pid: process.pid, host: hostname(), since: new Date().toISOString() }), 0);
  } catch {
    // Only people read it, where a second process has to say who works here: a full disk need not end this one.
  }
}

function openLock(path: string): number {
  try {
    return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o666);
  } catch (error) {
    throw fileError("E_FILE_WRITE", "make the lock", path, error);
  }
}

/**
 * Takes the lock at a path; undefined where another process, or another part of this one, holds it.
 *
 * A file that a dead process has left there, whatever it holds, is in nobody's way.
 *
 * @throws MahaloError E_FILE_WRITE where the file cannot be made.
 */
export async function takeLock(path: string): Promise<FileLock | undefined> {
  await ensureDir(dirname(path));
  for (;;) {
    const fd = openLock(path);
    const attempt = tryLock(fd);
    if (attempt === "held") {
      closeSync(fd);
      return undefined;
    }
    // Its holder may have removed it after it was opened here: then it locks nothing.
    if (!isFileAt(fd, path)) {
      closeSync(fd);
      continue;
    }
    writeHolder(fd);
    removeAtExit(path);
    let held = true;
    return {
      kept: attempt === "locked",
      release: () => {
        if (!held) return;
        held = false;
        keepAtExit(path);
        // Removed while it is still locked, so that it is nobody else's.
        if (isFileAt(fd, path)) rmSync(path, { force: true });
        closeSync(fd);
      },
    };
  }
}

/**
 * Does work under the lock at a path, and waits for another holder first.
 *
 * @param waiting called once where there is one to wait for, with who it is.
 * @throws MahaloError E_FILE_WRITE; E_INTERRUPTED where the process is asked to stop while it waits
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  waiting: (holder: string) => void = () => undefined,
): Promise<T> {
  let told = false;
  for (;;) {
    const lock = await takeLock(path);
    if (lock !== undefined) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    if (!told) waiting(describeHolder(path));
    told = true;
    await pause(100, `waiting for the lock ${path}`);
  }
}
