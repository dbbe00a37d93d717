/** Tests of the metrics files: repeatable after a resume, strict when read. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MetricsLog, metricsFile, preferenceMetrics, readMetrics } from "./metrics.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "mahalo-metrics-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const read = (run: string, name: string = metricsFile) => readFileSync(join(folder, run, name), "utf8");
const log = (run: string, steps: number[], resumeStep?: number) => {
  const file = new MetricsLog(join(folder, run), resumeStep === undefined ? {} : { resumeStep });
  for (const step of steps) {
    file.write(step, { loss: 1 / step, tokens_per_second: Math.random() });
    if (step % 2 === 0) {
      file.write(step, { eval_loss: 2 / step });
    }
  }
  file.sync();
  file.close();
};

describe("the metrics log", () => {
  test("a run stopped after any step and resumed writes the same bytes", () => {
    const steps = [1, 2, 3, 4, 5, 6];
    log("whole", steps);
    for (let stop = 0; stop <= 6; stop++) {
      for (let checkpoint = 0; checkpoint <= stop; checkpoint++) {
        const run = `stop-${stop}-${checkpoint}`;
        log(run, steps.slice(0, stop));
        appendFileSync(join(folder, run, metricsFile), '{"step":9,"lo');
        log(run, steps.slice(checkpoint), checkpoint);
        expect(read(run)).toBe(read("whole"));
        expect(read(run, "timings.jsonl").split("\n")).toHaveLength(7);
      }
    }
  });

  test("timings stay out of the repeatable file", () => {
    log("run", [1]);
    expect(read("run")).toBe('{"step":1,"loss":1}\n');
    expect(read("run", "timings.jsonl")).toContain("tokens_per_second");
  });

  test("a value that is not finite and a step that goes back are errors", () => {
    const file = new MetricsLog(join(folder, "run"), { tensorboard: false });
    expect(() => file.write(3, { loss: Number.NaN })).toThrow(/step 3: loss is NaN/);
    file.write(3, { loss: 1 });
    expect(() => file.write(2, { loss: 1 })).toThrow(expect.objectContaining({ code: "E_METRICS_ORDER" }));
    file.close();
  });

  test("output names file and line of what is damaged, and leaves out a torn end", async () => {
    log("run", [1, 2]);
    const path = join(folder, "run", metricsFile);
    appendFileSync(path, '{"step":3,');
    expect(await readMetrics(path)).toEqual([
      { step: 1, loss: 1 },
      { step: 2, loss: 0.5 },
      { step: 2, eval_loss: 1 },
    ]);
    writeFileSync(path, '{"step":1,"loss":1}\n{"step":2,"loss":"low"}\n');
    await expect(readMetrics(path)).rejects.toThrow(/metrics\.jsonl:2.*loss/);
    await expect(readMetrics(join(folder, "none.jsonl"))).rejects.toMatchObject({ code: "E_FILE_READ" });
  });
});

describe("preference metrics", () => {
  const pair = (objective: string, loss: number, rewardChosen: number, rewardRejected: number) => ({
    objective,
    loss,
    rewardChosen,
    rewardRejected,
    logpChosen: -10,
    logpRejected: -20,
  });

  test("every name also stands under its objective, and the loss is the mean over objectives", () => {
    const metrics = preferenceMetrics([pair("b", 1, 0.2, 0.1), pair("b", 0, 0, 0.1), pair("a", 2, 1, 0.5)]);
    expect(metrics).toMatchObject({
      loss: 1.25,
      "a/loss": 2,
      "b/loss": 0.5,
      "a/rewards/accuracies": 1,
      "b/rewards/accuracies": 0.5,
      "logps/chosen": -10,
      "a/logps/rejected": -20,
    });
    expect(metrics["rewards/accuracies"]).toBeCloseTo(2 / 3);
    expect(metrics["a/rewards/margins"]).toBeCloseTo(0.5);
    expect(metrics["b/rewards/margins"]).toBeCloseTo(0);
  });

  test("objective weights weigh the loss", () => {
    expect(preferenceMetrics([pair("a", 2, 0, 0), pair("b", 1, 0, 0)], { a: 3 }).loss).toBe(1.75);
    expect(() => preferenceMetrics([])).toThrow(expect.objectContaining({ code: "E_METRICS_EMPTY" }));
  });
});
