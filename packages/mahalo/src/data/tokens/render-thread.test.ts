/** The wait for the rendering thread's flag. */
import { Worker } from "node:worker_threads";
import { expect, test, vi } from "vitest";
import { waitRaised } from "./render-thread.ts";

const makeFlag = (): Int32Array => new Int32Array(new SharedArrayBuffer(4));

test("being woken without the flag is no answer: the wait goes on until it is raised", async () => {
  const flag = makeFlag();
  // Wakes whoever sleeps on the flag until somebody does, ten times, and raises it only then.
  const code = `
    const flag = require("node:worker_threads").workerData;
    let woken = 0;
    while (woken < 10) woken += Atomics.notify(flag, 0);
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  `;
  const worker = new Worker(code, { eval: true, workerData: flag });
  expect(waitRaised(flag, 3_600_000)).toBe(true);
  expect(Atomics.load(flag, 0)).toBe(1);
  await worker.terminate();
});

test("the wait is longer while other programs have the processors, and has an end", () => {
  let used = 0;
  const spied = vi.spyOn(process, "cpuUsage").mockImplementation(() => {
    used += 10;
    return { user: used, system: 0 };
  });
  const flag = makeFlag();
  const asked = (): number => spied.mock.calls.length;
  expect(waitRaised(flag, 2)).toBe(false);
  // Each round asks twice; 0.01 ms of the 1 ms that is half its time were had in between.
  expect(asked()).toBeGreaterThan(50);
  spied.mockRestore();
});

test("a flag that is raised already is not waited for, one that never is ends the wait at its limit", () => {
  const flag = makeFlag();
  expect(waitRaised(flag, 5)).toBe(false);
  Atomics.store(flag, 0, 1);
  expect(waitRaised(flag, 0)).toBe(true);
});
