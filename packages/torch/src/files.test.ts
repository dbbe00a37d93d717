/** Temporary names are locked while they are in use and swept when their process is gone; links are followed. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  followLinks,
  isTemporaryName,
  makeFolder,
  sweepTemporaries,
  temporaryFile,
  temporaryFolder,
} from "./files.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mahalo-files-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a sweep leaves what is in use, and takes what a dead process left, and nothing of anyone else's", () => {
  const file = temporaryFile(folder);
  const inner = temporaryFolder(folder);
  for (const name of [".mahalo-0123456789ab.tmp", ".other.tmp", "checkpoint-3"])
    writeFileSync(join(folder, name), "");
  mkdirSync(join(folder, ".mahalo-ba9876543210.tmp", "model"), { recursive: true });
  sweepTemporaries(folder);
  expect(existsSync(file.path) && existsSync(inner.path)).toBe(true);
  expect(readdirSync(folder).filter((name) => !isTemporaryName(name))).toEqual([
    ".other.tmp",
    "checkpoint-3",
  ]);
  expect(readdirSync(folder)).toHaveLength(4);
  file.remove();
  renameSync(inner.path, join(folder, "whole"));
  inner.release();
  expect(readdirSync(folder).sort()).toEqual([".other.tmp", "checkpoint-3", "whole"]);
});

test("a process that exits takes its own with it; what a killed one leaves, the next sweep takes", () => {
  const code = (end: string) => `
    const { temporaryFile, temporaryFolder } = await import(${JSON.stringify(new URL("./files.ts", import.meta.url).href)});
    temporaryFile(${JSON.stringify(folder)});
    temporaryFolder(${JSON.stringify(folder)});
    ${end}`;
  const run = (end: string): void => {
    spawnSync(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code(end)]);
  };
  run("process.exit(3)");
  expect(readdirSync(folder)).toEqual([]);
  run('process.kill(process.pid, "SIGKILL")');
  expect(readdirSync(folder)).toHaveLength(2);
  sweepTemporaries(folder);
  expect(readdirSync(folder)).toEqual([]);
});

test("links are followed to their end, also where nothing is there, and circles end", () => {
  symlinkSync("b", join(folder, "a"));
  symlinkSync("c", join(folder, "b"));
  expect(followLinks(join(folder, "a"))).toBe(join(folder, "c"));
  expect(followLinks(join(folder, "a"), (hop) => hop.endsWith("/b"))).toBe(join(folder, "b"));
  symlinkSync("circle", join(folder, "circle"));
  expect(followLinks(join(folder, "circle"))).toBe(join(folder, "circle"));
});

test("a folder is made with those above it, and where none can be made the system's word comes at once", () => {
  makeFolder(join(folder, "x", "y", "z"));
  makeFolder(join(folder, "x", "y", "z"));
  expect(existsSync(join(folder, "x", "y", "z"))).toBe(true);
  expect(() => makeFolder("/proc/mahalo/x")).toThrow("ENOENT");
  writeFileSync(join(folder, "file"), "");
  expect(() => makeFolder(join(folder, "file"))).toThrow("EEXIST");
  expect(() => makeFolder(join(folder, "file", "x"))).toThrow("ENOTDIR");
});
