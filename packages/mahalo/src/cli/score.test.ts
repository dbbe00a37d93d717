/** mahalo score: files in other people's forms in, scores of steps and what they are worth out. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { saveRewardModel } from "../model/reward/reward-model.ts";
import { ALL_KINDS, tinyRewards } from "../model/testing/rewards.ts";
import { runCli } from "./program.ts";

/** What a command line wrote, and how it ended. */
const run = async (words: readonly string[]): Promise<{ status: number; out: string; err: string }> => {
  let [out, err] = ["", ""];
  const status = await runCli(words, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    signal: new AbortController().signal,
    colour: false,
  });
  return { status, out, err };
};

let folder = "";
const at = (name: string): string => join(folder, name);
const put = async (name: string, data: string | Uint8Array): Promise<string> => {
  await writeFile(at(name), data);
  return at(name);
};
const jsonLines = (...rows: readonly unknown[]): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join("");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-score-"));
  const several = await tinyRewards("tiny-llama", ALL_KINDS, { boundary: { by: "line" } });
  await saveRewardModel(several, at("several"));
  several.dispose();
  const one = await tinyRewards("tiny-qwen2", [{ name: "accuracy", kind: "soft" }]);
  await saveRewardModel(one, at("one"));
  one.dispose();
});
afterAll(() => rm(folder, { recursive: true }));

const numbers = { last: z.number(), min: z.number(), product: z.number(), mean: z.number() };
const side = z.strictObject({
  response: z.string(),
  steps: z
    .array(z.strictObject({ text: z.string(), score: z.number(), label: z.number().optional() }))
    .min(1),
  ...numbers,
});
const row = z.looseObject({
  row: z.string(),
  objective: z.string(),
  ...side.partial().shape,
  chosen: side.optional(),
  rejected: side.optional(),
});
const labelMetrics = z.looseObject({ count: z.int(), accuracy: z.number(), auc: z.number().optional() });
const metrics = z.looseObject({
  rows: z.int(),
  mean: z.record(z.string(), z.number()),
  pairs: z.record(z.string(), z.looseObject({ count: z.int(), accuracy: z.number() })).optional(),
  responses: z.record(z.string(), labelMetrics).optional(),
  steps: labelMetrics.optional(),
});
const resultSchema = z.strictObject({ rows: z.array(row), metrics: z.record(z.string(), metrics) });

const score = async (...words: string[]): Promise<z.output<typeof resultSchema>> => {
  const { status, out, err } = await run(["score", ...words, "--json"]);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return parseJson(out, resultSchema, "stdout");
};
const fail = async (...words: string[]): Promise<string> => {
  const { status, err } = await run(["score", ...words]);
  expect(status).toBe(2);
  return err;
};
const f32 = ["--precision", "f32"];

describe("a reward model", () => {
  test("scores every step of stepwise rows, as TRL has them, against their labels", async () => {
    const file = await put(
      "steps.jsonl",
      jsonLines(
        { prompt: "1 + 1?", completions: ["One and one.", "That is 2."], labels: [true, true] },
        { prompt: "1 + 2?", completions: ["One and two.", "Hm.", "That is 4."], labels: [true, null, false] },
      ),
    );
    const { rows, metrics: found } = await score(at("one"), "--rows", file, ...f32);
    expect(rows.map((row) => row.steps?.map(({ text, label }) => [text, label]))).toEqual([
      [
        ["One and one.\n", 1],
        ["That is 2.", 1],
      ],
      [
        ["One and two.\n", 1],
        ["Hm.\n", undefined],
        ["That is 4.", 0],
      ],
    ]);
    for (const { steps = [], last, min } of rows) {
      const scores = steps.map((step) => step.score);
      expect([last, min]).toEqual([scores.at(-1), Math.min(...scores)]);
    }
    expect(found.accuracy?.steps).toMatchObject({
      count: 4,
      auc: expect.any(Number),
      ece: expect.any(Number),
    });
  });

  test("scores steps alike whether rows bring them or the boundary finds them", async () => {
    const steps = ["One and one.\n", "That is 2.\n", "So 2."];
    const given = await put("given.jsonl", jsonLines({ prompt: "1 + 1?", completions: steps }));
    const found = await put("found.json", JSON.stringify([{ prompt: "1 + 1?", response: steps.join("") }]));
    const [first] = (await score(at("one"), "--rows", given, ...f32)).rows;
    const [second] = (await score(at("one"), "--rows", found, "--step", "line", ...f32)).rows;
    expect(second?.steps).toEqual(first?.steps);
    // The model does not say what it was trained on, so the whole response is a step.
    const [whole] = (await score(at("one"), "--rows", found, ...f32)).rows;
    expect(whole?.steps?.map(({ text }) => text)).toEqual([steps.join("")]);
    expect(whole?.last).toBeCloseTo(first?.last ?? Number.NaN, 5);
  });

  test("scores both sides of pairs in a format of others, gzipped, on the objective that is asked for", async () => {
    const talk = (reply: string): string => `\n\nHuman: Hello?\n\nAssistant: ${reply}`;
    const pairs = ["Hi there!", "Good day."].map((chosen) => ({
      chosen: talk(chosen),
      rejected: talk("No."),
    }));
    const file = await put("hh.jsonl.gz", gzipSync(jsonLines(...pairs)));
    const words = ["--rows", file, "--format", "transcript-pair", "--objective", "helpful", ...f32];
    const { rows, metrics: found } = await score(at("several"), ...words);
    const right = rows.filter(({ chosen, rejected }) => (chosen?.last ?? 0) > (rejected?.last ?? 0)).length;
    expect(rows.map(({ row: place, chosen }) => [place, chosen?.response])).toEqual([
      [`${file}:1`, "Hi there!"],
      [`${file}:2`, "Good day."],
    ]);
    expect(found.helpful?.pairs?.last).toMatchObject({ count: 2, accuracy: right / 2 });
  });

  test("scores rows of several objectives, each on its own; labelled responses too; other columns by a map", async () => {
    const file = await put(
      "kto.jsonl",
      jsonLines(
        { q: "1 + 1?", a: "2.", good: true, about: "clarity" },
        { q: "1 + 1?", a: "3.", good: false, about: "clarity" },
        { q: "1 + 2?", a: "3.", good: true, about: "engagement" },
      ),
    );
    const renamed = (await readFile(file, "utf8")).replaceAll('"good"', '"label"');
    await put(
      "label.jsonl",
      renamed
        .replaceAll('"q"', '"prompt"')
        .replaceAll('"a"', '"completion"')
        .replaceAll('"about"', '"objective"'),
    );
    const { metrics: found } = await score(at("several"), "--rows", at("label.jsonl"), ...f32);
    expect(Object.keys(found)).toEqual(["clarity", "engagement"]);
    expect(found.clarity?.responses?.last).toMatchObject({ count: 2, auc: expect.any(Number) });
    expect(found.engagement?.responses?.last).not.toHaveProperty("auc");
    const map = '{"prompt": "q", "response": "a", "objective": "about"}';
    const mapped = await score(at("several"), "--rows", file, "--columns", map, ...f32);
    expect(mapped.metrics.clarity?.mean).toEqual(found.clarity?.mean);
  });

  test("writes rows to a file, whole, and says what came of it", async () => {
    const file = await put("rows.jsonl", jsonLines({ prompt: "1?", completion: "1." }));
    const { status, out } = await run(["score", at("one"), "--rows", file, "--out", at("out.jsonl"), ...f32]);
    expect({ status, out }).toEqual({
      status: 0,
      out: expect.stringMatching(/out\.jsonl: 1 row\naccuracy: 1 row; mean last 0\./),
    });
    const written = parseJson(await readFile(at("out.jsonl"), "utf8"), row, "out.jsonl");
    expect(written).toMatchObject({ row: `${file}:1`, response: "1.", objective: "accuracy" });
    const shown = await run(["score", at("one"), "--rows", file, "--quiet", ...f32]);
    expect(shown.out).toMatch(/rows\.jsonl:1 accuracy\n {2}last 0\.\d{3}, .*\n {4}0\.\d{3} {2}1\.\n/);
  });
});

describe("a judge", () => {
  const answers = (): Promise<string> =>
    put(
      "answers.jsonl",
      jsonLines(
        { prompt: "1 + 1?", response: "The answer is 2.", answer: 2, label: true },
        { prompt: "1 + 1?", response: "The answer is 3.", answer: 2, label: false },
        { prompt: "1 + 1?", chosen: "The answer is 2.", rejected: "The answer is 5.", answer: "2" },
      ),
    );

  test("scores responses, with its reasons, and ranks pairs", async () => {
    const { status, out } = await run(["score", "--judge", "sum", "--rows", await answers(), "--json"]);
    expect(status).toBe(0);
    const { rows, metrics: found } = parseJson(
      out,
      z.looseObject({ rows: z.array(z.unknown()), metrics: z.unknown() }),
      "stdout",
    );
    expect(rows).toMatchObject([
      { score: 1, reason: expect.stringContaining("right"), objective: "sum" },
      { score: 0 },
      { chosen: { score: 1 }, rejected: { score: 0 } },
    ]);
    expect(found).toMatchObject({
      sum: {
        rows: 3,
        pairs: { score: { count: 1, accuracy: 1, ties: 0 } },
        responses: { score: { auc: 1, accuracy: 1 } },
      },
    });
  });

  test("ends with as many responses as it judged, both sides of a pair", async () => {
    const written = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    try {
      for (const judge of ["sum", "{kind: rule, maxWords: 3}"]) {
        await run(["score", "--judge", judge, "--rows", await answers()]);
        expect(written.mock.lastCall?.[0], judge).toMatch(/score: 4 responses in /);
      }
    } finally {
      written.mockRestore();
    }
  });

  test("ends with a status of its own where it has no verdict on any response", async () => {
    const rows = await put("no-answer.jsonl", jsonLines({ prompt: "1?", completion: "1." }));
    const file = await put("abstains.mjs", "export const abstains = () => null;\n");
    const { status, out } = await run([
      "score",
      "--judge",
      `{kind: function, file: ${file}}`,
      "--rows",
      rows,
    ]);
    expect(status).toBe(3);
    expect(out).toMatch(/1 row, 1 without a verdict\n$/);
  });

  test("may be a reward model, or have options", async () => {
    const judge = JSON.stringify({ kind: "model", model: at("one"), precision: "f32", aggregate: "min" });
    expect((await run(["score", "--judge", judge, "--rows", await answers(), "--json"])).status).toBe(0);
    const words = await run([
      "score",
      "--judge",
      "{kind: rule, maxWords: 3}",
      "--rows",
      await answers(),
      "--quiet",
    ]);
    expect(words.out).toMatch(/0\.000 {2}4 words, at most 3 wanted/);
  });
});

describe("errors", () => {
  test("say what is missing or wrong, with the place", async () => {
    const file = await put("good.jsonl", jsonLines({ prompt: "1?", completion: "1." }));
    expect(await fail("--rows", file)).toMatch(/either a reward model or a judge/);
    expect(await fail(at("one"), "--judge", "sum", "--rows", file)).toMatch(
      /either a reward model or a judge/,
    );
    expect(await fail(at("several"), "--rows", file, ...f32)).toMatch(
      /several objectives: it has accuracy, clarity/,
    );
    expect(await fail(at("one"), "--rows", file, "--objective", "acuracy", ...f32)).toMatch(/acuracy/);
    expect(await fail(at("one"), "--rows", at("none.jsonl"), ...f32)).toMatch(/none\.jsonl/);
    const bad = await put("bad.jsonl", jsonLines({ prompt: "1?", completions: ["a", "b"], labels: [1] }));
    expect(await fail(at("one"), "--rows", bad, ...f32)).toMatch(/bad\.jsonl:1: labels: 1 for 2 completions/);
    const long = await put("long.jsonl", jsonLines({ prompt: "1?", completion: "so it is ".repeat(400) }));
    expect(await fail(at("one"), "--rows", long, ...f32)).toMatch(
      /long\.jsonl:1: its \d+ tokens are more than/,
    );
  });
});
