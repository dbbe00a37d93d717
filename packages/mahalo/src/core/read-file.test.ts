/** Facts about reading whole files: what is no regular file, too long or no UTF-8 is refused at once, by its name. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSafetensors } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { readRows } from "../data/rows/read-rows.ts";
import { readPromptFile } from "../decode/answer-file.ts";
import { openGguf } from "../model/gguf/open.ts";
import { loadRecipe } from "../recipe/load.ts";
import { allRollouts } from "../rollout/file.ts";
import { readTraces } from "../search/trace-file.ts";
import { readMetrics } from "../train/metrics.ts";
import { cachedLines } from "./cached-lines.ts";
import { hashFile } from "./files.ts";
import { readJsonFile } from "./json.ts";
import { isThere, maxTextBytes, readText, readTextSync } from "./read-file.ts";

let folder = "";
let pipe = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-read-"));
  pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
});
afterAll(() => rm(folder, { recursive: true }));

const drain = async (rows: AsyncIterable<unknown>): Promise<number> => {
  let count = 0;
  for await (const _ of rows) count += 1;
  return count;
};

const readers: [string, (path: string) => unknown][] = [
  ["text", readText],
  ["text at once", readTextSync],
  ["JSON", (path) => readJsonFile(path, z.unknown())],
  ["a hash", hashFile],
  ["rows", (path) => drain(readRows(path))],
  ["prompts", (path) => readPromptFile({ path })],
  ["a recipe", loadRecipe],
  ["traces", readTraces],
  ["rollouts", allRollouts],
  ["kept verdicts", (path) => drain(cachedLines(path, z.unknown()))],
  ["metrics", readMetrics],
  ["GGUF", openGguf],
  ["safetensors", openSafetensors],
];

describe.each(readers)("%s", (_, read) => {
  test("out of a pipe, a device or a socket is refused", async () => {
    const refused = expect.objectContaining({ code: "E_FILE_KIND", exitStatus: 2 });
    const socket = join(folder, `${Math.random()}`.slice(2));
    const server = createServer().listen(socket);
    try {
      await new Promise((resolve) => server.once("listening", resolve));
      for (const path of [pipe, "/dev/zero", "/dev/null", socket]) {
        await expect((async () => read(path))()).rejects.toEqual(refused);
      }
    } finally {
      server.close();
    }
  });
});

test("a link to a file is a file, and one to a pipe is a pipe", async () => {
  await writeFile(join(folder, "text"), "a é");
  await symlink(join(folder, "text"), join(folder, "to-text"));
  await symlink(pipe, join(folder, "to-pipe"));
  expect(await readText(join(folder, "to-text"))).toBe("a é");
  await expect(readText(join(folder, "to-pipe"))).rejects.toThrow(
    /to-pipe: is a pipe, and only regular files/,
  );
  await symlink(join(folder, "circle"), join(folder, "circle"));
  await symlink(join(folder, "no-file"), join(folder, "to-nothing"));
  expect(["to-text", "circle", "to-nothing", "no-file"].map((name) => isThere(join(folder, name)))).toEqual([
    true,
    true,
    true,
    false,
  ]);
  await expect(readText(join(folder, "circle"))).rejects.toMatchObject({ code: "E_FILE_READ" });
});

test("what is not there, a folder, another encoding and a size without reason each have their words", async () => {
  await expect(readText(join(folder, "nothing"))).rejects.toThrow(
    /nothing: cannot read: there is no such file/,
  );
  await expect(readText(folder)).rejects.toMatchObject({ code: "E_FILE_READ" });
  await writeFile(join(folder, "latin"), Buffer.from([0x61, 0xe9, 0x0a]));
  await expect(readText(join(folder, "latin"))).rejects.toMatchObject({ code: "E_FILE_UTF8" });
  // A file with a hole takes no room on the disk.
  await writeFile(join(folder, "long"), "");
  await truncate(join(folder, "long"), maxTextBytes + 1);
  expect(() => readTextSync(join(folder, "long"))).toThrow(/long: has 537 MB/);
});
