/** What is said of a machine follows from what its system says. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { containerMemory, findGpus, findMemory, findProcessor } from "./machine.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-machine-"));
afterAll(() => rmSync(folder, { recursive: true }));
// Where the tests run under a lower instruction set, these processors have theirs nonetheless.
beforeEach(() => {
  vi.stubEnv("MAHALO_ISA", undefined);
});

test("a processor's abilities are read from its instructions", () => {
  const of = (flags: string) => findProcessor(`model name\t: Test CPU\nflags\t\t: fpu ${flags}\n`);
  expect(of("avx2")).toMatchObject({ name: "Test CPU", avx2: true, avx512: false, bf16: false, amx: false });
  expect(of("avx2 avx512f avx512bw avx512vl avx512_bf16")).toMatchObject({
    avx512: true,
    bf16: true,
    amx: false,
  });
  expect(of("amx_tile amx_bf16")).toMatchObject({ bf16: true, amx: true });
  expect(of("amx_tile amx_int8")).toMatchObject({ bf16: false, amx: false });
  expect(findProcessor("Features\t: fp asimd bf16\n")).toMatchObject({ avx2: false, bf16: true });
  expect(findProcessor("")).toMatchObject({ avx2: false, avx512: false, bf16: false, amx: false });
});

test("a container's limit counts where it is below the machine's memory", () => {
  const meminfo = "MemTotal:       8000000 kB\nMemFree: 1 kB\nMemAvailable:   6000000 kB\n";
  const machine = { total: 8_192_000_000, available: 6_144_000_000 };
  expect(findMemory(meminfo, undefined)).toEqual(machine);
  expect(findMemory(meminfo, { limit: 2 ** 62, used: 5 })).toEqual(machine);
  expect(findMemory(meminfo, { limit: 1e9, used: 4e8 })).toEqual({ total: 1e9, available: 6e8 });
  expect(findMemory(meminfo, { limit: 1e9, used: 2e9 })).toEqual({ total: 1e9, available: 0 });
});

describe("limits of control groups", () => {
  /** Lays a group out; the root is "". */
  const group = (
    version: "v1" | "v2",
    mount: string,
    path: string,
    limit: string,
    used: number,
    stat = "",
  ) => {
    const at = join(folder, mount, path);
    mkdirSync(at, { recursive: true });
    const names = {
      v1: ["memory.limit_in_bytes", "memory.usage_in_bytes"],
      v2: ["memory.max", "memory.current"],
    };
    const [limitFile = "", usedFile = ""] = names[version];
    writeFileSync(join(at, limitFile), `${limit}\n`);
    writeFileSync(join(at, usedFile), `${used}\n`);
    writeFileSync(join(at, "memory.stat"), stat);
  };
  const of = (cgroup: string, mount: string) => containerMemory(cgroup, join(folder, mount));

  test("count at every level, the lowest limit and the least that is left", () => {
    group("v2", "two", "slurm/job_7/step", "max", 3e8);
    group("v2", "two", "slurm/job_7", "2000000000", 5e8);
    group("v2", "two", "slurm", "8000000000", 7.5e9);
    expect(of("0::/slurm/job_7/step\n", "two")).toEqual({ limit: 2e9, used: 1.5e9 });
    expect(of("0::/slurm\n", "two")).toEqual({ limit: 8e9, used: 7.5e9 });
  });
  test("are read in the first version, too, where the memory's hierarchy has another path than the others", () => {
    group("v1", "one/memory", "", "9223372036854771712", 9e9);
    group("v1", "one/memory", "user/session", "1500000000", 4e8);
    const cgroup = "9:name=systemd:/elsewhere\n4:memory:/user/session\n0::/\n";
    expect(of(cgroup, "one")).toEqual({ limit: 1.5e9, used: 4e8 });
    expect(of("4:memory:/docker/0123\n", "one")?.limit).toBeGreaterThan(2 ** 62);
  });
  test("are those of a container's root, where its path is not to be seen from inside", () => {
    group("v2", "inside", "", "1000000000", 1e8);
    expect(of("0::/../../system.slice/x.scope\n", "inside")).toEqual({ limit: 1e9, used: 1e8 });
  });
  test("leave cached files free, which the kernel gives up first", () => {
    group("v2", "cached", "a", "1000000000", 9e8, "anon 1\nactive_file 300000000\ninactive_file 400000000\n");
    expect(of("0::/a\n", "cached")).toEqual({ limit: 1e9, used: 2e8 });
    group("v1", "old/memory", "a", "1000000000", 9e8, "inactive_file 5\ntotal_inactive_file 700000000\n");
    expect(of("4:memory:/a\n", "old")).toEqual({ limit: 1e9, used: 2e8 });
  });
  test("are none without groups", () => expect(of("", "none")).toBeUndefined());
});

test("this machine has memory and a processor", () => {
  const { total, available } = findMemory();
  expect(total).toBeGreaterThan(0);
  expect(available).toBeLessThanOrEqual(total);
  expect(findProcessor().count).toBeGreaterThan(0);
});

test("GPUs are named as the driver names them; without a driver there are none", () => {
  mkdirSync(join(folder, "0000:01:00.0"));
  writeFileSync(join(folder, "0000:01:00.0", "information"), "Model: \t\t NVIDIA Test GPU\nIRQ: 1\n");
  expect(findGpus(folder)).toEqual(["NVIDIA Test GPU"]);
  expect(findGpus(join(folder, "none"))).toEqual([]);
});
