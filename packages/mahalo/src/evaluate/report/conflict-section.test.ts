/** The report's conflicts say what the cosines were, by step and by layer, and nothing where none were measured. */
import { expect, test } from "vitest";
import type { MetricsRow } from "../../train/metrics.ts";
import { conflictSection } from "./conflict-section.ts";
import { escapeText } from "./markup.ts";
import { reportPage } from "./page.ts";
import { hostile, inventedCosines, inventedMetrics, inventedResults } from "./testing/fixture.ts";

const objectives = ["accuracy", "engagement"];
const section = (rows: readonly MetricsRow[]): string =>
  conflictSection("align", rows, objectives)?.toString() ?? "";

/** Pairs over two layers, one layer and none; four measured steps, and one that measured nothing. */
const rows: MetricsRow[] = [
  ...[0.4, 0.2, -0.1, -0.3].map((cosine, index) => ({
    step: 1 + 2 * index,
    loss: 1,
    "conflict/a~b": cosine,
    "conflict/a~b/layer_00": cosine + 0.1,
    "conflict/a~b/layer_10": cosine - 0.1,
    "conflict/a~b/rest": cosine,
    "conflict/a~c": 0.5,
    "conflict/a~d": 0.5,
    "conflict/a~d/layer_00": 0.5,
  })),
  { step: 9, loss: 1 },
];

test("shows nothing of a stage that logged nothing of it", () => {
  expect(conflictSection("sft", [{ step: 1, loss: 2 }], objectives)).toBeUndefined();
  expect(conflictSection("sft", [], objectives)).toBeUndefined();
  const { sft = [] } = inventedMetrics();
  const page = reportPage(inventedResults(), { sft });
  expect(page).toContain('id="training"');
  expect(page).not.toContain("pull apart");
});

test("charts the pairs over steps with a legend and a line at zero", () => {
  const text = section(rows);
  expect(text).toContain('<title id="conflict-align-steps-title">Cosine of gradients</title>');
  expect(text).toMatch(/Smoothed, first to last step. a and b: 0.4 to -0.\d+; a and c: 0.5 to 0.5/);
  // Pairs have looks of their own, after those of the two objectives.
  expect(text).toMatch(/class="line s2".*class="line s3"/);
  expect(text).not.toMatch(/NaN|undefined|Infinity/);
});

test("says the mean of each layer, from the first to the last, and of the rest behind them", () => {
  const text = section(rows);
  expect(text).toContain(
    "Means over training. a and b: 0.15 in layer 0, -0.05 in layer 10 (the lowest), 0.05 in the rest; a and d: 0.5 in layer 0 (the lowest).",
  );
  const [, table = ""] = /<tbody>(.*)<\/tbody>/.exec(text) ?? [];
  const found = [
    ...table.matchAll(
      /<th scope="row">(.*?)<\/th><td>(.*?)<small>(.*?)<\/small><\/td><td>(.*?)(?:<small>.*?<\/small>)?<\/td>/g,
    ),
  ];
  expect(found.map(([, ...cells]) => cells)).toEqual([
    ["layer 0", "0.150", "0.400, then -0.100", "0.500"],
    ["layer 10", "-0.050", "0.200, then -0.300", "–"],
    ["rest", "0.050", "0.300, then -0.200", "–"],
  ]);
});

test("draws one layer, the rest alone, one step, and no layers", () => {
  const one = { step: 1, "conflict/a~b": 0.2 };
  for (const some of [
    [one],
    [{ ...one, "conflict/a~b/rest": 0.1 }],
    [{ ...one, "conflict/a~b/layer_03": -0.1 }],
    [
      { ...one, "conflict/a~b/layer_03": 0 },
      { ...one, step: 2 },
    ],
  ]) {
    const text = section(some);
    expect(text).toContain("conflict-align-steps");
    expect(text).not.toMatch(/NaN|undefined|Infinity|<small>/);
  }
  expect(section([one])).not.toContain("by layer");
});

test("counts the steps in which gradients were projected, measured or not", () => {
  const projected = [2, 0, 1].map((count, index) => ({ step: index + 1, "conflict/projections": count }));
  const sentence = "In 2 of 3 steps gradients conflicted";
  expect(section(projected)).toContain(sentence);
  expect(section(projected)).not.toContain("<svg");
  expect(section(projected.map((row) => ({ ...row, ...inventedCosines("a~b", 0.5, 0) })))).toContain(
    sentence,
  );
});

test("escapes names out of a metrics file", () => {
  const name = hostile.replaceAll("/", "");
  const page = reportPage(inventedResults(), {
    align: [{ step: 1, ...inventedCosines(`${name}~b`, 0.5, 0) }],
  });
  expect(page).toContain(`<th scope="col">${escapeText(name)} and b</th>`);
  expect(page).not.toContain("<script");
  expect(page).not.toContain("<img");
});
