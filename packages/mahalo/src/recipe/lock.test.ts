/** A run's folder has one holder at a time, and a dead one's lock is taken over. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { acquireLock } from "./lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("a folder has one holder at a time", async () => {
  const release = await acquireLock(folder);
  await expect(acquireLock(folder)).rejects.toMatchObject({ code: "E_RUN_BUSY" });
  await release();
  await release();
  const again = await acquireLock(folder);
  await again();
  expect(await readdir(folder)).toEqual([]);
});

test("of many that ask at once, one gets it", async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(folder)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["lock"]);
});

const lockOf = (pid: number, host: string, began: string): string =>
  JSON.stringify({ pid, host, began, since: "2020-01-01T00:00:00.000Z" });

test("a lock whose process is gone is taken over, also by one of many", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  await writeFile(join(folder, "lock"), lockOf(pid, hostname(), "1"));
  const results = await Promise.allSettled(Array.from({ length: 16 }, () => acquireLock(folder)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["lock"]);
});

test("one that died while it took over a dead one's lock is taken over too", async () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  const dead = lockOf(pid, hostname(), "1");
  const fingerprint = createHash("sha256").update(dead).digest("hex").slice(0, 12);
  await writeFile(join(folder, "lock"), dead);
  await writeFile(join(folder, `lock.after-${fingerprint}`), lockOf(pid, hostname(), "2"));
  const release = await acquireLock(folder);
  expect(await readdir(folder)).toEqual(["lock"]);
  await release();
});

test("a process number that another process has by now holds nothing", async () => {
  await writeFile(join(folder, "lock"), lockOf(process.pid, hostname(), "an earlier time"));
  await (await acquireLock(folder))();
});

test("a lock of another machine is believed", async () => {
  await writeFile(join(folder, "lock"), lockOf(1, "elsewhere", ""));
  await expect(acquireLock(folder)).rejects.toThrow(
    "process 1 on elsewhere has worked here since 2020-01-01",
  );
});
