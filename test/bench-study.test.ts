/** The study: its verdicts on worked examples, and its tiny form from recipes to study.json. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { equalGain, equalMix, ownHeads, pureMix } from "../bench/study/claims.ts";
import { readStudy } from "../bench/study/format.ts";
import { frontOverSoups } from "../bench/study/fronts.ts";
import { guidanceAdds, guidedPoints } from "../bench/study/guided.ts";
import { isForJudge, withJudges } from "../bench/study/judges.ts";
import { completeMethods, methodNames, planSeed } from "../bench/study/plan.ts";
import { pooledPairs } from "../bench/study/ranked-pairs.ts";
import { readRecord, recordPath } from "../bench/study/record.ts";
import { aucsOf, unifiedNear } from "../bench/study/rewards.ts";
import { runStudy, type StudyOptions } from "../bench/study/run.ts";
import { sharedStages, shareStages, takenOver } from "../bench/study/share.ts";
import { claimText } from "../bench/study/tables.ts";
import { tinyDomains } from "../bench/study/tiny.ts";
import { finding, verdict } from "../bench/study/verdict.ts";
import { silenceProgress } from "../packages/mahalo/src/core/progress.ts";
import { mixed, policy, seeds } from "./study-policies.ts";

const rule = { objectives: ["x", "y"], resamples: 200 };
const sweep = [mixed(1, 11, 3), mixed(0.5, 8, 8), mixed(0, 3, 11)];
const kept = fileURLToPath(new URL("../bench/study/records", import.meta.url));
const means = ({ findings }: { findings: { difference: { mean: number } }[] }): number[] =>
  findings.map(({ difference }) => Number(difference.mean.toFixed(4)));

test.each(
  readdirSync(kept).flatMap((domain) => readdirSync(join(kept, domain)).map((file) => ({ domain, file }))),
)("the record of $domain, $file, can be read and is of its place", async ({ domain, file }) => {
  const seed = Number(/^seed-(\d+)\.json$/.exec(file)?.[1]);
  const record = await readRecord(kept, domain, seed);
  expect(record).toMatchObject({ domain, seed });
  expect(record?.groups.map(({ name }) => name)).toEqual(expect.arrayContaining(["mah-dpo", "sft"]));
});

describe("a verdict", () => {
  const span = (low: number, high: number) => ({ mean: (low + high) / 2, low, high, seeds: 3, prompts: 36 });

  test("says what the whole interval says", () => {
    expect(finding("d", span(0.1, 0.3), 0).outcome).toBe("holds");
    expect(finding("d", span(-0.3, -0.1), 0).outcome).toBe("does not hold");
    expect(finding("d", span(-0.1, 0.3), 0).outcome).toBe("not decided at this size");
    expect(finding("d", span(-0.04, 0.3), -0.05).outcome).toBe("holds");
    expect(finding("d", span(0, 0), 0).outcome).toBe("not decided at this size");
  });

  test("on a claim holds where all parts do, and falls with one of them", () => {
    const [yes, no, open] = [
      finding("d", span(0.1, 0.2), 0),
      finding("d", span(-2, -1), 0),
      finding("d", span(-1, 1), 0),
    ];
    expect(verdict("a", [yes, yes]).outcome).toBe("holds");
    expect(verdict("a", [yes, open, no]).outcome).toBe("does not hold");
    expect(verdict("a", [yes, open]).outcome).toBe("not decided at this size");
    expect(verdict("a", [yes, undefined]).outcome).toBe("not decided at this size");
    expect(verdict("a", []).outcome).toBe("not decided at this size");
  });

  test("is told with its intervals", () => {
    const text = claimText(verdict("e", [finding("a|b", span(0.1, 0.2), -0.05)], ["so"]));
    expect(text).toContain("reward model comes close to the specialised ones: **holds**");
    expect(text).toContain("| a\\|b | +0.150 [+0.100, +0.200] | -0.050 | holds |");
    expect(text).toContain("Notes: so.");
  });
});

describe("claim (a), each head on its own objective", () => {
  test("holds where no policy of one head and no other head is better", () => {
    const found = ownHeads(sweep, [policy("sft", 2, 2), policy("dpo", 10, 2), policy("dpo y", 2, 11)], rule);
    expect(found.outcome).toBe("holds");
    expect(means(found)).toEqual([0.0833, 0.6667, 0, 0.6667]);
  });

  test("falls with a rival that is better beyond the margin", () => {
    expect(ownHeads([mixed(1, 4, 4), mixed(0, 4, 11)], [policy("dpo", 12, 4)], rule).outcome).toBe(
      "does not hold",
    );
    expect(ownHeads([mixed(1, 4, 4), mixed(0, 4, 11)], [], rule).outcome).toBe("not decided at this size");
  });

  test("is not decided where every policy lies within the margin, since then no head could fall short", () => {
    const alike = [mixed(1, 6, 6), mixed(0, 6, 6)];
    const found = ownHeads(alike, [policy("sft", 6, 6)], rule);
    expect(found.outcome).toBe("not decided at this size");
    expect(found.findings.every(({ outcome }) => outcome === "not decided at this size")).toBe(true);
    expect(found.notes).toContain("no policy lies further than the margin from the best on x, y");
    const apart = ownHeads(alike, [policy("sft", 6, 6), policy("dpo", 5, 6)], rule);
    expect(apart.findings.map(({ outcome }) => outcome === "holds")).toEqual([true, true, false, false]);
    expect(apart.notes).toContain("no policy lies further than the margin from the best on y");
  });

  test("finds the mixes that it speaks of", () => {
    expect([pureMix(sweep, "y")?.label, equalMix(sweep)?.label]).toEqual(["x=0", "x=0.5"]);
    expect(pureMix([mixed(0.5, 1, 1)], "x")).toBeUndefined();
  });
});

describe("claim (b), the equal mix", () => {
  test("is measured against SFT on each objective, and by its least gain against mixed data", () => {
    const found = equalGain(sweep, policy("sft", 2, 3), policy("dpo-mixed", 12, 3), rule);
    expect(means(found)).toEqual([0.5, 0.4167, 0.4167]);
    expect(found.outcome).toBe("holds");
  });

  test("is not decided without the rival, and falls where an objective loses", () => {
    const alone = equalGain(sweep, policy("sft", 2, 3), undefined, rule);
    expect([alone.outcome, alone.notes[0]]).toEqual([
      "not decided at this size",
      "dpo-mixed did not run, so interference is not compared",
    ]);
    expect(equalGain(sweep, policy("sft", 2, 12), policy("m", 2, 2), rule).outcome).toBe("does not hold");
  });
});

describe("claim (c), the front", () => {
  const soups = [mixed(1, 7, 2), mixed(0.5, 4, 4), mixed(0, 2, 7)];

  test("holds where the sweep encloses more than the soups and each step goes up", () => {
    const found = frontOverSoups(sweep, soups, rule);
    expect(found.outcome).toBe("holds");
    // Volume of the sweep in 144ths: 11 x 3 + 8 x 5 + 3 x 3 = 82; of the soups 14 + 8 + 6 = 28.
    expect(means(found)).toEqual([0.375, 0.6667, 0.6667, 0.25, 0.25]);
  });

  test("falls where results go back on the way, or do not move", () => {
    const back = [mixed(1, 11, 3), mixed(0.5, 1, 8), mixed(0, 8, 11)];
    const found = frontOverSoups(back, soups, rule);
    expect(found.outcome).toBe("does not hold");
    expect(means(found)[3]).toBeCloseTo(-7 / 12, 3);
    expect(frontOverSoups([mixed(1, 4, 4), mixed(0, 4, 4)], undefined, rule).outcome).toBe(
      "not decided at this size",
    );
    expect(frontOverSoups(sweep, soups, { ...rule, objectives: ["x"] }).findings).toEqual([]);
  });
});

test("claim (d) takes the most even mix and guidance of all seeds", () => {
  const point = (policy: string, x: number, mix?: object, guidance?: object) => ({
    policy,
    ...(mix === undefined ? {} : { mix: { ...mix } as Record<string, number> }),
    ...(guidance === undefined ? {} : { guidance: { ...guidance } as Record<string, number> }),
    scores: { x: seeds(x)[0] ?? [], y: seeds(x)[0] ?? [] },
  });
  const even = { x: 1, y: 1 };
  const all = [
    point("sft", 1),
    point("sft", 5, undefined, even),
    point("aligned", 12, { x: 1 }, { x: 1 }),
    point("aligned", 4, even),
    point("aligned", 2, even, { x: 1 }),
    point("aligned", 9, even, even),
  ];
  const found = guidanceAdds(guidedPoints([all, all, all]), rule);
  expect(means(found)).toEqual([0.4167, 0.3333]);
  expect(found.outcome).toBe("holds");
  const without = guidanceAdds(guidedPoints([all.slice(2)]), rule);
  expect([without.outcome, without.notes]).toEqual(["not decided at this size", ["not measured: guidedSft"]]);
});

test("claim (e) compares areas seed by seed, and one seed decides nothing", () => {
  const seed = (specialised: number, unified: number) => ({ aucs: { x: { specialised, unified } } });
  const aucs = aucsOf([
    { aucs: { ...seed(0.8, 0.78).aucs, y: { specialised: 1, unified: 1 } } },
    seed(0.7, 0.7),
    seed(0.75, 0.74),
  ]);
  expect([...aucs.keys()]).toEqual(["x"]);
  expect(unifiedNear(aucs, rule).outcome).toBe("holds");
  expect(means(unifiedNear(aucs, rule))).toEqual([-0.01]);
  expect(unifiedNear(aucsOf([seed(0.8, 0.5)]), rule).outcome).toBe("not decided at this size");
  expect(unifiedNear(new Map(), rule).outcome).toBe("not decided at this size");
  const blind = unifiedNear(aucsOf([seed(0.54, 0.54), seed(0.5, 0.5), seed(0.52, 0.52)]), rule);
  expect(blind.outcome).toBe("not decided at this size");
  expect(blind.notes).toContain("the specialised model is within the margin of chance on x");
  expect(unifiedNear(aucsOf([seed(0.54, 0.3), seed(0.5, 0.3), seed(0.52, 0.3)]), rule).outcome).toBe(
    "does not hold",
  );
});

test("held-out pairs are counted over all seeds together", () => {
  const one = { run: "mah-dpo", head: "x", objective: "x" };
  const [first, ...rest] = pooledPairs([
    [
      { ...one, right: 3, pairs: 4 },
      { ...one, head: "y", right: 1, pairs: 4 },
    ],
    [{ ...one, right: 5, pairs: 6 }],
  ]);
  expect(first).toMatchObject({ ...one, accuracy: { mean: 0.8, n: 10, method: "wilson" } });
  expect(rest).toMatchObject([{ head: "y", accuracy: { mean: 0.25, n: 4 } }]);
});

test("the study's own recipes give every method its runs, on objectives that are judged or get a judge", async () => {
  for (const name of ["math", "values", "tutoring"]) {
    const file = fileURLToPath(new URL(`../bench/study/recipes/${name}.yaml`, import.meta.url));
    const { runs, heads } = await planSeed({ name, file, set: [] }, 1, methodNames, "/study");
    expect(heads).toHaveLength(2);
    expect(runs.find((run) => run.method === "mah-dpo-projected")?.recipe.align).toMatchObject({
      method: "mah-dpo",
      conflict: { project: true },
    });
    expect(runs).toHaveLength(methodNames.length + heads.length - 1);
    for (const { recipe } of runs) expect(recipe).toMatchObject({ name: expect.any(String), seed: 1 });
    expect(runs[0]?.recipe.guide?.policies).toEqual(expect.arrayContaining(["sft", "aligned"]));
  }
});

describe("the tiny form", () => {
  const out = mkdtempSync(join(tmpdir(), "mahalo-study-"));
  silenceProgress(true);
  afterAll(() => {
    silenceProgress(false);
    rmSync(out, { recursive: true });
  });
  const options = async (more: Partial<StudyOptions> = {}): Promise<StudyOptions> => ({
    domains: await tinyDomains(["math"], out),
    methods: ["mah-dpo", "mah-dpo-projected", "dpo-mixed"],
    seeds: 1,
    out,
    tiny: true,
    command: "npx tsx bench/study.ts --tiny",
    resamples: 20,
    ...more,
  });

  test("runs methods on the same stages, decides the claims, and keeps all when it is asked again", async () => {
    const lines: string[] = [];
    await runStudy(await options({ log: (line) => lines.push(line) }));
    const folder = join(out, "math", "seed-0");
    expect(lines).toContain("math, seed 0, dpo-mixed (3 of 3): takes over data, sft, reward");
    for (const stage of ["data", "sft", "reward"]) {
      expect(lines).toContain(`math, seed 0, dpo-mixed (3 of 3): ${stage}: fresh, kept`);
      const file = join(folder, "dpo-mixed", stage, "stage.json");
      expect(statSync(file).ino).toBe(statSync(join(folder, "mah-dpo", stage, "stage.json")).ino);
    }
    const study = await readStudy(join(out, "study.json"));
    const [domain] = study.domains;
    expect(domain?.comparison?.groups.map(({ name }) => name)).toEqual([
      "mah-dpo",
      "sft",
      "mah-dpo-projected",
      "dpo-mixed",
    ]);
    expect(domain?.conflict).toEqual({ "brief~kind": [expect.any(Number)] });
    expect(domain?.verdicts.map(({ claim, method = "" }) => `${claim} ${method}`.trim())).toEqual([
      ...["a", "b", "c", "f"],
      ...["a", "b", "c", "f"].map((claim) => `${claim} mah-dpo-projected`),
      "d",
    ]);
    expect(domain?.verdicts[0]?.findings).toHaveLength(4);
    expect(domain?.pairs.map(({ run, head }) => `${run} ${head}`)).toEqual([
      ...["kind", "kind", "brief", "brief"].map((head) => `mah-dpo ${head}`),
      ...["kind", "kind", "brief", "brief"].map((head) => `mah-dpo-projected ${head}`),
      ...["dpo-mixed dpo-mixed", "dpo-mixed dpo-mixed"],
    ]);
    expect(readFileSync(join(out, "study.md"), "utf8")).toContain("#### (b) the equal mix");
    expect(readFileSync(join(out, "study.md"), "utf8")).toMatch(
      /\| dpo-mixed \| [01]\.\d+ \[.*\] of \d+ \| /,
    );
    expect(readFileSync(join(out, "study.md"), "utf8")).toMatch(/\| mah-dpo-projected \| hypervolume \| /);

    for (const name of ["front.svg", "report.html"])
      expect(readFileSync(join(out, "math", name), "utf8")).toContain("mah-dpo-projected");

    const again: string[] = [];
    await runStudy(await options({ log: (line) => again.push(line) }));
    expect(again.filter((line) => /begins \(|resumes|takes over/.test(line))).toEqual([]);
    expect((await readStudy(join(out, "study.json"))).domains).toEqual(study.domains);
  });

  test("decides by records alone where they are there, and runs what they lack", async () => {
    const records = join(out, "records");
    const path = recordPath(records, "math", 0);
    const study = await readStudy(join(out, "study.json"));
    const lines: string[] = [];
    const elsewhere = { out: join(out, "elsewhere"), records, log: (line: string) => lines.push(line) };
    const found = await runStudy(await options(elsewhere));
    expect(lines).toEqual(["math, seed 0: its record is there"]);
    expect(found.domains).toEqual(study.domains);
    expect(statSync(path).size).toBeLessThan(20_000);

    const record = JSON.parse(readFileSync(path, "utf8")) as { runs: { method: string }[] };
    writeFileSync(path, JSON.stringify({ ...record, runs: record.runs.slice(0, 1) }));
    await runStudy(await options({ records, log: (line) => lines.push(line) }));
    expect(lines).toContain("math, seed 0, dpo-mixed (3 of 3): begins");
    expect(await readRecord(records, "math", 0)).toMatchObject({ domain: "math", seed: 0 });
    writeFileSync(path, JSON.stringify({ ...record, seed: "none" }));
    await expect(readRecord(records, "math", 0)).rejects.toMatchObject({ code: "E_RESULTS" });
    rmSync(path);
  });

  test("stops on request, and takes a stage over only once it is done", async () => {
    const stop = new AbortController();
    stop.abort(new Error("enough"));
    const stopped = runStudy(await options({ out: join(out, "stopped"), signal: stop.signal }));
    await expect(stopped).rejects.toMatchObject({ code: "E_INTERRUPTED" });
    expect(await shareStages(join(out, "nothing"), join(out, "other"), sharedStages)).toEqual([]);
    expect(existsSync(join(out, "other"))).toBe(false);
  });

  test("takes all shared stages over, but for a reward model of its own", () => {
    expect(takenOver("mah-dpo")).toEqual([]);
    expect(takenOver("soup")).toEqual([...sharedStages]);
    expect(takenOver("unified")).toEqual(["data", "sft", "rollout", "relabel", "pairs"]);
  });

  test("gives an objective without a judge a reward model of rows that no run reads", async () => {
    const [domain] = await tinyDomains(["values"], out);
    if (domain === undefined) throw new Error("no domain");
    const judged = await withJudges(domain, out);
    const { runs } = await planSeed(judged, 0, [], out);
    const prompts = (side: string): string[] =>
      readFileSync(join(out, "values", "rows", `brief-${side}.jsonl`), "utf8").match(/\d+ and 1\?/g) ?? [];
    const [own, policy] = [prompts("judge"), prompts("policy")];
    expect([...own, ...policy]).toHaveLength(10);
    expect(own.every((prompt) => isForJudge(prompt) && !policy.includes(prompt))).toBe(true);
    const model = join(out, "values", "judges", "reward", "brief", "model");
    expect(existsSync(join(model, "config.json"))).toBe(true);
    expect(runs[0]?.recipe.objectives).toMatchObject({
      kind: { pairs: { path: expect.stringMatching(/pairs\.jsonl$/) }, judge: { kind: "rule" } },
      brief: {
        pairs: { path: expect.stringMatching(/brief-policy\.jsonl$/) },
        judge: { kind: "model", model },
      },
    });
    expect(judged.notes?.[0]).toMatch(
      /^brief is judged by a reward model of other rows than any run's, right on/,
    );
  });

  test("plans each method as a variant of the recipe", async () => {
    expect(completeMethods(["soup"])).toEqual(["mah-dpo", "dpo", "soup"]);
    const [domain] = await tinyDomains(["math"], out);
    if (domain === undefined) throw new Error("no domain");
    const all = completeMethods(["dpo-scalarized", "modpo", "soup", "mod", "prompted", "unified"]);
    const { runs, heads } = await planSeed(domain, 2, all, out);
    expect(heads).toEqual(["kind", "brief"]);
    expect(runs.map(({ name }) => name)).toEqual([
      "mah-dpo",
      "dpo-only-kind",
      "dpo-only-brief",
      "dpo-scalarized",
      "modpo",
      "soup",
      "mod",
      "prompted",
      "unified",
    ]);
    const models = { kind: join(out, "math/seed-2/dpo-only-kind/align/model") };
    const soup = runs.find(({ name }) => name === "soup")?.recipe;
    expect(soup).toMatchObject({ seed: 2, align: { method: "soup", models }, evaluate: { baseline: false } });
    expect(runs.map(({ recipe }) => recipe.guide === undefined)).toEqual([false, ...Array(8).fill(true)]);
    const [, frozen] = (await planSeed(domain, 2, ["mah-dpo-frozen"], out)).runs;
    const { learningRate } = runs[0]?.recipe.align || { learningRate: 0 };
    expect(frozen?.recipe).toMatchObject({
      align: { method: "mah-dpo", train: "heads", learningRate: learningRate * 5 },
    });
    // The unified reward model reads each objective's rows as often as that objective's own model does.
    const steps = runs.map(({ recipe: { reward } }) => (reward === false ? 0 : reward.maxSteps));
    expect(steps).toEqual([...Array(8).fill(1), heads.length]);
  });
});
