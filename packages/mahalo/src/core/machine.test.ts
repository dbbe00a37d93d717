/** What is said of a machine follows from what its system says. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findGpus, findMemory, findProcessor } from "./machine.ts";

const folder = mkdtempSync(join(tmpdir(), "mahalo-machine-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a processor's abilities are read from its instructions", () => {
  const of = (flags: string) => findProcessor(`model name\t: Test CPU\nflags\t\t: fpu ${flags}\n`);
  expect(of("avx2")).toMatchObject({ name: "Test CPU", avx2: true, avx512: false, bf16: false, amx: false });
  expect(of("avx2 avx512f avx512bw avx512vl avx512_bf16")).toMatchObject({
    avx512: true,
    bf16: true,
    amx: false,
  });
  expect(of("amx_tile amx_bf16")).toMatchObject({ bf16: true, amx: true });
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
