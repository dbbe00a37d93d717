/** mahalo tune: weights that reach a target, out of a run's results, and what is said where there are none. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { inventRun } from "../evaluate/testing/runs.ts";
import { run } from "./testing/run.ts";

let folder = "";
let measured = "";
const at = (...names: string[]): string => join(folder, ...names);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-cli-tune-"));
  measured = await inventRun(folder, "measured", {
    method: "mah-dpo",
    seed: 1,
    prompts: 100,
    policies: [
      { mix: { accuracy: 1, engagement: 0 }, shares: { accuracy: 0.8, engagement: 0.1 } },
      { mix: { accuracy: 0.5, engagement: 0.5 }, shares: { accuracy: 0.6, engagement: 0.7 } },
      { mix: { accuracy: 0, engagement: 1 }, shares: { accuracy: 0.2, engagement: 0.9 } },
      { label: "sft", shares: { accuracy: 1, engagement: 1 } },
    ],
  });
  await mkdir(at("measured", "align", "model"), { recursive: true });
});
afterAll(() => rm(folder, { recursive: true }));

const best = ["--maximize", "engagement"];
/** What is said to people. */
const told = async (model: string, ...words: string[]): Promise<string> => {
  const { status, out, err } = await run(["tune", model, ...words]);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return out;
};

/** What is said where no mix reaches the targets; the exit status says so too. */
const missedBy = async (...words: string[]): Promise<string> => {
  const { status, out, err } = await run(["tune", measured, ...words]);
  expect({ status, err }).toEqual({ status: 3, err: "" });
  return out;
};
const tunedMix = z.strictObject({
  mix: z.record(z.string(), z.number()),
  results: z.record(z.string(), z.looseObject({ mean: z.number(), low: z.number(), high: z.number() })),
  between: z.array(z.string()),
});
const tuned = z.strictObject({
  reached: z.boolean(),
  best: tunedMix,
  sure: z.boolean(),
  missed: z.array(z.strictObject({ objective: z.string(), by: z.number() })),
  cautious: tunedMix.optional(),
});
const found = async (model: string, ...words: string[]): Promise<z.output<typeof tuned>> =>
  parseJson(await told(model, ...words, "--json"), tuned, "standard output");
const refused = async (...words: string[]): Promise<string> => {
  const { status, out, err } = await run(["tune", ...words]);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  return err;
};

test("--help shows examples and says how a target is written", async () => {
  const { status, out, err } = await run(["tune", "--help"]);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  expect(out).toContain('$ mahalo tune runs/math --target "accuracy>=0.6" --maximize engagement');
  expect(out.replaceAll(/\s+/g, " ")).toContain("accuracy>=0.6; may be given several times");
});

describe("weights", () => {
  test("are told as a --mix with what they give, and between what they lie", async () => {
    const text = await told(measured, "--target", "accuracy>=0.5", ...best);
    expect(text).toMatch(/^--mix accuracy=0\.375,engagement=0\.625\n/);
    expect(text).toContain(
      "  between accuracy=0,engagement=1 and accuracy=0.5,engagement=0.5; not measured itself\n",
    );
    expect(text).toMatch(/^ {2}accuracy {2}0\.5 {2}\(0\.\d+ to 0\.\d+\)$/m);
    expect(text).toMatch(/^ {2}engagement {2}0\.75 {2}\(/m);
    expect(text).toContain("within the uncertainty; with the whole 95% intervals:\n--mix accuracy=0.5");
  });

  test("that were measured say so, and whether targets hold at the low ends", async () => {
    const sure = await told(measured, "--target", "accuracy>=0", ...best);
    expect(sure).toMatch(/^--mix accuracy=0,engagement=1\n {2}measured\n/);
    expect(sure).toContain("the targets hold even at the low ends of the intervals");
    const unsure = await told(measured, "--target", "accuracy>=75%", ...best);
    expect(unsure).toContain("no mix reaches the targets with its whole 95% intervals");
  });

  test("as JSON are the same, for a run, a folder inside it and its results.json", async () => {
    const target = ["--target", "accuracy>=50%", ...best];
    const one = await found(measured, ...target);
    expect(one).toMatchObject({ reached: true, sure: false, missed: [] });
    expect(one.best.mix.accuracy).toBeCloseTo(0.375, 6);
    expect(one.cautious?.mix.accuracy).toBeGreaterThan(0.375);
    for (const model of [at("measured", "align", "model"), at("measured", "results.json")])
      expect(await found(model, ...target)).toEqual(one);
  });

  test("of several targets reach them all", async () => {
    const targets = ["--target", "accuracy>=0.5", "--target", "engagement>=0.75"];
    const { reached, best: mix } = await found(measured, ...targets, "--maximize", "accuracy");
    expect(reached).toBe(true);
    expect(mix.mix.accuracy).toBeCloseTo(0.375, 2);
  });

  test("without a target are the best ones, and say nothing of targets", async () => {
    const text = await told(measured, ...best);
    expect(text).toMatch(/^--mix accuracy=0,engagement=1\n/);
    expect(text).not.toContain("target");
  });

  test("of a folder inside a run are found from where one stands", async () => {
    const target = ["--target", "accuracy>=0.5", ...best];
    const wanted = await told(measured, ...target);
    expect(await told(relative(process.cwd(), measured), ...target)).toBe(wanted);
    const spied = vi.spyOn(process, "cwd").mockReturnValue(at("measured", "align"));
    try {
      for (const name of ["model", ".", ".."]) expect(await told(name, ...target), name).toBe(wanted);
      expect(await refused("model/deep/er", ...best)).toContain("model/deep/er: no results.json here");
    } finally {
      spied.mockRestore();
    }
  });
});

test("a target that cannot be reached is told with the nearest mix and what it misses", async () => {
  const target = ["--target", "accuracy>=0.9", ...best];
  const text = await missedBy(...target);
  expect(text).toMatch(
    /^no measured mix reaches this; the nearest misses accuracy by 0\.1:\n--mix accuracy=1,engagement=0\n/,
  );
  const json = await missedBy(...target, "--json");
  const { reached, sure, missed, cautious } = parseJson(json, tuned, "standard output");
  expect({ reached, sure, cautious }).toEqual({ reached: false, sure: false, cautious: undefined });
  expect(missed).toEqual([{ objective: "accuracy", by: expect.closeTo(0.1, 10) }]);
});

describe("is refused", () => {
  test("a command line without what to maximize, or with a target that is none", async () => {
    expect(await refused(measured, "--target", "accuracy>=0.5")).toContain("--maximize: is missing");
    expect(await refused()).toContain("model");
    const said = await refused(measured, "--target", "accuracy>0.5", ...best);
    expect(said).toContain('target: "accuracy>0.5" is not of the form objective>=value');
    expect(said).toContain("E_TUNE");
  });

  test("an objective without results, with a guess at what was meant", async () => {
    const said = await refused(measured, "--maximize", "engagment");
    expect(said).toContain('no results of objective "engagment"');
    expect(said).toContain('Did you mean "engagement"?');
    expect(await refused(measured, "--target", "wit>=0.5", ...best)).toContain(
      "Known: accuracy, engagement.",
    );
  });

  test("a folder without results, and results without mixes, by their path", async () => {
    expect(await refused(at("nowhere"), ...best)).toContain(
      `${at("nowhere")}: no results.json here or in the run above`,
    );
    const policies = [{ label: "dpo", shares: { accuracy: 1, engagement: 1 } }];
    const single = await inventRun(folder, "single", { method: "dpo", seed: 1, policies });
    expect(await refused(single, ...best)).toContain("the results have no sweep of mixes to choose from");
  });

  test("damaged results, by file and field", async () => {
    const damaged = await inventRun(folder, "damaged", {
      method: "dpo",
      seed: 1,
      policies: [{ shares: { accuracy: 1 } }],
    });
    const path = join(damaged, "results.json");
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace('"mahalo-results"', '"other"'));
    const said = await refused(damaged, ...best);
    expect(said).toContain(path);
    expect(said).toContain("format");
    await writeFile(path, text.slice(0, 100));
    expect(await refused(damaged, ...best)).toContain(path);
  });
});
