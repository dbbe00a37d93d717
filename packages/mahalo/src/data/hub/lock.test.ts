/** Facts about the lock that keeps two downloads of one file apart. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withLock } from "./lock.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "mahalo-lock-"));
});
afterEach(() => rm(root, { recursive: true }));

test("work under one lock never overlaps, and the lock is gone afterwards", async () => {
  const lock = join(root, "folder", "a.lock");
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    inside += 1;
    most = Math.max(most, inside);
    await sleep(5);
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 4 }, () => withLock(lock, work)));
  expect(most).toBe(1);
  expect(existsSync(lock)).toBe(false);
});

test("a failure gives the lock back", async () => {
  const lock = join(root, "a.lock");
  await expect(withLock(lock, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await withLock(lock, async () => 1)).toBe(1);
});

test("a lock left by a process that is gone is taken over", async () => {
  const lock = join(root, "a.lock");
  await writeFile(lock, "");
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(lock, longAgo, longAgo);
  expect(await withLock(lock, async () => 1)).toBe(1);
});
