/** The machine as libtorch sees it: versions, threads, devices. */
import { expect, test } from "vitest";
import { getThreads, hasCuda, setThreads, torchConfig, torchVersion } from "./runtime.ts";
import { tensor } from "./tensor.ts";

test("threads are set and read back, and results do not depend on them", () => {
  const before = getThreads();
  const x = tensor(
    Float32Array.from({ length: 64 * 64 }, (_, i) => i % 7),
    { shape: [64, 64] },
  );
  setThreads(1);
  expect(getThreads()).toBe(1);
  const single = x.matmul(x).toFloat32Array();
  setThreads(2);
  expect(getThreads()).toBe(2);
  expect(x.matmul(x).toFloat32Array()).toEqual(single);
  setThreads(before);
  for (const count of [0, -1, 1.5, Number.NaN, 1e9])
    expect(() => setThreads(count)).toThrow("setThreads: expected a whole number from 1 to 4096");
  expect(getThreads()).toBe(before);
});

test("version and build are told", () => {
  expect(torchVersion()).toMatch(/^\d+\.\d+\.\d+/);
  expect(torchConfig()).toContain("CPU capability");
  expect(typeof hasCuda()).toBe("boolean");
});
