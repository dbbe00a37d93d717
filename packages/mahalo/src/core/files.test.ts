/** Files are whole or not there, and JSON lines survive a crash. */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureDir, hashBytes, hashFile, JsonlWriter, writeFileAtomic, writeJsonFile } from "./files.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-files-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("an atomic write leaves the whole new file and nothing beside it", async () => {
  const inner = join(folder, "deep", "er");
  const path = join(inner, "a.txt");
  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, ["tw", new TextEncoder().encode("o")]);
  expect(await readFile(path, "utf8")).toBe("two");
  expect(await readdir(inner)).toEqual(["a.txt"]);
});

test("a write that fails leaves the old file and no temporary one", async () => {
  const inner = join(folder, "fails");
  const path = join(inner, "a.txt");
  await writeFileAtomic(path, "old");
  const broken = async function* () {
    yield "new";
    throw new Error("no more");
  };
  await expect(writeFileAtomic(path, broken())).rejects.toMatchObject({ code: "E_FILE_WRITE" });
  expect(await readFile(path, "utf8")).toBe("old");
  expect(await readdir(inner)).toEqual(["a.txt"]);
});

test("a folder in the place of a file is an error that names it", async () => {
  const path = join(folder, "taken");
  await mkdir(path);
  await expect(writeJsonFile(path, {})).rejects.toThrow(path);
  await writeFile(join(folder, "file"), "");
  await expect(ensureDir(join(folder, "file", "x"))).rejects.toMatchObject({ code: "E_FILE_WRITE" });
});

test("a file's hash is that of its bytes", async () => {
  const path = join(folder, "h");
  await writeFile(path, "abc");
  expect(await hashFile(path)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(hashBytes("abc")).toBe(await hashFile(path));
  await expect(hashFile(join(folder, "none"))).rejects.toMatchObject({ code: "E_FILE_READ" });
});

test("JSON lines go on after a torn last line, or from a checkpoint's byte", async () => {
  const path = join(folder, "rows.jsonl");
  const first = new JsonlWriter(path);
  first.write({ step: 1 });
  const kept = first.bytes;
  first.write({ step: 2 });
  first.close();
  first.close();
  await appendFile(path, '{"step": 3');

  const second = new JsonlWriter(path, { append: true });
  second.write({ step: 4 });
  second.close();
  expect(await readFile(path, "utf8")).toBe('{"step":1}\n{"step":2}\n{"step":4}\n');

  const third = new JsonlWriter(path, { keepBytes: kept });
  third.write({ step: 5 });
  third.close();
  expect(await readFile(path, "utf8")).toBe('{"step":1}\n{"step":5}\n');

  expect(() => new JsonlWriter(path, { keepBytes: 1000 })).toThrow("fewer than the 1000");
  expect(() => third.write({})).toThrow("already closed");
});
