/** Opens the report and the page of a comparison in a real browser: no errors, no requests, no overflow, light and dark. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { compareRuns } from "../compare/compare.ts";
import { inventRun } from "../testing/runs.ts";
import { writeComparison } from "./compare-page.ts";
import { readMethodMetrics } from "./method-curves.ts";
import { reportPage } from "./page.ts";
import { inventedMetrics, inventedResults } from "./testing/fixture.ts";

const executablePath = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** Runs in the page; written as text since this project's types know no browser. */
const facts = `(() => {
  const root = document.documentElement;
  const style = getComputedStyle(document.body);
  return {
    overflow: root.scrollWidth - root.clientWidth,
    background: style.backgroundColor,
    images: document.querySelectorAll("svg[role=img]").length,
    named: [...document.querySelectorAll("svg[role=img]")].every((svg) =>
      svg.getAttribute("aria-labelledby").split(" ").every((id) => document.getElementById(id)?.textContent)),
    ids: [...document.querySelectorAll("[id]")].map((element) => element.id),
    smallest: Math.min(...[...document.querySelectorAll("svg text")].map((text) => text.getBoundingClientRect().height)),
    samples: document.querySelectorAll("article.reply").length,
  };
})()`;

type Facts = {
  overflow: number;
  background: string;
  images: number;
  named: boolean;
  ids: string[];
  smallest: number;
  samples: number;
};

const writeReport = async (folder: string): Promise<string> => {
  const path = join(folder, "report.html");
  writeFileSync(path, reportPage(inventedResults(), inventedMetrics()));
  return path;
};

/** Two methods, one of them a sweep beside the model before alignment. */
const writeCompared = async (folder: string): Promise<string> => {
  const shares = { accuracy: 0.5, engagement: 0.75 };
  const mixes = [0, 0.5, 1].map((accuracy) => ({ mix: { accuracy, engagement: 1 - accuracy }, shares }));
  const trained = ["accuracy", "engagement"];
  const runs = [
    await inventRun(folder, "heads", {
      method: "mah-dpo",
      seed: 1,
      policies: [...mixes, { label: "sft", shares }],
      trained,
    }),
    await inventRun(folder, "mixed", { method: "dpo-mixed", seed: 1, policies: [{ shares }], trained }),
  ];
  const found = await compareRuns(runs, { resamples: 20 });
  return (await writeComparison(join(folder, "compared"), found, await readMethodMetrics(found))).html;
};

test.skipIf(!existsSync(executablePath)).each([
  { page: "report", write: writeReport, images: 7, samples: 14 },
  { page: "comparison", write: writeCompared, images: 5, samples: 3 },
])(
  `the $page opens in a browser (skipped where ${executablePath} is not there; set CHROMIUM_PATH)`,
  async ({ write, images, samples }) => {
    const folder = mkdtempSync(join(tmpdir(), "mahalo-browser-"));
    const path = await write(folder);
    const browser = await chromium.launch({
      executablePath,
      timeout: 0,
      args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    });
    try {
      const backgrounds = new Set<string>();
      for (const [colorScheme, width] of [
        ["light", 1100],
        ["dark", 1100],
        ["light", 400],
        ["dark", 320],
      ] as const) {
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
        page.setDefaultTimeout(0);
        const [errors, requests]: [string[], string[]] = [[], []];
        page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
        page.on("pageerror", (error) => errors.push(error.message));
        page.on("dialog", (dialog) => errors.push(dialog.message()));
        page.on("request", (request) => requests.push(request.url()));
        await page.goto(pathToFileURL(path).href, { waitUntil: "load" });
        const found = (await page.evaluate(facts)) as Facts;
        expect(errors).toEqual([]);
        expect(requests).toEqual([pathToFileURL(path).href]);
        expect(found).toMatchObject({ overflow: 0, images, named: true, samples });
        expect(new Set(found.ids).size).toBe(found.ids.length);
        expect(found.smallest).toBeGreaterThan(8);
        backgrounds.add(found.background);
        await page.close();
      }
      expect(backgrounds.size).toBe(2);
    } finally {
      await browser.close();
      rmSync(folder, { recursive: true });
    }
  },
);
