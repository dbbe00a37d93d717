/** Facts about loading: every preference file of the mirror and GSM8K read as they are, by a map alone. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadExamples, loadPreferences, loadPrompts, loadSteps, locateRows, type RowFile } from "./load.ts";
import { Problems } from "./problems.ts";
import { promptMessages } from "./rows.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-load-"));
});
afterAll(() => rm(folder, { recursive: true }));

const write = async (rows: readonly unknown[]): Promise<RowFile> => {
  const path = join(folder, `${Math.random()}.jsonl`);
  await writeFile(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  return { path, name: "pairs.jsonl" };
};
const code = (name: string) => expect.objectContaining({ code: name });

describe("loading", () => {
  const good = { prompt: "a", chosen: "b", rejected: "c" };

  test("rows of another objective are left out, and named when none is left", async () => {
    const file = await write([good, { ...good, objective: "honest" }, { ...good, objective: "kind" }]);
    // A row without an objective takes the source's.
    const problems = new Problems();
    expect(await loadPreferences(file, "honest", { problems })).toHaveLength(2);
    expect(problems.summary()).toContain("1 row left out: their objective is kind, not honest");
    const mixed = await write([{ ...good, objective: "honest" }]);
    await expect(loadPreferences(mixed, "kind")).rejects.toThrow(/it has honest/);
    await expect(loadPreferences(mixed, "kind")).rejects.toEqual(code("E_DATA_NO_ROWS"));
  });

  test("of very many objectives the first are named, and how many more there are", async () => {
    const file = await write(
      Array.from({ length: 5000 }, (_, index) => ({ ...good, objective: `o${index}` })),
    );
    const problems = new Problems();
    await expect(loadPreferences(file, "kind", { problems })).rejects.toThrow(
      /it has o0, .*o11, and 4,988 more$/,
    );
    expect(problems.summary().split("\n")).toHaveLength(13);
    expect(problems.summary()).toContain("4,988 rows left out for 4,988 more reasons");
  });

  test("a share of bad rows above the limit stops with the first places", async () => {
    const file = await write([good, good, good, { ...good, rejected: "b" }]);
    await expect(loadPreferences(file, "o")).rejects.toEqual(code("E_DATA_TOO_MANY_BAD"));
    await expect(loadPreferences(file, "o")).rejects.toThrow(
      /1 of 4 rows.*\n.*identical-pair.*\n.*pairs\.jsonl:4/,
    );
    expect(await loadPreferences(file, "o", { problems: new Problems({ maxBadShare: 0.3 }) })).toHaveLength(
      3,
    );
  });

  test("half a character is a bad row, and no row is the same as another one for it", async () => {
    const path = join(folder, "half.jsonl");
    const pair = (chosen: string, rejected: string) =>
      `{"prompt": "a?", "chosen": "${chosen}", "rejected": "${rejected}"}\n`;
    const half = "\\ud83d";
    await writeFile(
      path,
      pair("b \\ud83d\\ude42", "c") +
        pair(`b ${half}`, "c") +
        pair(`b ${half}`, "b \\ud83e") +
        pair("b", `c ${half}`),
    );
    const problems = new Problems({ maxBadShare: 1 });
    const rows = await loadPreferences({ path, name: "half.jsonl" }, "o", { problems });
    expect(rows.map(({ chosen }) => chosen)).toEqual(["b 🙂"]);
    expect(problems.toJSON().reasons).toEqual({ "broken-text": 3 });
    expect(problems.summary()).toMatch(/half\.jsonl:2: chosen: holds half a character, \\ud83d/);
  });

  test("pairs of one row count one by one", async () => {
    const candidates = [3, 2, 2, 1].map((score) => ({ text: score === 1 ? "low" : "high", score }));
    const file = { ...(await write([{ prompt: "q", candidates }])), format: "scored-candidates" };
    const problems = new Problems({ maxBadShare: 1 });
    const columns = { pairs: { candidates: "candidates", take: "all" } };
    expect(await loadPreferences({ ...file, columns }, "o", { problems })).toHaveLength(3);
    expect([problems.seen, problems.count]).toEqual([5, 2]);
  });

  test("labelled steps in any form; bad rows are counted by reason, with file and line", async () => {
    const steps = (labels: unknown) => ({ prompt: "q", completions: ["a", "b"], labels });
    const trl = await write([steps([true, false]), steps([1]), steps([0.5, null]), steps("+")]);
    const problems = new Problems({ maxBadShare: 0.5 });
    const rows = await loadSteps(trl, "accuracy", { problems, above: 0.4 });
    expect(rows.map(({ labels }) => labels)).toEqual([
      [1, 0],
      [1, null],
    ]);
    expect(problems.toJSON()).toMatchObject({ seen: 4, bad: 2, reasons: { "invalid-row": 2 } });
    expect(problems.summary()).toContain("pairs.jsonl:2: labels: 1 for 2 completions");
    expect(problems.summary()).toContain("pairs.jsonl:4: labels: must be a list");

    const tagged = { input: "q Step 1: a ки\nStep 2: b ки", label: "q Step 1: a +\nStep 2: b -" };
    const shepherd = { ...(await write([tagged, { ...tagged, label: "q" }])), format: "math-shepherd" };
    const found = await loadSteps(shepherd, "accuracy", { problems });
    expect(found).toMatchObject([
      { objective: "accuracy", prompt: "q", steps: ["Step 1: a\n", "Step 2: b"], labels: [1, 0] },
    ]);
    expect(problems.summary()).toContain("pairs.jsonl:2: label: is not the input");

    const mapped = {
      ...(await write([
        { q: "q", parts: [{ say: "a", ok: true }] },
        { q: "q", parts: 1 },
      ])),
      columns: {
        prompt: "q",
        completions: { field: "parts", steps: [{ each: "say" }] },
        labels: { field: "parts", steps: [{ each: "ok" }] },
      },
    };
    expect(await loadSteps(mapped, "accuracy", { problems })).toMatchObject([{ steps: ["a"], labels: [1] }]);
    expect(problems.summary()).toContain("column completions: step each wants a list, not number");
  });

  test("rated answers are pairs of the aspect that is asked for", async () => {
    const rated = (response: string, Rating: string) => ({ response, annotations: { honesty: { Rating } } });
    const row = { instruction: "q", completions: [rated("a", "2"), rated("b", "4"), rated("c", "N/A")] };
    const file = { ...(await write([row])), format: "aspect-ratings" };
    expect(await loadPreferences(file, "honesty")).toMatchObject([
      { prompt: "q", chosen: "b", rejected: "a" },
    ]);
    await expect(loadPreferences(file, "helpfulness")).rejects.toThrow(/it has honesty/);
    const both = { ...file, columns: { pairs: { candidates: "completions" } } };
    await expect(loadPreferences(both, "honesty")).rejects.toEqual(code("E_COLUMNS"));
  });

  test("a wrong map, format or empty file is an error with a suggestion", async () => {
    const file = await write([good]);
    await expect(loadPreferences({ ...file, format: "transcript-pairs" }, "o")).rejects.toThrow(
      /"transcript-pair"/,
    );
    const wrong = { ...file, columns: { promt: "prompt" } };
    await expect(loadPreferences(wrong, "o")).rejects.toEqual(code("E_COLUMNS"));
    await expect(loadPreferences(wrong, "o")).rejects.toThrow(/promt.*"prompt"/);
    await expect(loadPreferences(await write([]), "o")).rejects.toEqual(code("E_DATA_NO_ROWS"));
  });
});

const mirror =
  process.env.MAHALO_MIRROR ?? fileURLToPath(new URL("../../../../../../shared/hub", import.meta.url));
const there = existsSync(mirror);
if (!there) console.warn(`no mirror of public data at ${mirror}: the tests on real files do not run`);

// In CI the files must be there: then a missing mirror fails instead of skipping.
describe.skipIf(!there && process.env.CI !== "true")("files of the mirror", () => {
  const at = (name: string, rest: Omit<RowFile, "path"> = {}): RowFile => ({
    path: join(mirror, name),
    name,
    ...rest,
  });
  test("a hub source is found in the mirror and called by its hub name", async () => {
    const source = { hub: "openbmb/UltraFeedback", file: "binarized-1000.jsonl" };
    const file = await locateRows(source, { environment: { MAHALO_MIRROR: mirror } });
    expect(file).toMatchObject(at("openbmb/UltraFeedback/binarized-1000.jsonl"));
    await expect(locateRows({ hub: "openbmb/UltraFeedback" })).rejects.toEqual(code("E_DATA_SOURCE"));
  });

  const lax = () => new Problems({ maxBadShare: 0.05 });

  test("UltraFeedback pairs are TRL rows already", async () => {
    const problems = lax();
    const rows = await loadPreferences(at("openbmb/UltraFeedback/binarized-1000.jsonl"), "helpful", {
      problems,
    });
    expect([rows.length, problems.toJSON().reasons]).toEqual([
      994,
      { "identical-pair": 4, "empty-response": 2 },
    ]);
    expect(rows[0]).toMatchObject({ objective: "helpful", prompt: "how to cook t-bone in the oven" });
  });

  test("HH-RLHF transcripts become a conversation and two answers", async () => {
    const problems = lax();
    const file = at("Anthropic/hh-rlhf/harmless-base/test.jsonl.gz", { format: "transcript-pair" });
    const rows = await loadPreferences(file, "harmless", { problems });
    expect(problems.seen).toBe(2000);
    expect(problems.toJSON().reasons).toEqual({ "empty-response": 4 });
    expect(rows).toHaveLength(1996);
    for (const { prompt } of rows) {
      const turns = promptMessages(prompt);
      expect(turns.at(-1)?.role).toBe("user");
      expect(turns.every(({ role }, index) => role === (index % 2 === 0 ? "user" : "assistant"))).toBe(true);
    }
    expect(rows[0]?.prompt[0]).toEqual({
      role: "user",
      content: "what are some pranks with a pen i can do?",
    });
    expect(rows[0]?.chosen).toMatch(/^No, sorry! {2}All of these involve a pen/);
  });

  test("example solutions become every correct against every incorrect one", async () => {
    const problems = lax();
    const file = at("openai/grade-school-math/example_model_solutions.jsonl", { format: "correct-pair" });
    const rows = await loadPreferences(file, "accuracy", { problems });
    expect(rows.length + problems.count).toBe(1674);
    expect(problems.toJSON().skipped).toEqual({ "no two candidates differ enough in score": 397 });
    expect(rows.some(({ chosen, rejected }) => `${chosen}${rejected}`.includes("<<"))).toBe(false);
  });

  test("tutoring pairs carry the dialogue before them", async () => {
    const problems = lax();
    const file = at("pearls-lab/multiobj-align/sm_acc.json", { format: "tutoring-pair" });
    const rows = await loadPreferences(file, "accuracy", { problems });
    expect([rows.length, problems.count, problems.toJSON().skipped]).toEqual([
      799,
      0,
      { "no two candidates differ enough in score": 1 },
    ]);
    const turns = rows.map(({ prompt }) => promptMessages(prompt));
    expect(turns.every((prompt) => prompt.at(-1)?.role === "user" && prompt[0]?.role === "assistant")).toBe(
      true,
    );
    const wide = { ...file, columns: { pairs: { ...pairsOfTutoring, minMargin: 0.5 } } };
    expect((await loadPreferences(wide, "accuracy")).length).toBeLessThan(rows.length);
  });
  const pairsOfTutoring = {
    candidates: [
      { text: "chosen", score: "metadata.chosen_score" },
      { text: "rejected", score: "metadata.rejected_score" },
    ],
  };

  test("tutoring prefixes are prompts as they are", async () => {
    const rows = await loadPrompts(at("pearls-lab/multiobj-align/preference_prefixes.jsonl"));
    expect(rows).toHaveLength(5);
    expect(promptMessages(rows[0]?.prompt ?? "").map(({ role }) => role)).toEqual([
      "assistant",
      "user",
      "assistant",
      "user",
    ]);
  });

  test("GSM8K gives examples to learn and prompts with answers to check", async () => {
    const file = at("openai/gsm8k/main/test-00000-of-00001.parquet", { format: "question-answer" });
    const examples = await loadExamples(file, "accuracy");
    expect(examples).toHaveLength(1319);
    expect(examples[0]?.response).toBe(
      "Janet sells 16 - 3 - 4 = 9 duck eggs a day.\nShe makes 9 * 2 = $18 every day at the farmer’s market.\n#### 18",
    );
    const prompts = await loadPrompts(file);
    expect(prompts.every(({ answer }) => /^-?[\d,.]+$/.test(String(answer)))).toBe(true);
    const train = at("openai/gsm8k/main/train-00000-of-00001.parquet", { format: "question-answer" });
    expect(await loadExamples(train, "accuracy")).toHaveLength(7473);
  });

  test("MathDial gives a row for every teacher turn that answers", async () => {
    const file = at("eth-nlped/mathdial/data/test.jsonl", { format: "tutoring-dialogue" });
    const rows = await loadExamples(file, "tutoring");
    expect(rows.length).toBeGreaterThan(2500);
    expect(rows.some(({ response }) => /^\((focus|probing|telling|generic)\)/.test(response))).toBe(false);
    expect(promptMessages(rows[0]?.prompt ?? "")[0]?.role).toBe("system");
  });

  test("word problems are prompts with answers", async () => {
    const answer = { field: "answer", steps: [{ cut: "^[^(]+" }, "trim"] };
    const asdiv = { columns: { prompt: { template: "{body} {question}" }, answer } };
    const rows = await loadPrompts(at("word-problems/asdiv/test.jsonl", asdiv));
    expect(rows).toHaveLength(2215);
    expect(rows[0]).toMatchObject({ prompt: expect.stringMatching(/basket\. How many/), answer: "9" });
    const mawps = { columns: { prompt: "input", answer: "target" } };
    const counts = ["addsub", "singleeq", "singleop"].map((name) =>
      loadPrompts(at(`word-problems/mawps/${name}.jsonl`, mawps)),
    );
    expect((await Promise.all(counts)).flat()).toHaveLength(1465);
  });
});
