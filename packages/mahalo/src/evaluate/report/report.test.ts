/** Tests of the report's parts and of the page as text. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MetricsLog } from "../../train/metrics.ts";
import { wilson } from "../intervals.ts";
import { formatMix, mixGrid } from "../mixes.ts";
import { type Results, type SweepResults, writeResults } from "../results.ts";
import { seriesOf, smooth, thin, trainingCurves } from "./curves.ts";
import { escapeText, markup } from "./markup.ts";
import { reportPage } from "./page.ts";
import { extent, formatNumber, linear, ticks } from "./scale.ts";
import { sweepChart, sweepSvg } from "./sweep-chart.ts";
import { hostile, inventedMetrics, inventedResults } from "./testing/fixture.ts";
import { writeReport } from "./write.ts";

/** Whether tags open and close in order; enough of a check for markup that we make ourselves. */
const balanced = (text: string): boolean => {
  const open: string[] = [];
  for (const [, closing, name = "", , selfClosed] of text.matchAll(
    /<(\/?)([a-z][a-z0-9]*)((?:[^>"]|"[^"]*")*?)(\/?)>/gi,
  )) {
    if (selfClosed || ["meta", "wbr", "img"].includes(name)) {
      continue;
    }
    if (closing ? open.pop() !== name : open.push(name) < 0) {
      return false;
    }
  }
  return open.length === 0;
};

const sweep = (): SweepResults => inventedResults().sweep ?? ({} as SweepResults);

describe("markup", () => {
  test("escapes every value, keeps markup, joins lists, leaves out false and undefined", () => {
    expect(
      markup`<b a="${'"'}">${"<i>"}${markup`<u>${1}</u>`}${[1, "&"]}${false}${undefined}</b>`.toString(),
    ).toBe('<b a="&quot;">&lt;i&gt;<u>1</u>1&amp;</b>');
  });

  test("no text can open a tag or leave an attribute", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii" }), (text) => {
        const escaped = escapeText(text);
        expect(escaped).not.toMatch(/[<>"']/);
        expect([...escaped].filter((character) => character < " " && !"\t\n\r".includes(character))).toEqual(
          [],
        );
      }),
    );
  });
});

describe("scales", () => {
  test("ticks are round, evenly apart, inside the range, and neither too few nor too many", () => {
    expect(ticks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(-0.2, 0.2)).toEqual([-0.2, -0.1, 0, 0.1, 0.2]);
    expect(ticks(3, 3)).toEqual([3]);
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
        (low, span) => {
          const found = ticks(low, low + span);
          expect(found.length).toBeGreaterThanOrEqual(2);
          expect(found.length).toBeLessThanOrEqual(8);
          for (const tick of found) {
            expect(tick).toBeGreaterThanOrEqual(low - span * 1e-6);
            expect(tick).toBeLessThanOrEqual(low + span * (1 + 1e-6));
          }
        },
      ),
    );
  });

  test("a linear scale maps ends to ends, an empty domain to the middle", () => {
    expect(linear([0, 10], [100, 0])(5)).toBe(50);
    expect(linear([3, 3], [0, 10])(3)).toBe(5);
    expect(extent([])).toEqual([0, 1]);
    expect(extent([2, Number.NaN], 0.5)).toEqual([1, 3]);
    expect([0, 1234.56, 0.00001234, 12345678].map(formatNumber)).toEqual(["0", "1235", "1.2e-5", "1.2e7"]);
  });
});

describe("curves", () => {
  test("smoothing keeps constants and has no start-up bias", () => {
    expect(smooth([2, 2, 2], 10)).toEqual([2, 2, 2]);
    expect(smooth([1, 3], 1)).toEqual([1, 3]);
    expect(smooth([], 3)).toEqual([]);
    const [, , last = 0] = smooth([0, 0, 1], 3);
    expect(last).toBeCloseTo(1 / (1 + 0.5 + 0.25));
  });

  test("thinning averages and keeps the mean", () => {
    const points = Array.from({ length: 1000 }, (_, index) => [index, index * 2] as const);
    const few = thin(points, 100);
    expect(few).toHaveLength(100);
    expect(few.reduce((sum, [, value]) => sum + value, 0) / 100).toBeCloseTo(999);
    expect(thin(points.slice(0, 3), 100)).toEqual(points.slice(0, 3));
  });

  test("each objective is a line; a stage without objectives shows its plain metric", () => {
    const { align = [], sft = [] } = inventedMetrics();
    expect(seriesOf(align, "loss", ["accuracy", "engagement"]).map(({ name }) => name)).toEqual([
      "accuracy",
      "engagement",
    ]);
    expect(seriesOf(sft, "loss", ["accuracy"]).map(({ name }) => name)).toEqual(["all"]);
    expect(trainingCurves("align", align, ["accuracy", "engagement"])?.toString()).toContain("Reward margin");
    expect(trainingCurves("x", [{ step: 1, other: 2 }], ["accuracy"])).toBeUndefined();
    expect(trainingCurves("x", [{ step: 1, loss: 2 }], [])?.toString()).not.toContain("NaN");
  });
});

describe("the sweep's chart", () => {
  test("is balanced, has a title and says every number in its description", () => {
    const svg = sweepSvg(sweep());
    expect(balanced(svg)).toBe(true);
    expect(svg).not.toContain("NaN");
    expect(svg).toMatch(/<title id="sweep-title">Results of accuracy and engagement/);
    expect(svg).toContain("accuracy=0.5,engagement=0.5: accuracy 32.5% (24.8% to 41.3%), engagement 60.8%");
    expect(svg).toContain("prefers-color-scheme:dark");
  });

  test("labels round weights where mixes lie close to each other", () => {
    const { points, ...rest } = sweep();
    const [end] = points;
    if (end === undefined) throw new Error("no mix");
    const close = [0.28, 0.31, 0.34].map((accuracy) => {
      const mix = { accuracy, engagement: 1 - accuracy };
      return { ...end, mix, label: formatMix(mix) };
    });
    const svg = sweepSvg({ ...rest, points: [...points, ...close] });
    for (const weight of ["0.28", "0.31", "0.34"]) expect(svg).not.toContain(`>${weight}<`);
    expect(svg).toContain(">0.2<");
    expect(svg).toContain("accuracy=0.31,engagement=0.69");
  });

  test("three objectives, one mix, and scores that are no shares can be drawn", () => {
    const names = ["helpful", "honest", "kind"];
    const mean = { mean: 3.2, low: -1.5, high: 4, n: 9, method: "bootstrap" as const };
    const results = { helpful: mean, honest: mean, kind: wilson(3, 9) };
    const points = mixGrid(names, 5).map((mix) => ({ label: formatMix(mix), mix, results }));
    for (const some of [points, points.slice(0, 1), points.map(({ label }) => ({ label, results }))]) {
      const svg = sweepChart({ ...sweep(), points: some }, "s").toString();
      expect(balanced(svg)).toBe(true);
      expect(svg).not.toMatch(/NaN|Infinity/);
    }
    expect(sweepChart({ ...sweep(), points }, "s").toString()).toContain("mean score");
  });
});

describe("the page", () => {
  const page = reportPage(inventedResults(), inventedMetrics());

  test("is balanced, escapes what it is given and asks the network for nothing", () => {
    expect(balanced(page)).toBe(true);
    const tags = page.match(/<[^>]+>/g) ?? [];
    expect(tags.filter((tag) => /^<(?:script|img|link|iframe)|\s(?:src|href|on\w+)=/i.test(tag))).toEqual([]);
    expect(page.match(/NaN|undefined|Infinity/g)).toBeNull();
    expect(page.includes(escapeText(hostile))).toBe(true);
    expect(page).toContain("default-src 'none'");
  });

  test("shows the sweep's numbers, the matrix, curves, samples and what was run", () => {
    for (const text of [
      "60.0%<small>51.1% to 68.3%</small>",
      "a difference of 55 points (95% interval 46 to 64 points",
      "97.0%<small>93.6% to 98.6% · n 200</small>",
      '<th scope="row">accuracy</th><td>1</td><td>40.0%</td><td>8.0%</td><td class="words">engagement -25 (-35 to -15)</td>',
      '<th scope="row">engagement</th><td>0.95</td><td>100.0%</td><td>20.0%</td><td class="words">–</td>',
      "gained on the rejected one against sft",
      '<th scope="row">accuracy</th><td>0.8</td><td>0.87</td><td>–</td>',
      "40 held-out prompts, 8 samples each. Best by the last step against one sample: +0.2 (0.08 to 0.31). Against the vote: +0.1 (-0.03 to 0.22).",
      '<th scope="row">majority vote</th><td>40.0%<small>26.3% to 55.4%</small></td>',
      "Fine-tuning (sft)",
      "Alignment (align)",
      "<b>accuracy ✓</b> 19 is right (the answer is)",
      "2 min 51 s",
      "an invented processor, 2 cores",
    ]) {
      expect(page).toContain(text);
    }
  });

  test("folds the scores of each step below an answer; a score of the whole stands at its last step", () => {
    expect(page).toContain("<li>12 + 7 = 19<small>accuracy 0.75</small></li>");
    expect(page).toContain(
      `${escapeText(hostile).trim()}<small>accuracy 0.25 · engagement -1.5</small></li>`,
    );
    const answers = inventedResults().sweep?.samples[0]?.replies.length ?? 0;
    expect(page.split("<summary>scores of each step</summary>")).toHaveLength(answers);
  });

  test("says so where the ends overlap, and leaves out what was not measured", () => {
    const results = inventedResults();
    const { sweep: found, pairAccuracy: _, ...rest } = results;
    const weak = found && {
      ...found,
      samples: [],
      steering: found.steering.map((one) => ({ ...one, apart: false })),
    };
    const text = reportPage({ ...rest, ...(weak ? { sweep: weak } : {}) }, {});
    expect(text).toContain("does not show that the mix steers it");
    expect(text).not.toContain('id="pair-accuracy"');
    expect(text).not.toContain('id="training"');
    expect(text).not.toContain('id="samples"');
    expect(reportPage(rest as Results, {})).not.toContain('id="sweep"');
  });
});

describe("writing the report", () => {
  test("is rebuilt from results.json and metrics, byte for byte", async () => {
    const run = mkdtempSync(join(tmpdir(), "mahalo-report-"));
    await writeResults(join(run, "results.json"), inventedResults());
    mkdirSync(join(run, "align"));
    const log = new MetricsLog(join(run, "align"), { tensorboard: false });
    for (const { step, ...metrics } of inventedMetrics().align ?? []) {
      log.write(step, metrics);
    }
    log.close();
    const files = await writeReport(run);
    const first = readFileSync(files.html, "utf8");
    expect(first).toContain("Alignment (align)");
    expect(first).not.toContain("Fine-tuning (sft)");
    expect(readFileSync(files.svg ?? "", "utf8")).toBe(sweepSvg(sweep()));
    await writeReport(run);
    expect(readFileSync(files.html, "utf8")).toBe(first);
    const { sweep: _, ...rest } = inventedResults();
    await writeResults(join(run, "results.json"), rest);
    expect(await writeReport(run)).toEqual({ html: files.html });
    writeFileSync(join(run, "align", "metrics.jsonl"), '{"step":"one"}\n');
    await expect(writeReport(run)).rejects.toThrow(/metrics\.jsonl:1/);
    rmSync(run, { recursive: true });
  });
});
