/** Files are whole or not there. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { lstatSync, readFileSync, statSync } from "node:fs";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureDir, fileError, hashBytes, hashFile, writeFileAtomic, writeJsonFile } from "./files.ts";
import { JsonlWriter } from "./json-lines.ts";

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

describe("what stands at a path is not destroyed:", () => {
  let inner = "";
  beforeAll(async () => {
    inner = join(folder, "kinds");
    await mkdir(inner);
  });

  test("a link stays, and the file it leads to is replaced, also one that is not there yet", async () => {
    await mkdir(join(inner, "elsewhere"));
    await writeFile(join(inner, "elsewhere", "file"), "old");
    await symlink("hop", join(inner, "link"));
    await symlink(join("elsewhere", "file"), join(inner, "hop"));
    await writeFileAtomic(join(inner, "link"), "new");
    expect(await readFile(join(inner, "elsewhere", "file"), "utf8")).toBe("new");
    await rm(join(inner, "elsewhere", "file"));
    await writeFileAtomic(join(inner, "link"), "newer");
    expect(await readFile(join(inner, "elsewhere", "file"), "utf8")).toBe("newer");
    for (const name of ["link", "hop"]) expect((await lstat(join(inner, name))).isSymbolicLink()).toBe(true);
    expect(await readdir(join(inner, "elsewhere"))).toEqual(["file"]);
    await symlink("circle", join(inner, "circle"));
    await expect(writeFileAtomic(join(inner, "circle"), "x")).rejects.toMatchObject({ code: "E_FILE_WRITE" });
  });

  test("a file keeps its permissions", async () => {
    const path = join(inner, "secret");
    await writeFile(path, "old");
    await chmod(path, 0o600);
    await writeFileAtomic(path, "new");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("a device takes what is written", async () => {
    await writeFileAtomic("/dev/null", "new");
    await expect(writeFileAtomic("/dev/full", "new")).rejects.toMatchObject({
      code: "E_FILE_WRITE",
      exitStatus: 1,
    });
    const lines = new JsonlWriter("/dev/null", { append: true });
    lines.write({ a: 1 });
    lines.close();
    for (const path of ["/dev/null", "/dev/full"]) expect(statSync(path).isCharacterDevice()).toBe(true);
  });

  test("a pipe's reader gets it, more than the pipe holds too, also one that comes later", async () => {
    const path = join(inner, "pipe");
    spawnSync("mkfifo", [path]);
    const long = "x".repeat(300_000);
    const writing = writeFileAtomic(path, [long, "end"]);
    const reader = spawn("cat", [path]);
    let read = "";
    reader.stdout.on("data", (chunk) => {
      read += String(chunk);
    });
    await Promise.all([writing, once(reader, "close")]);
    expect(read).toBe(`${long}end`);
    expect(lstatSync(path).isFIFO()).toBe(true);
    // Nobody reads: lines, which have to be out at once, cannot wait.
    expect(() => new JsonlWriter(path)).toThrow(expect.objectContaining({ code: "E_FILE_WRITE" }));
  });

  test("a socket's server gets it", async () => {
    const path = join(inner, "socket");
    let read = "";
    const server = createServer((socket) => {
      socket.on("data", (chunk) => {
        read += String(chunk);
      });
    });
    await once(server.listen(path), "listening");
    await writeFileAtomic(path, ["one", "two"]);
    server.close();
    await once(server, "close");
    expect(read).toBe("onetwo");
  });

  test.each(["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])("%s is what the process writes to", (name) => {
    const out = join(inner, "out");
    const code = `
      const { writeFileAtomic } = await import(${JSON.stringify(new URL("./files.ts", import.meta.url).href)});
      const { JsonlWriter } = await import(${JSON.stringify(new URL("./json-lines.ts", import.meta.url).href)});
      process.stdout.write("before\\n");
      await writeFileAtomic(${JSON.stringify(name)}, "content\\n");
      const lines = new JsonlWriter(${JSON.stringify(name)});
      lines.write({ a: 1 });
      lines.close();
      process.stdout.write("after\\n");`;
    const run = spawnSync("sh", [
      "-c",
      `"$0" --import tsx --input-type=module -e "$1" > "$2"`,
      process.execPath,
      code,
      out,
    ]);
    expect(run.status).toBe(0);
    expect(readFileSync(out, "utf8")).toBe('before\ncontent\n{"a":1}\nafter\n');
  });
});

test("a full disk is the machine's failure, a wrong path the caller's, and no failure is told twice", async () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  const error = fileError("E_FILE_WRITE", "write", "a", full);
  expect(error).toMatchObject({ exitStatus: 1, hint: "free some disk space" });
  expect(fileError("E_FILE_READ", "read", "b", error)).toBe(error);
  expect(
    fileError("E_FILE_READ", "read", "a", Object.assign(new Error("x"), { code: "ENOENT" })).exitStatus,
  ).toBe(2);
});
