/** One holder at a time, by the kernel's word: whatever a dead process left in the file is in nobody's way. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stopWaitingOn } from "./interrupt.ts";
import { describeHolder, takeLock, withLock } from "./lock.ts";

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rm(folder, { recursive: true }));

/** A process that takes the lock, says so, and holds it until it is killed. */
const holder = async (): Promise<ChildProcess> => {
  const code = `
    const { takeLock } = await import(${JSON.stringify(new URL("./lock.ts", import.meta.url).href)});
    console.log((await takeLock(${JSON.stringify(path)})) === undefined ? "no" : "locked");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = await once(child.stdout, "data");
  expect(String(said).trim()).toBe("locked");
  return child;
};

test("a lock has one holder at a time, and leaves no file behind", async () => {
  const lock = await takeLock(path);
  expect(lock?.kept).toBe(true);
  expect(await takeLock(path)).toBeUndefined();
  lock?.release();
  lock?.release();
  (await takeLock(path))?.release();
  expect(await readdir(folder)).toEqual([]);
});

test("of many that ask at once, one gets it", async () => {
  const locks = await Promise.all(Array.from({ length: 16 }, () => takeLock(path)));
  expect(locks.filter((lock) => lock !== undefined)).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["lock"]);
});

test("a process that is killed gives it up", async () => {
  const child = await holder();
  expect(await takeLock(path)).toBeUndefined();
  expect(describeHolder(path)).toContain(`process ${child.pid} on `);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(existsSync(path)).toBe(true);
  const lock = await takeLock(path);
  expect(describeHolder(path)).toContain(`process ${process.pid} on `);
  lock?.release();
  expect(await readdir(folder)).toEqual([]);
});

describe("a file that nobody holds is in nobody's way", () => {
  const former = { pid: 1, host: "elsewhere", began: "", since: "2020-01-01T00:00:00.000Z" };
  test.each([
    ["empty", ""],
    ["garbage", "\u0000\u0001{"],
    ["of another machine", JSON.stringify(former)],
    ["of a living process of this machine", JSON.stringify({ ...former, pid: process.pid })],
  ])("%s", async (_, content) => {
    await writeFile(path, content);
    (await takeLock(path))?.release();
    expect(await readdir(folder)).toEqual([]);
  });

  test("dated in the future", async () => {
    await writeFile(path, "");
    const later = new Date(Date.now() + 1e9);
    await utimes(path, later, later);
    expect(await withLock(path, async () => 1)).toBe(1);
  });
});

test("a folder in its place is an error that names it", async () => {
  await mkdir(path);
  await expect(takeLock(path)).rejects.toMatchObject({ code: "E_FILE_WRITE" });
  await expect(takeLock(path)).rejects.toThrow(path);
});

test("a lock file that someone removed by hand is not brought back, nor another's removed", async () => {
  const first = await takeLock(path);
  await rm(path);
  const second = await takeLock(path);
  first?.release();
  expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({ pid: process.pid });
  expect(await takeLock(path)).toBeUndefined();
  second?.release();
  expect(await readdir(folder)).toEqual([]);
});

describe("work under a lock", () => {
  test("never overlaps, and gives the lock back when it fails", async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 4 }, () => withLock(join(folder, "deep", "lock"), work)));
    expect(most).toBe(1);
    await expect(withLock(path, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await withLock(path, async () => 1)).toBe(1);
    expect(await readdir(folder)).toEqual(["deep"]);
  });

  test("says whom it waits for, and ends when the process is asked to stop", async () => {
    const lock = await takeLock(path);
    const controller = new AbortController();
    stopWaitingOn(controller.signal);
    const told: string[] = [];
    const waiting = withLock(
      path,
      async () => 1,
      (who) => {
        told.push(who);
        controller.abort();
      },
    );
    await expect(waiting).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    stopWaitingOn(undefined);
    expect(told).toEqual([expect.stringContaining(`process ${process.pid} on `)]);
    lock?.release();
  });
});
