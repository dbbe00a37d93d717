/** The engine in processes and threads of its own: hostile calls, garbage collection, leaks, workers. */
import { describe, expect, test } from "vitest";
import { runProgram } from "./testing/run-program.ts";

test("the worst calls we know end in an error each, never in a crash", async () => {
  const { status, signal, output, errors } = await runProgram("hostile-calls.ts");
  expect([status, signal], errors).toEqual([0, null]);
  const { endings, fuzzed } = JSON.parse(output) as { endings: Record<string, string>; fuzzed: number };
  const { "sum afterwards": sum, "a terabyte of zeros": memory, ...others } = endings;
  expect([sum, memory]).toEqual(["6", "E_TORCH_MEMORY"]);
  for (const [name, ending] of Object.entries(others))
    expect([name, ending]).toEqual([name, expect.stringMatching(/^E_TORCH/)]);
  expect(fuzzed).toBeGreaterThan(1000);
});

describe("garbage collection", () => {
  test("frees unscoped tensors, and knows their bytes", async () => {
    const { status, output, errors } = await runProgram("garbage.ts", ["--expose-gc"]);
    expect(status, errors).toBe(0);
    const seen = JSON.parse(output) as Record<string, number> &
      Record<string, { live: number; external: number }>;
    const about = (megabytes: number): unknown => expect.closeTo(megabytes, 0);
    expect(seen).toMatchObject({
      withViews: about(16),
      withoutBase: about(16),
      collected: { live: 0, external: about(0) },
      beforeDispose: about(16),
      afterDispose: about(0),
      afterScope: about(32),
      afterKept: { live: 0, external: about(0) },
      afterLoop: 0,
    });
    expect(seen.peak).toBeLessThan(1024);
  });
});

test("10,000 training steps hold the resident memory flat", async () => {
  const { status, output, errors } = await runProgram("leak.ts", ["--expose-gc"]);
  expect(status, errors).toBe(0);
  const seen = JSON.parse(output) as Record<"first" | "last" | "grownMegabytes" | "grownTensors", number>;
  expect(seen.last).toBeLessThan(seen.first);
  expect(seen.grownTensors).toBe(0);
  expect(seen.grownMegabytes).toBeLessThan(8);
});

test("worker threads have tables of their own and may end with tensors alive", async () => {
  const { status, output, errors } = await runProgram("workers.ts");
  expect(status, errors).toBe(0);
  const worker = { liveAtStart: 0, slope: 6, code: "E_TORCH_ARGUMENT" };
  expect(JSON.parse(output)).toEqual({ seen: [worker, worker], grownTensors: 0, mine: 1 });
});
