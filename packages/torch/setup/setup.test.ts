/** Set-up: rebuilds only what changed, verifies what it fetches, and names the fix for what is missing. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir, hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { setUpAddon } from "./addon.mjs";
import { setUpLibtorch, whyNotLoaded } from "./libtorch.mjs";
import { withLock } from "./lock.mjs";
import { CLONE, cacheFolder } from "./paths.mjs";
import { askPython, withWheels } from "./wheels.mjs";

const folder = mkdtempSync(join(tmpdir(), "mahalo-setup-"));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  // What set-up says on the way is not what is tested here.
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const fresh = (name: string): string => mkdtempSync(join(folder, `${name}-`));

/** Runs set-up as a process of its own. */
const setUp = (env: NodeJS.ProcessEnv): Promise<{ status: number | null; stderr: string }> =>
  new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, cwd: CLONE };
    const child = execFile(process.execPath, ["scripts/setup.mjs"], options, (_, __, stderr) => {
      resolve({ status: child.exitCode, stderr });
    });
  });

test("the cache is where the environment says, by a whole path only", () => {
  expect(cacheFolder({ XDG_CACHE_HOME: "/caches" })).toBe("/caches/mahalo");
  for (const XDG_CACHE_HOME of [undefined, "", "caches"])
    expect(cacheFolder({ XDG_CACHE_HOME })).toBe(join(homedir(), ".cache", "mahalo"));
});

describe("as a whole", () => {
  test("a set-up with nothing to do does nothing", async () => {
    expect((await setUp({})).status).toBe(0);
    const { status, stderr } = await setUp({});
    expect(status).toBe(0);
    expect(stderr).toMatch(/packages .*up to date/);
    expect(stderr).toMatch(/addon .*up to date/);
    expect(stderr).not.toMatch(/compiling|fetching|installing/);
  });

  test.each([
    ["LIBTORCH leads nowhere", { LIBTORCH: join(folder, "none") }, /no libtorch 2\.15 there/, /unset it/],
    [
      "the compiler is missing",
      { CXX: join(folder, "none") },
      /CXX=.* does not run/,
      /apt-get install g\+\+/,
    ],
    [
      "there is no Python to fetch with",
      { PATH: folder, PYTHON: join(folder, "none"), VIRTUAL_ENV: "", LIBTORCH: "", XDG_CACHE_HOME: folder },
      /no Python 3 found/,
      /apt-get install python3 python3-pip/,
    ],
  ])("when %s, it says so and what to do, and ends with status 2", async (_, env, says, fix) => {
    const { status, stderr } = await setUp(env);
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(fix);
    expect(status).toBe(2);
  });
});

describe("the addon", () => {
  const source = (answer: number): string => `
#include <napi.h>
#include "answer.hpp"
static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("answer", Napi::Number::New(env, ${answer} + kMore));
  return exports;
}
NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)
`;

  test("is compiled when a source or header changed, and only then", async () => {
    const native = fresh("native");
    const { value: libtorch } = await setUpLibtorch(undefined);
    const other = join(native, "other.cpp");
    writeFileSync(join(native, "answer.hpp"), "constexpr int kMore = 2;\n");
    writeFileSync(join(native, "init.cpp"), source(40));
    writeFileSync(other, "int other() { return 1; }\n");
    const build = async (name: string, last?: { hash: string }) => {
      const places = { native, build: join(folder, name) };
      const { note, value } = await setUpAddon(libtorch, last && { addon: last }, places);
      // Each build is loaded from a folder of its own: a process keeps an addon that it has loaded.
      const { answer } = createRequire(import.meta.url)(value.path) as { answer: number };
      return { note, value, answer };
    };
    const first = await build("one");
    expect(first).toMatchObject({ note: "compiled 2 of 2 files", answer: 42 });
    expect((await build("one", first.value)).note).toBe("up to date");
    writeFileSync(other, "int other() { return 2; }\n");
    const second = await build("one", first.value);
    expect(second.note).toBe("compiled 1 of 2 files");
    expect(readdirSync(join(folder, "one", "objects"))).toHaveLength(2);
    writeFileSync(join(native, "answer.hpp"), "constexpr int kMore = 3;\n");
    expect(await build("two", second.value)).toMatchObject({ note: "compiled 2 of 2 files", answer: 43 });
  });

  test("compiles many files in a few bundles, each with the headers read once", async () => {
    const native = fresh("native");
    const build = fresh("build");
    const log = join(fresh("log"), "calls");
    const compiler = join(fresh("compiler"), "c++");
    writeFileSync(compiler, `#!/bin/sh\necho "$@" >> ${log}\nexec \${REAL:-c++} "$@"\n`, { mode: 0o755 });
    vi.stubEnv("REAL", process.env.CXX);
    vi.stubEnv("CXX", compiler);
    for (let i = 0; i < 7; i += 1) writeFileSync(join(native, `f${i}.cpp`), `int f${i}() { return ${i}; }\n`);
    const { value: libtorch } = await setUpLibtorch(undefined);
    const { note, value } = await setUpAddon(libtorch, undefined, { native, build });
    expect(note).toBe("compiled 7 of 7 files");
    const compiled = () =>
      readFileSync(log, "utf8")
        .split("\n")
        .filter((call) => call.includes(" -c "));
    expect(compiled()).toHaveLength(2);
    expect(readdirSync(build).sort()).toEqual(["mahalo_torch.node", "objects"]);
    expect(readdirSync(join(build, "objects"))).toHaveLength(2);
    // Only the bundle of one that changed is compiled again.
    writeFileSync(join(native, "f0.cpp"), "int f0() { return 9; }\n");
    await setUpAddon(libtorch, { addon: value }, { native, build });
    expect(compiled()).toHaveLength(3);
  });

  test("that does not compile is an error with the compiler's words, and leaves no half-built file", async () => {
    const native = fresh("native");
    const build = fresh("build");
    const { value: libtorch } = await setUpLibtorch(undefined);
    writeFileSync(join(native, "broken.cpp"), "int broken( { }\n");
    await expect(setUpAddon(libtorch, undefined, { native, build })).rejects.toThrow(
      /broken\.cpp did not compile:\n.*error/,
    );
    expect(existsSync(join(build, "mahalo_torch.node"))).toBe(false);
    rmSync(join(native, "broken.cpp"));
    await expect(setUpAddon(libtorch, undefined, { native, build })).rejects.toThrow(/holds no \.cpp file/);
  });
});

describe("libtorch", () => {
  /** A folder that looks like libtorch of a version. */
  const fake = (place: string, [major, minor, patch]: readonly number[]): string => {
    mkdirSync(join(place, "include/torch/headeronly"), { recursive: true });
    mkdirSync(join(place, "lib"), { recursive: true });
    writeFileSync(
      join(place, "include/torch/headeronly/version.h"),
      `#define TORCH_VERSION_MAJOR ${major}\n#define TORCH_VERSION_MINOR ${minor}\n#define TORCH_VERSION_PATCH ${patch}\n`,
    );
    for (const name of ["libtorch_cpu.so", "libc10.so"]) writeFileSync(join(place, "lib", name), "");
    return place;
  };

  test("named by LIBTORCH comes first; one of another version is refused", async () => {
    const place = fake(fresh("libtorch"), [2, 15, 1]);
    vi.stubEnv("LIBTORCH", place);
    expect((await setUpLibtorch(undefined)).value).toMatchObject({
      folder: place,
      version: "2.15.1",
      source: "LIBTORCH",
    });
    vi.stubEnv("LIBTORCH", fake(fresh("libtorch"), [2, 14, 0]));
    await expect(setUpLibtorch(undefined)).rejects.toThrow(/libtorch 2\.14\.0 is not 2\.15\.x/);
  });

  test("of the active Python comes next, where its version fits, and then the cache", async () => {
    const site = fresh("site");
    const cache = fresh("cache");
    vi.stubEnv("LIBTORCH", "");
    vi.stubEnv("PYTHONPATH", site);
    vi.stubEnv("XDG_CACHE_HOME", cache);
    fake(join(cache, "mahalo/libtorch-2.15.0/torch"), [2, 15, 0]);
    fake(join(site, "torch"), [2, 15, 2]);
    writeFileSync(join(site, "torch/__init__.py"), "raise SystemExit('it must not be imported')\n");
    expect((await setUpLibtorch(undefined)).value).toMatchObject({ version: "2.15.2", source: "python" });
    fake(join(site, "torch"), [2, 9, 0]);
    expect((await setUpLibtorch(undefined)).value).toMatchObject({ version: "2.15.0", source: "cache" });
  });
});

test("whether a library loads is tried in another process", async () => {
  const { value } = await setUpLibtorch(undefined);
  expect(await whyNotLoaded(join(value.lib, "libc10.so"))).toBeUndefined();
  const broken = join(fresh("library"), "broken.so");
  writeFileSync(broken, "no library");
  expect(await whyNotLoaded(broken)).toMatch(/broken\.so/);
});

describe("fetching", () => {
  /** A small wheel, and its hash. */
  const makeWheel = async (place: string): Promise<string> => {
    const code = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/small-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("small/data.txt", "here")
    wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\n")
    wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("small-1.0.dist-info/RECORD", "")
`;
    const { python } = (await askPython("")) ?? { python: "python3" };
    execFileSync(python, ["-c", code, place]);
    const wheel = readFileSync(join(place, "small-1.0-py3-none-any.whl"));
    return createHash("sha256").update(wheel).digest("hex");
  };

  test("takes a wheel with the pinned hash, refuses another, and leaves nothing behind", async () => {
    const wheels = fresh("wheels");
    const cache = fresh("cache");
    vi.stubEnv("XDG_CACHE_HOME", cache);
    vi.stubEnv("PIP_NO_INDEX", "1");
    vi.stubEnv("PIP_FIND_LINKS", wheels);
    const hash = await makeWheel(wheels);
    const fetch = (pinned: string) =>
      withWheels(
        { requirements: [`small==1.0 --hash=sha256:${pinned}`], machine: "x86_64", bytes: 1 },
        (place) => readFileSync(join(place, "small/data.txt"), "utf8"),
      );
    expect(await fetch(hash)).toBe("here");
    await expect(fetch("0".repeat(64))).rejects.toThrow(/could not fetch small==1\.0:/);
    await expect(fetch("0".repeat(64))).rejects.toMatchObject({
      hint: expect.stringMatching(/a file that differs from the one pinned/),
    });
    expect(readdirSync(join(cache, "mahalo"))).toEqual([]);
  });

  test("needs disk space, and says how much", async () => {
    vi.stubEnv("XDG_CACHE_HOME", fresh("cache"));
    const order = { requirements: [], machine: "x86_64", bytes: 1e18 };
    await expect(withWheels(order, () => "")).rejects.toThrow(/GB free; this step needs 1000000000\.0 GB/);
  });
});

describe("the lock", () => {
  test("lets one in at a time, and is gone afterwards", async () => {
    const path = join(fresh("lock"), "a.lock");
    let inside = 0;
    const work = () =>
      withLock(path, async () => {
        inside += 1;
        expect(inside).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside -= 1;
      });
    await Promise.all([work(), work(), work()]);
    expect(existsSync(path)).toBe(false);
  });

  test("of a process that died is taken over", async () => {
    const path = join(fresh("lock"), "a.lock");
    const child = spawn(process.execPath, ["-e", ""]);
    await new Promise((resolve) => child.once("exit", resolve));
    writeFileSync(path, `${child.pid}\n${hostname()}\n`);
    expect(await withLock(path, async () => "done")).toBe("done");
  });

  test("is released when the work fails", async () => {
    const path = join(fresh("lock"), "a.lock");
    await expect(withLock(path, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
    expect(existsSync(path)).toBe(false);
  });
});
