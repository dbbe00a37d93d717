/** A run's folder has one holder at a time. */
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { acquireLock } from "./lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-lock-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("a folder has one holder at a time, and the second is told who it is", async () => {
  const lock = await acquireLock(folder);
  await expect(acquireLock(folder)).rejects.toMatchObject({
    code: "E_RUN_BUSY",
    message: expect.stringContaining(`another run is using this folder (process ${process.pid} on `),
  });
  lock.release();
  (await acquireLock(folder)).release();
  expect(await readdir(folder)).toEqual([]);
});

test("of many that ask at once, one gets it", async () => {
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(folder)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(await readdir(folder)).toEqual(["lock"]);
});

test("a folder that cannot be made is an error that names it", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(acquireLock(join(folder, "file", "run"))).rejects.toMatchObject({ code: "E_FILE_WRITE" });
  await expect(acquireLock("/proc/mahalo/run")).rejects.toMatchObject({ code: "E_FILE_WRITE" });
});
