/** Positions and targets become mixes by what is kept beside a model; what is missing or out of reach is said. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { withFolder } from "../model/testing/tiny.ts";
import { type ControlFile, mixOf, readControl, writeControl } from "./control-file.ts";
import { wilson } from "./intervals.ts";
import { inventedResults } from "./report/testing/fixture.ts";

const point = (weight: number, share: number): ControlFile["points"][number] => ({
  label: `accuracy=${1 - weight},engagement=${weight}`,
  mix: { accuracy: 1 - weight, engagement: weight },
  results: {
    accuracy: wilson(Math.round(100 * (1 - share)), 100),
    engagement: wilson(Math.round(100 * share), 100),
  },
});

const control: ControlFile = {
  format: "mahalo-control",
  version: 1,
  run: "quickstart",
  prompts: 100,
  points: [point(0, 0), point(0.75, 0.5), point(1, 1)],
  scale: {
    objectives: ["accuracy", "engagement"],
    points: [
      { weight: 0, position: 0, low: 0, high: 0 },
      { weight: 0.75, position: 0.5, low: 0.4, high: 0.6 },
      { weight: 1, position: 1, low: 1, high: 1 },
    ],
  },
  objectives: ["accuracy", "engagement"],
};

describe("a mix asked for", () => {
  test("by position lies where results are", () => {
    expect(mixOf(control, { at: 0.5 })).toEqual({ accuracy: 0.25, engagement: 0.75 });
    expect(mixOf(control, { at: 0.25 })).toEqual({ accuracy: 0.625, engagement: 0.375 });
    expect(() => mixOf(control, { at: 2 })).toThrow(expect.objectContaining({ code: "E_POSITION" }));
    const { scale: _, ...unscaled } = control;
    expect(() => mixOf(unscaled, { at: 0.5 })).toThrow(/did not move/);
    expect(() => mixOf({ ...unscaled, objectives: ["a", "b", "c"] }, { at: 0.5 })).toThrow(/3 objectives/);
  });

  test("by a target is the best on the other objective that reaches it", () => {
    const mix = mixOf(control, { targets: [{ objective: "accuracy", atLeast: 0.5 }] });
    expect(mix).toEqual({ accuracy: 0.25, engagement: 0.75 });
    expect(
      mixOf(control, { targets: [{ objective: "engagement", atLeast: 0.9 }] }).engagement,
    ).toBeGreaterThan(0.9);
    const both = [
      { objective: "accuracy", atLeast: 0.7 },
      { objective: "engagement", atLeast: 0.7 },
    ];
    expect(() => mixOf(control, { targets: both })).toThrow(/the nearest misses/);
    expect(() => mixOf(control, { targets: [{ objective: "speed", atLeast: 1 }] })).toThrow(
      /no results of objective/,
    );
  });
});

test("what a run measured is kept beside its model and read again", () =>
  withFolder(async (folder) => {
    const results = inventedResults();
    await writeControl(folder, results);
    const kept = await readControl(folder);
    expect(kept).toMatchObject({
      run: "invented",
      objectives: ["accuracy", "engagement"],
      scale: results.sweep?.scale,
    });
    expect(kept.points).toHaveLength(5);
    // Fifths of the way on the invented scale.
    expect(mixOf(kept, { at: 0.45 })).toEqual({ accuracy: 0.5, engagement: 0.5 });
    writeFileSync(join(folder, "control.json"), JSON.stringify({ ...kept, version: 9 }));
    await expect(readControl(folder)).rejects.toMatchObject({ code: "E_CONTROL" });
  }));

test("a damaged scale, or targets on what was not judged", () =>
  withFolder(async (folder) => {
    const put = (scale: unknown): void =>
      writeFileSync(join(folder, "control.json"), JSON.stringify({ ...control, scale }));
    const [first, , last] = control.scale?.points ?? [];
    for (const scale of [
      { ...control.scale, objectives: ["accuracy", "accuracy"] },
      { ...control.scale, points: [{ ...first, position: 0.3 }, last] },
      { ...control.scale, points: [last, first] },
    ]) {
      put(scale);
      await expect(readControl(folder)).rejects.toMatchObject({ code: "E_CONTROL" });
    }
    const judged = control.points.map((point) => {
      const { engagement } = point.results;
      return { ...point, results: engagement === undefined ? {} : { engagement } };
    });
    const half = mixOf(
      { ...control, points: judged },
      { targets: [{ objective: "engagement", atLeast: 0.5 }] },
    );
    expect(half.engagement).toBeGreaterThanOrEqual(0.75);
  }));

test("a model of which nothing was measured is named, and a run without mixes leaves nothing", () =>
  withFolder(async (folder) => {
    const { sweep: _, ...results } = inventedResults();
    await writeControl(folder, results);
    await expect(readControl(folder)).rejects.toThrow(/nothing was measured of this model/);
  }));
