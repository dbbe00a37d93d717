/** Keeps two downloads of one file apart, within a process and between processes. */
import { mkdir, open, rm, stat, utimes } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errorCode, fileError } from "../../core/files.ts";

/** A lock whose holder has not touched it for so long belongs to nobody: its process is gone. */
const staleAfter = 30_000;
const touchEvery = 5_000;

const take = async (path: string): Promise<boolean> => {
  try {
    await (await open(path, "wx")).close();
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw fileError("E_FILE_WRITE", "write", path, error);
  }
};

const isStale = async (path: string): Promise<boolean> => {
  try {
    return Date.now() - (await stat(path)).mtimeMs > staleAfter;
  } catch (error) {
    // Released in the meantime: the next try takes it.
    if (errorCode(error) === "ENOENT") return false;
    throw error;
  }
};

/**
 * Does `work` while holding the lock file at `path`, waiting for another holder first.
 *
 * The lock saves double work; what is downloaded is right without it, since every file is checked before it gets its
 * name.
 */
export const withLock = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  await mkdir(dirname(path), { recursive: true });
  while (!(await take(path))) {
    if (await isStale(path)) await rm(path, { force: true });
    else await sleep(100);
  }
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {
      // A lock that someone removed is not ours to bring back.
    });
  }, touchEvery);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    await rm(path, { force: true });
  }
};
