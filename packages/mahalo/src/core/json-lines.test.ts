/** JSON lines are whole files at once, or grow and survive a crash. */
import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JsonlWriter, writeJsonLines } from "./json-lines.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-json-lines-"));
});
afterAll(() => rm(folder, { recursive: true }));

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

test("a file at once has a line for each value, however many, and is empty for none", async () => {
  const path = join(folder, "at-once.jsonl");
  const values = Array.from({ length: 3000 }, (_, index) => ({ index, text: "line\nbreak, Ž".repeat(3) }));
  await writeJsonLines(path, values);
  expect(await readFile(path, "utf8")).toBe(values.map((value) => `${JSON.stringify(value)}\n`).join(""));
  await writeJsonLines(path, []);
  expect(await readFile(path, "utf8")).toBe("");
});
