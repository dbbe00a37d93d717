/** A lock between processes: a file that holds its owner's process id and is touched while the owner lives. */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { say } from "./report.mjs";

const TOUCH_MS = 5_000;
const STALE_MS = 60_000;

const alive = (/** @type {number} */ pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists but belongs to another user.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
};

const stale = (/** @type {string} */ path) => {
  try {
    const [pid, host] = readFileSync(path, "utf8").split("\n");
    if (host === hostname() && Number(pid) > 0) return !alive(Number(pid));
    return Date.now() - statSync(path).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
};

const take = (/** @type {string} */ path) => {
  try {
    writeFileSync(path, `${process.pid}\n${hostname()}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
};

/**
 * Runs `work` while holding the lock at `path`; waits for another owner, and takes over from one that died.
 * Everything done under the lock is also renamed into place, so a lock lost in a race costs time, not correctness.
 *
 * @template T
 * @param {string} path
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export const withLock = async (path, work) => {
  mkdirSync(dirname(path), { recursive: true });
  let told = false;
  while (!take(path)) {
    if (stale(path)) {
      const aside = `${path}.${process.pid}.stale`;
      try {
        renameSync(path, aside);
        rmSync(aside, { force: true });
      } catch {
        // Another process was quicker to clear it away.
      }
      continue;
    }
    if (!told) say(`set-up  waiting for another set-up to finish (${path})`);
    told = true;
    await sleep(200);
  }
  const touch = setInterval(() => {
    try {
      utimesSync(path, new Date(), new Date());
    } catch {
      // Cleared away by hand: the work goes on.
    }
  }, TOUCH_MS);
  touch.unref();
  const release = () => rmSync(path, { force: true });
  process.once("exit", release);
  try {
    return await work();
  } finally {
    clearInterval(touch);
    process.removeListener("exit", release);
    release();
  }
};
