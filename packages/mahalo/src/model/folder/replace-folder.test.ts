/** A folder is the old one or the new one, also after a process was killed between the two. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { replaceFolder } from "./replace-folder.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "mahalo-replace-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const make = (name: string, content: string): void => {
  mkdirSync(join(root, name));
  writeFileSync(join(root, name, "file"), content);
};
const write = (content: string) => async (folder: string) => writeFileSync(join(folder, "file"), content);
const held = (name: string): string => readFileSync(join(root, name, "file"), "utf8");
const aside = (name: string): string => `.${name}.mahalo-0123456789ab.old`;

test("what a killed process moved aside comes back where nothing took its place, and is not lost", async () => {
  make(aside("model"), "old");
  make(".mahalo-0123456789ab.tmp", "half");
  await expect(replaceFolder(join(root, "model"), write("new"))).rejects.toMatchObject({
    code: "E_FOLDER_EXISTS",
  });
  expect(held("model")).toBe("old");
  expect(readdirSync(root)).toEqual(["model"]);
});

test("what it moved aside is removed where the new folder took its place", async () => {
  make(aside("model"), "old");
  make("model", "new");
  await replaceFolder(join(root, "model"), write("newer"), () => true);
  expect(held("model")).toBe("newer");
  expect(readdirSync(root)).toEqual(["model"]);
});

test("a failing write leaves the old folder and nothing beside it", async () => {
  make("model", "old");
  const broken = async (): Promise<void> => {
    throw new Error("no more");
  };
  await expect(replaceFolder(join(root, "model"), broken, () => true)).rejects.toMatchObject({
    code: "E_FILE_WRITE",
  });
  expect(held("model")).toBe("old");
  expect(readdirSync(root)).toEqual(["model"]);
});

test("a link that leads to nothing yet stays a link", async () => {
  symlinkSync("elsewhere", join(root, "link"));
  await replaceFolder(join(root, "link"), write("new"));
  expect(held("elsewhere")).toBe("new");
  expect(existsSync(join(root, "link", "file"))).toBe(true);
});
