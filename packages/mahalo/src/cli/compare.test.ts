/** mahalo compare: tables on standard output, files in a folder, and what is said of runs that cannot be compared. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { readComparison } from "../evaluate/compare/comparison.ts";
import { inventRun } from "../evaluate/testing/runs.ts";
import { run } from "./testing/run.ts";

let folder = "";
const at = (...names: string[]): string => join(folder, ...names);
const runs: string[] = [];
/** A run of one method with two mixes and the model before alignment, on few prompts. */
const heads = (name: string, seed: number, method = "mah-dpo", prompts = 12): Promise<string> =>
  inventRun(folder, name, {
    method,
    seed,
    prompts,
    policies: [
      { mix: { a: 1, b: 0 }, shares: { a: 1, b: 0.25 } },
      { mix: { a: 0, b: 1 }, shares: { a: 0.5, b: 0.75 } },
      { label: "sft", shares: { a: 0.25, b: 0.25 } },
    ],
  });
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-cli-compare-"));
  for (const seed of [1, 2, 3]) {
    const one = { label: "dpo-mixed", shares: { a: 0.5, b: 0.5 } };
    runs.push(
      await heads(`heads-${seed}`, seed),
      await inventRun(folder, `mixed-${seed}`, { method: "dpo-mixed", seed, prompts: 12, policies: [one] }),
    );
  }
});
afterAll(() => rm(folder, { recursive: true }));

/** What is said of a command line that ends with status 2; nothing goes to standard output or into the folder. */
const refused = async (...words: string[]): Promise<string> => {
  const { status, out, err } = await run(["compare", ...words, "--to", at("refused")]);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(await readdir(folder)).not.toContain("refused");
  return err;
};

test("--help shows examples and where files go", async () => {
  const { status, out, err } = await run(["compare", "--help"]);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  expect(out).toMatch(/Examples:\n {2}\$ mahalo compare runs\/mah-dpo runs\/dpo-mixed --to runs\/compared/);
  expect(out.replaceAll(/\s+/g, " ")).toContain('the figures go (default: "comparison")');
});

describe("a comparison", () => {
  test("is told as tables of policies, fronts and differences, and where the report is", async () => {
    const { status, out, err } = await run(["compare", ...runs, "--to", at("told")]);
    expect({ status, err }).toEqual({ status: 0, err: "" });
    const [policies = "", fronts = "", differences = "", gains = "", ...rest] = out.split("\n\n");
    expect(policies).toMatch(/^method +policy +a +b\n/);
    expect(policies).toMatch(/^mah-dpo +a=1,b=0 +1 \(1 to 1\) +0\.25 \(\S+ to \S+\) +front$/m);
    expect(policies).toMatch(/^sft +sft +0\.25 /m);
    expect(fronts).toMatch(/^method +hypervolume +least regret\n/);
    // 1 x 0.25 + 0.5 x (0.75 - 0.25).
    expect(fronts).toMatch(/^mah-dpo +0\.5 \(/m);
    expect(differences).toMatch(
      /^mah-dpo - dpo-mixed +hypervolume +0\.25 \(.*\) +mah-dpo is above dpo-mixed$/m,
    );
    expect(gains).toMatch(/^method +gain over sft +a +b\n/);
    expect(gains).toMatch(/^mah-dpo +a=1,b=0 +0\.75 \(.*\) \* +0 \(0 to 0\)$/m);
    expect(gains).not.toMatch(/^sft/m);
    expect(rest).toEqual([`report: ${at("told", "report.html")}\n`]);
    // Columns stand below each other, and no line ends in blanks.
    const column = policies.split("\n").map((line) => /^\S+ +/.exec(line)?.[0].length);
    expect(new Set(column).size).toBe(1);
    expect(out).not.toMatch(/ \n/);
  });

  test("as JSON names its files and holds what they hold", async () => {
    const { status, out, err } = await run(["compare", ...runs, "--to", at("json"), "--json"]);
    expect({ status, err }).toEqual({ status: 0, err: "" });
    const named = z.looseObject({ results: z.string(), html: z.string(), svgs: z.array(z.string()) });
    const { results, html, svgs, ...comparison } = parseJson(out, named, "standard output");
    expect({ results, html, svgs }).toEqual({
      results: at("json", "results.json"),
      html: at("json", "report.html"),
      svgs: [at("json", "front.svg")],
    });
    expect(comparison).toEqual(await readComparison(results));
  });

  test("writes its files whole, nothing beside them, and the same bytes again", async () => {
    const to = at("deep", "er");
    const read = async (): Promise<string[]> => {
      expect((await run(["compare", ...runs, "--to", to, "--quiet"])).status).toBe(0);
      const names = (await readdir(to)).sort();
      expect(names).toEqual(["front.svg", "report.html", "results.json"]);
      return Promise.all(names.map((name) => readFile(join(to, name), "utf8")));
    };
    const first = await read();
    expect(first[0]).toContain("</svg>");
    expect(first[1]).toContain("</html>");
    expect(await read()).toEqual(first);
  });

  test("says in a note where few seeds or other prompts limit it", async () => {
    const other = await heads("other", 1, "soup", 8);
    const { out } = await run(["compare", runs[0] ?? "", other, "--to", at("noted")]);
    expect(out).toContain("mah-dpo and soup are not compared prompt by prompt");
    expect(out).toContain("fewer than 3 seeds");
    expect(out).toContain("mah-dpo - sft");
    expect(out).not.toContain("mah-dpo - soup");
  });
});

describe("is refused, with nothing written,", () => {
  test("no run, or an option that is not there", async () => {
    expect(await refused()).toContain("runs");
    expect(await refused(...runs, "--too", "x")).toContain("--to");
  });

  test("a run that is not there, or was not evaluated, by its path", async () => {
    expect(await refused(at("nowhere"))).toContain(at("nowhere", "results.json"));
    const bare = await heads("bare", 7);
    await rm(at("bare", "evaluate"), { recursive: true });
    const said = await refused(runs[0] ?? "", bare);
    expect(said).toContain(`${bare}: has no answers to compare (evaluate/answers.jsonl)`);
    expect(said).toContain("E_COMPARE");
  });

  test("one recipe and seed twice, and runs judged on other objectives", async () => {
    const [first = ""] = runs;
    expect(await refused(first, first)).toContain(`${first}: has the same recipe and seed as ${first}`);
    const policies = [{ label: "dpo", shares: { a: 1, c: 1 } }];
    const other = await inventRun(folder, "judged", { method: "dpo", seed: 1, policies, prompts: 12 });
    expect(await refused(first, other)).toContain("was judged on a, c, the first run on a, b");
  });

  test("a damaged file, by its line and field", async () => {
    const damaged = await heads("damaged", 8);
    const answers = at("damaged", "evaluate", "answers.jsonl");
    const whole = await readFile(answers, "utf8");
    await writeFile(answers, whole.replace('"prompt":1,', '"prompt":"one",'));
    const said = await refused(damaged);
    expect(said).toContain(`${answers}:2`);
    expect(said).toContain("prompt");
    await writeFile(answers, `${whole.slice(0, 50)}\n`);
    expect(await refused(damaged)).toContain(`${answers}:1`);
    await writeFile(at("damaged", "results.json"), '{"format":"mahalo-results","version":1}');
    const outdated = await refused(damaged);
    expect(outdated).toContain(at("damaged", "results.json"));
    expect(outdated).toContain("version");
  });

  test("a folder to write to that is a file", async () => {
    await mkdir(at("taken"));
    await writeFile(at("taken", "file"), "");
    const { err, out } = await run(["compare", ...runs, "--to", at("taken", "file")]);
    expect(out).toBe("");
    expect(err).toContain(at("taken", "file"));
    expect(err).toContain("E_FILE_WRITE");
    expect(await readFile(at("taken", "file"), "utf8")).toBe("");
  });
});
