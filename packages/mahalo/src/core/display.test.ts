/** What people read: progress, numbers, and suggestions for misspelt names. */
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatDuration, formatShare } from "./format.ts";
import { clearProgress, progress, silenceProgress } from "./progress.ts";
import { didYouMean, editDistance, nearest } from "./suggest.ts";

describe("suggestions", () => {
  test("come from near names only", () => {
    expect(nearest("engagment", ["accuracy", "engagement"])).toBe("engagement");
    expect(nearest("learning_rate", ["learningRate"])).toBe("learningRate");
    expect(nearest("aline", ["sft", "align"])).toBe("align");
    expect(nearest("zebra", ["accuracy", "engagement"])).toBeUndefined();
    expect(didYouMean("zebra", ["a", "b"])).toBe("Known: a, b.");
  });
  test("an edit distance is symmetric, and nought for equal texts only", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
      }),
    );
    expect(editDistance("abcd", "abdc")).toBe(1);
  });
});

test("numbers read well", () => {
  expect([0, 0.42, 9.96, 59.4, 59.6, 200, 7500, 97_200, Number.NaN].map(formatDuration)).toEqual([
    "0.00 s",
    "0.42 s",
    "10 s",
    "59 s",
    "1 min 00 s",
    "3 min 20 s",
    "2 h 05 min",
    "1 d 3 h",
    "?",
  ]);
  expect([0, 999, 1000, 134_000, 5e9].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.0 kB",
    "134 kB",
    "5.0 GB",
  ]);
  expect([1234567, 0.125].map(formatCount)).toEqual(["1,234,567", "0.13"]);
  expect(formatShare(0.625)).toBe("62.5%");
});

describe("progress", () => {
  afterEach(() => silenceProgress(false));
  const run = (isTTY: boolean, more: object = {}): string[] => {
    const written: string[] = [];
    let time = 0;
    const bar = progress({
      label: "align",
      total: 100,
      unit: "steps",
      stream: { write: (text) => written.push(text), isTTY, columns: 80 },
      now: () => time,
      ...more,
    });
    for (let step = 1; step <= 100; step++) {
      time += 500;
      bar.update(step, "loss 0.5");
    }
    bar.done("loss 0.4");
    bar.done();
    return written;
  };

  test("is a plain line about every ten seconds where no terminal is", () => {
    const lines = run(false);
    expect(lines).toHaveLength(6);
    expect(lines[0]).toBe("align: 20/100 steps · 2/s · 40 s left · loss 0.5\n");
    expect(lines.at(-1)).toBe("align: 100 steps in 50 s · loss 0.4\n");
  });
  test("is a bar that stays on its line on a terminal", () => {
    const drawn = run(true);
    expect(drawn).toHaveLength(101);
    expect(drawn[49]).toBe("\r\u001b[2Kalign ██████████░░░░░░░░░░ 50/100 steps · 2/s · 25 s left · loss 0.5");
    for (const text of drawn.slice(0, -1)) expect(text.length).toBeLessThan(86);
  });
  test("counts a resumed run's speed from where it began", () => {
    expect(run(false, { from: 0, total: 0 })[0]).toBe("align: 20 steps · 2/s · loss 0.5\n");
  });
  test("ends with all that was done, and tells what an earlier process had done of it", () => {
    expect(run(false, { from: 20 }).at(-1)).toBe("align: 100 steps, 20 of them before, in 50 s · loss 0.4\n");
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text), isTTY: false };
    progress({ label: "rollout", total: 1, unit: "answers", from: 1, stream, now: () => 0 }).done();
    expect(written).toEqual(["rollout: 1 answer, 1 of them before, in 0.00 s\n"]);
  });
  test("on a terminal makes room for other text, once", () => {
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text), isTTY: true };
    const bar = progress({ label: "align", total: 2, unit: "steps", stream });
    bar.update(1);
    clearProgress();
    clearProgress();
    expect(written.slice(1)).toEqual(["\r\u001b[2K"]);
    bar.done();
    clearProgress();
    expect(written).toHaveLength(3);
  });
  test("is silent where it is asked to be", () => {
    expect(run(true, { json: true })).toEqual([]);
    expect(run(false, { quiet: true })).toEqual([]);
    silenceProgress(true);
    expect(run(true)).toEqual([]);
  });
});
