/** Comparing runs: grouping over seeds, fronts, paired differences, and the page and files that come of it. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { comparePage, writeComparison } from "../report/compare-page.ts";
import { methodCurves, readMethodMetrics } from "../report/method-curves.ts";
import { hostile } from "../report/testing/fixture.ts";
import { readResults, writeResults } from "../results.ts";
import { type InventedPolicy, type InventedRun, inventRun } from "../testing/runs.ts";
import { compareRuns } from "./compare.ts";
import { readComparison } from "./comparison.ts";

let folder = "";
const invent = (name: string, run: InventedRun): Promise<string> => inventRun(folder, name, run);

const mixes = [
  { a: 1, b: 0 },
  { a: 0.5, b: 0.5 },
  { a: 0, b: 1 },
];
const runs: string[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-compare-"));
  for (const seed of [1, 2, 3]) {
    const shares = [
      { a: 0.9, b: 0.2 },
      { a: 0.8, b: 0.7 },
      { a: 0.3, b: 0.9 },
    ];
    const lower = [
      { a: 0.85, b: 0.1 },
      { a: 0.5, b: 0.45 },
      { a: 0.2, b: 0.85 },
    ];
    const of = (results: readonly Record<string, number>[]): InventedPolicy[] => [
      ...mixes.map((mix, index) => ({ mix, shares: results[index] ?? {} })),
      { label: "sft", shares: { a: 0.4, b: 0.4 } },
    ];
    runs.push(
      await invent(`heads-${seed}`, {
        method: "mah-dpo",
        seed,
        policies: of(shares),
        trained: ["a", "b"],
      }),
      await invent(`soup-${seed}`, { method: "soup", seed, policies: of(lower) }),
      await invent(`mixed-${seed}`, {
        method: "dpo-mixed",
        seed,
        policies: [{ shares: { a: 0.8, b: 0.65 } }],
        trained: ["a"],
      }),
    );
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe("a comparison", () => {
  test("groups runs by recipe over their seeds, and baselines that they share once", async () => {
    const { groups, objectives, shares, reference } = await compareRuns(runs, { resamples: 60 });
    expect(objectives).toEqual(["a", "b"]);
    expect([shares, reference]).toEqual([true, [0, 0]]);
    expect(groups.map(({ name, runs: own }) => [name, own.map(({ seed }) => seed)])).toEqual([
      ["mah-dpo", [1, 2, 3]],
      ["sft", [1, 2, 3]],
      ["soup", [1, 2, 3]],
      ["dpo-mixed", [1, 2, 3]],
    ]);
    expect(groups[0]?.centre).toBe("a=0.5,b=0.5");
    expect(groups[3]?.centre).toBe("dpo-mixed");
  });

  test("measures fronts: 0.9 x 0.2 + 0.8 x 0.5 + 0.3 x 0.2 for the heads", async () => {
    const { groups, coverage } = await compareRuns(runs, { resamples: 60 });
    expect(groups[0]?.hypervolume?.mean).toBeCloseTo(0.9 * 0.2 + 0.8 * 0.5 + 0.3 * 0.2, 10);
    expect(groups[0]?.points.every(({ onFront }) => onFront)).toBe(true);
    expect(groups[0]?.leastRegret).toBeCloseTo(0.2, 10);
    expect(coverage).toContainEqual({ a: "mah-dpo", b: "soup", coverage: 1 });
    expect(coverage).toContainEqual({ a: "soup", b: "mah-dpo", coverage: 0 });
  });

  test("decides what is clear, prompt by prompt, and says where it is not", async () => {
    const found = await compareRuns(runs, { resamples: 150 });
    const of = (b: string, what: string) =>
      found.differences.find(
        (difference) => difference.a === "mah-dpo" && difference.b === b && difference.of === what,
      );
    expect(of("soup", "a")?.difference.mean).toBeCloseTo(0.3, 10);
    expect(of("soup", "a")).toMatchObject({ decided: true, win: { win: 0.65 } });
    expect(of("soup", "hypervolume")).toMatchObject({ decided: true });
    expect(of("dpo-mixed", "a")).toMatchObject({ decided: false });
    expect(found.notes).toEqual([]);
    expect(await compareRuns(runs, { resamples: 150 })).toEqual(found);
  });

  test("tells what each policy gained over the model before alignment, and where it lost", async () => {
    const { gains } = await compareRuns(runs, { resamples: 150 });
    const of = (name: string, label: string, objective: string) =>
      gains.find((gain) => gain.name === name && gain.label === label && gain.of === objective);
    expect(of("mah-dpo", "a=1,b=0", "a")?.gain.mean).toBeCloseTo(0.5, 10);
    expect(of("mah-dpo", "a=1,b=0", "b")).toMatchObject({ over: "sft", decided: true });
    expect(of("mah-dpo", "a=1,b=0", "b")?.gain.mean).toBeCloseTo(-0.2, 10);
    expect(of("dpo-mixed", "dpo-mixed", "b")?.gain.mean).toBeCloseTo(0.25, 10);
    expect(gains.some(({ name }) => name === "sft")).toBe(false);
  });

  test("gives the divergence from the reference where the answers have it", async () => {
    const { groups } = await compareRuns(runs, { resamples: 60 });
    const points = groups.find(({ name }) => name === "mah-dpo")?.points;
    expect(points?.[0]?.kl?.mean).toBeCloseTo(1.5, 10);
    expect(groups.find(({ name }) => name === "sft")?.points[0]?.kl).toBeUndefined();
  });

  test("shows answers of one seed side by side, each method by the policy that stands for it", async () => {
    const { samples } = await compareRuns(runs.toReversed(), { resamples: 20 });
    expect(samples?.map(({ prompt }) => prompt[0]?.content)).toEqual(["seed 1"]);
    expect(samples?.[0]?.replies.map(({ label, response }) => [label, response])).toEqual([
      ["dpo-mixed", "answer 0 of dpo-mixed"],
      ["soup, a=0.5,b=0.5", "answer 0 of a=0.5,b=0.5"],
      ["sft", "answer 0 of sft"],
      ["mah-dpo, a=0.5,b=0.5", "answer 0 of a=0.5,b=0.5"],
    ]);
    expect(samples?.[0]?.replies[0]?.steps?.a?.[0]?.score).toBe(0.25);
    const apart = await compareRuns([runs[0] ?? "", runs[4] ?? ""], { resamples: 20 });
    expect(apart.samples?.[0]?.replies.map(({ label }) => label)).toEqual(["mah-dpo, a=0.5,b=0.5", "sft"]);
  });

  test("reads how each method was trained, not how those were that stand beside it", async () => {
    const metrics = await readMethodMetrics(await compareRuns(runs, { resamples: 20 }));
    expect(Object.keys(metrics)).toEqual(["mah-dpo", "dpo-mixed"]);
    const page = String(methodCurves(metrics, ["mah-dpo", "dpo-mixed", "soup"], ["a", "b"]));
    const described = [...page.matchAll(/<title id[^>]*>(.*?)<\/title><desc[^>]*>(.*?)<\/desc>/g)].map(
      ([, title, words]) => [title, /mah-dpo: /.test(words ?? ""), /dpo-mixed: /.test(words ?? "")],
    );
    expect(described).toEqual([
      ["a: reward margin", true, true],
      ["a: reward accuracy", true, true],
      ["b: reward margin", true, false],
      ["b: reward accuracy", true, false],
    ]);
    expect(methodCurves({}, ["mah-dpo"], ["a"])).toBe(false);
  });

  test("does not compare answers to other prompts, and warns of few seeds", async () => {
    const { differences, notes } = await compareRuns([runs[0] ?? "", runs[4] ?? ""], { resamples: 20 });
    expect(differences.map(({ a, b }) => [a, b])).not.toContainEqual(["mah-dpo", "soup"]);
    expect(notes).toContainEqual(expect.stringContaining("mah-dpo and soup are not compared"));
    expect(notes.at(-1)).toContain("fewer than 3 seeds");
  });

  test("refuses runs without answers, and one recipe and seed twice", async () => {
    const [first = ""] = runs;
    await expect(compareRuns([first, first])).rejects.toMatchObject({ code: "E_COMPARE" });
    const bare = await invent("bare", { method: "mah-dpo", seed: 9, policies: [{ shares: { a: 1, b: 1 } }] });
    await rm(join(bare, "evaluate"), { recursive: true });
    await expect(compareRuns([bare])).rejects.toMatchObject({ code: "E_COMPARE" });
  });

  test("says which file is broken: a recipe that is not YAML, an answer that is missing", async () => {
    const broken = { method: "mah-dpo", seed: 9, policies: [{ shares: { a: 1, b: 1 } }] };
    const lacking = await invent("lacking", broken);
    const answers = join(lacking, "evaluate", "answers.jsonl");
    const lines = (await readFile(answers, "utf8")).split("\n");
    await writeFile(answers, lines.filter((_, index) => index !== 3).join("\n"));
    await expect(compareRuns([lacking])).rejects.toMatchObject({
      code: "E_RESULTS",
      message: expect.stringContaining("answers.jsonl: mah-dpo has no answer to prompt 3 of 40"),
    });
    const garbled = await invent("garbled", { ...broken, seed: 10 });
    const results = await readResults(join(garbled, "results.json"));
    await writeResults(join(garbled, "results.json"), { ...results, recipe: "a: [" });
    await expect(compareRuns([garbled])).rejects.toMatchObject({ code: "E_RESULTS" });
  });
});

test("the files of a comparison can be read again; the page runs nothing and tells its figures in words", async () => {
  const found = await compareRuns(runs, { resamples: 50 });
  const to = join(folder, "out");
  const files = await writeComparison(to, found);
  expect(await readComparison(files.results)).toEqual(found);
  expect(files.svgs).toEqual([join(to, "front.svg")]);
  const [html, svg] = [await readFile(files.html, "utf8"), await readFile(files.svgs[0] ?? "", "utf8")];
  expect(html).toContain('tabindex="0" role="region" aria-label="Chart of b against a"');
  expect(svg).toContain("<title>mah-dpo, a=0.5,b=0.5: a 80.0%");
  expect(svg).toContain('role="img"');
  expect(html).toContain("scores of each step");
  const reply = { label: hostile, response: hostile, verdicts: {} };
  const renamed = {
    ...found,
    groups: found.groups.map((group) => ({ ...group, name: hostile })),
    samples: [{ prompt: [{ role: "user" as const, content: hostile }], replies: [reply] }],
  };
  const metrics = await readMethodMetrics(found);
  expect(comparePage(renamed, { [hostile]: metrics["mah-dpo"] ?? [] })).not.toContain("<script>");
});

test("three objectives have a figure for every two", async () => {
  const run = await invent("three", {
    method: "mah-dpo",
    seed: 1,
    policies: [{ mix: { a: 1, b: 0, c: 0 }, shares: { a: 0.5, b: 0.5, c: 0.5 } }],
  });
  const found = await compareRuns([run], { resamples: 20 });
  expect(found.groups[0]?.hypervolume?.mean).toBeCloseTo(0.125, 10);
  const { svgs } = await writeComparison(join(folder, "three-out"), found);
  expect(svgs.map((path) => path.split("/").at(-1))).toEqual([
    "front-a-b.svg",
    "front-a-c.svg",
    "front-b-c.svg",
  ]);
});
