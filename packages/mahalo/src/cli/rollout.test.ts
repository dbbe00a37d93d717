/** mahalo rollout, relabel and pairs: from files in other people's forms to stepwise rows and pairs. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { answers, startEndpoint } from "../endpoint/testing/server.ts";
import { tinyFolder } from "../model/testing/tiny.ts";
import { allRollouts } from "../rollout/file.ts";
import { ending, rolloutRow } from "../rollout/testing/rollout-row.ts";
import { runCli } from "./program.ts";

/** Runs a command line: the status it ends with, and what it wrote. */
const run = async (words: readonly string[]): Promise<{ status: number; out: string; err: string }> => {
  const written = { out: "", err: "" };
  const status = await runCli(words, {
    out: (text) => {
      written.out += text;
    },
    err: (text) => {
      written.err += text;
    },
    signal: new AbortController().signal,
    colour: false,
  });
  return { status, ...written };
};

let folder = "";
const at = (name: string): string => join(folder, name);
const model = tinyFolder("tiny-llama");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-rollout-"));
  // As GSM8K has them, and a JSON array with fields of its own.
  const worked = { question: "1 + 1?", answer: "It is <<1+1=2>>2.\nSo two.\n#### 2" };
  await writeFile(
    at("worked.jsonl"),
    `${JSON.stringify(worked)}\n${JSON.stringify({ ...worked, question: "2?" })}\n`,
  );
  await writeFile(
    at("problems.json"),
    JSON.stringify([
      { input: "How many?", target: 43 },
      { input: "And?", target: 2.5 },
    ]),
  );
  const talk = [
    { role: "user", content: "It is 5." },
    { role: "assistant", content: "Is it?" },
    { role: "user", content: "Hm, why?" },
    { role: "assistant", content: "Count." },
    { role: "user", content: "4." },
  ];
  await writeFile(at("talks.jsonl"), `${JSON.stringify({ messages: talk })}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

const rule = "{kind: rule, minWords: 1}";
const ask = async (...words: string[]): Promise<unknown> => {
  const { status, out, err } = await run([...words, "--json"]);
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return parseJson(out, z.unknown(), "stdout");
};
const lines = async (name: string): Promise<unknown[]> => {
  const text = await readFile(at(name), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => parseJson(line, z.unknown(), name));
};

describe("rollout", () => {
  const short = ["--max-new-tokens", "6", "--samples", "2", "--precision", "f32"];

  test("any of several answers is right, and rows without one are left out and counted", async () => {
    const given = [["3", "three"], true, null, ""].map((answer) => ({ prompt: "2 + 1?", answer }));
    await writeFile(at("several.jsonl"), given.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const words = ["--rows", at("several.jsonl"), "--judge", "math", "--out", at("several-out.jsonl")];
    const { status, err } = await run(["rollout", model, ...words, ...short, "--samples", "1"]);
    expect({ status, counted: err.includes("2 rows left out: they have no answer") }).toEqual({
      status: 0,
      counted: true,
    });
    const rows = await allRollouts(at("several-out.jsonl"));
    expect(rows.map(({ answer }) => answer)).toEqual([["3", "three"], "true"]);
  });

  test("goes on from every step of worked answers, and from a file that was cut short to the same bytes", async () => {
    const words = [
      "--rows",
      at("worked.jsonl"),
      "--format",
      "question-answer",
      "--judge",
      rule,
      "--step",
      "line",
    ];
    const out = at("worked.rollouts.jsonl");
    const command = ["rollout", model, ...words, "--out", out, "--batch-size", "1", ...short];
    expect(await ask(...command)).toMatchObject({ file: out, rows: 2, rollouts: 8, kept: 0 });
    const [row] = await allRollouts(out);
    expect(row).toMatchObject({ steps: ["It is 2.\n", "So two.\n", "#### 2"], answer: "2", kind: "judged" });
    expect(row?.rollouts.map(({ from, finish }) => [from, finish === "recorded"])).toEqual([
      [1, false],
      [1, false],
      [2, false],
      [2, false],
      [3, true],
    ]);
    const whole = await readFile(out);
    await writeFile(out, whole.subarray(0, whole.length - 20));
    expect(await ask(...command)).toMatchObject({ kept: 1 });
    expect(await readFile(out)).toEqual(whole);
    const { status, err } = await run([...command, "--seed", "1"]);
    expect(status).toBe(2);
    expect(err).toContain("E_ROLLOUT_OTHER");
  });

  test("answers prompts out of a column map", async () => {
    const out = at("problems.rollouts.jsonl");
    const columns = "{prompt: input, answer: target}";
    const words = ["--rows", at("problems.json"), "--columns", columns, "--judge", "sum", "--out", out];
    expect(await ask("rollout", model, ...words, ...short)).toMatchObject({ rows: 2, rollouts: 4 });
    const rows = await allRollouts(out);
    expect(rows.map(({ answer, kind, steps }) => [answer, kind, steps])).toEqual([
      ["43", "verifiable", []],
      ["2.5", "verifiable", []],
    ]);
    for (const { rollouts } of rows)
      for (const { cuts, text } of rollouts) expect(cuts?.at(-1)).toBe(text.length);
  });

  test("takes the recorded replies of dialogues without a model, or lets one be the student", async () => {
    const words = ["--rows", at("talks.jsonl"), "--dialogues", "--judge", "{kind: rule, asksQuestion: true}"];
    const out = at("talks.rollouts.jsonl");
    expect(await ask("rollout", ...words, "--out", out)).toMatchObject({ rows: 2, rollouts: 0 });
    const rows = await allRollouts(out);
    expect(rows.map(({ steps, rollouts }) => [steps, rollouts.map(({ score }) => score)])).toEqual([
      [["Is it?"], [1]],
      [["Count."], [0]],
    ]);
    const simulated = await ask(
      "rollout",
      model,
      ...words,
      "--simulate-all",
      "--out",
      at("s.jsonl"),
      ...short,
    );
    expect(simulated).toMatchObject({ rows: 2, rollouts: 4 });
  });

  test("lets an endpoint answer, by chat or by the model's tokens", async () => {
    const server = await startEndpoint(answers(({ body }) => `It is ${(body.seed ?? 0) % 9}.\nDone.`));
    const words = ["--rows", at("problems.json"), "--columns", "{prompt: input, answer: target}"];
    const asked = ["rollout", ...words, "--judge", "sum", "--samples", "2", "--step", "line"];
    const endpoint = ["--endpoint", server.baseUrl, "--endpoint-model", "big", "--out", at("chat.jsonl")];
    expect(await ask(...asked, ...endpoint)).toMatchObject({ rows: 2, rollouts: 4 });
    expect(server.seen[0]).toMatchObject({ path: "/v1/chat/completions", body: { model: "big" } });
    const [row] = await allRollouts(at("chat.jsonl"));
    expect(row?.rollouts[0]).toMatchObject({ finish: "end", steps: 2, cuts: [9, 14] });
    expect(await ask(...asked, ...endpoint)).toMatchObject({ kept: 2 });

    const declared = `{baseUrl: "${server.baseUrl}", model: big, api: completions}`;
    const byTokens = [
      "rollout",
      model,
      ...asked.slice(1),
      "--endpoint",
      declared,
      "--out",
      at("tokens.jsonl"),
    ];
    expect(await ask(...byTokens)).toMatchObject({ rows: 2, rollouts: 4 });
    expect(server.seen.at(-1)).toMatchObject({
      path: "/v1/completions",
      body: { prompt: expect.arrayContaining([expect.any(Number)]) },
    });
    const wrong = async (...more: string[]) => (await run([...asked, "--out", at("no.jsonl"), ...more])).err;
    expect(await wrong("--endpoint", server.baseUrl)).toMatch(/--endpoint: model: .*--endpoint-model/s);
    expect(await wrong("--endpoint-model", "big")).toContain(
      "--endpoint-model and --endpoint-key-env need --endpoint",
    );
    expect(await wrong("--endpoint", declared, "--mix", "a=1")).toContain("--mix");
    expect(await wrong("--endpoint", declared)).toContain("needs a tokenizer");
    await server.close();
  });

  test("says what is missing", async () => {
    const words = ["--rows", at("problems.json"), "--columns", "{prompt: input}", "--out", at("no.jsonl")];
    const errors = async (...more: string[]) => (await run(["rollout", ...words, ...more])).err;
    expect(await errors("--judge", "sum")).toContain("name the model");
    expect(await errors(model, "--judge", "sun")).toContain('unknown judge "sun"');
    expect(await errors(model, "--judge", "sum", "--step", "lines")).toContain('Did you mean "line"?');
    expect(await errors(model, "--judge", "sum", "--from", "response", ...short)).toContain(
      "problems.json:1: has no response to continue",
    );
  });
});

describe("relabel and pairs", () => {
  beforeAll(async () => {
    const row = rolloutRow({
      rollouts: [
        ending({ sample: 0, text: "2 + 2\n\nis 4", steps: 2, cuts: [7, 11], score: 1 }),
        ending({ sample: 1, text: "is it 5?", cuts: [8], score: 0 }),
      ],
    });
    await writeFile(at("hand.jsonl"), `${JSON.stringify(row)}\n`);
  });

  test("relabel writes TRL's stepwise rows", async () => {
    const out = at("steps.jsonl");
    expect(await ask("relabel", at("hand.jsonl"), "--gamma", "0.5", "--out", out)).toEqual({
      file: out,
      rows: 2,
      labels: 3,
      meanLabel: 0.5,
    });
    expect(await lines("steps.jsonl")).toMatchObject([
      { completions: ["2 + 2\n\n", "is 4"], labels: [0.5, 1], objective: "accuracy", kind: "verifiable" },
      { completions: ["is it 5?"], labels: [0] },
    ]);
    const judged = ["--target", "judge", "--judge", "{kind: rule, asksQuestion: true}", "--out", out];
    expect(await ask("relabel", at("hand.jsonl"), ...judged)).toMatchObject({ labels: 3 });
    expect((await lines("steps.jsonl"))[1]).toMatchObject({ labels: [1] });
    expect((await run(["relabel", at("hand.jsonl"), "--target", "judge", "--out", out])).err).toContain(
      "--judge",
    );
  });

  test("pairs writes preference rows, under another judge too", async () => {
    const out = at("pairs.jsonl");
    const words = ["pairs", at("hand.jsonl"), "--out", out];
    expect(await ask(...words, "--take", "correct", "--per-prompt", "4")).toMatchObject({
      prompts: 1,
      pairs: 1,
    });
    expect(await lines("pairs.jsonl")).toMatchObject([
      { objective: "accuracy", chosen: "2 + 2\n\nis 4", rejected: "is it 5?", source: { line: 1 } },
    ]);
    await ask(...words, "--judge", "{kind: rule, asksQuestion: true}", "--objective", "engagement");
    expect(await lines("pairs.jsonl")).toMatchObject([{ objective: "engagement", chosen: "is it 5?" }]);
  });

  test("both end with a status of their own where nothing comes of it, and refuse a file without rollouts", async () => {
    const out = at("none.jsonl");
    const {
      status,
      out: said,
      err,
    } = await run(["pairs", at("hand.jsonl"), "--min-margin", "2", "--out", out]);
    expect({ status, said }).toEqual({ status: 3, said: `${out}: 0 pairs out of 1 row\n` });
    expect(err).toContain("no two answers of a prompt differ enough");
    const unjudged = rolloutRow({ rollouts: [ending({ sample: 0, text: "4", cuts: [1], score: null })] });
    await writeFile(at("unjudged.jsonl"), `${JSON.stringify(unjudged)}\n`);
    expect((await run(["relabel", at("unjudged.jsonl"), "--out", out])).status).toBe(3);
    await writeFile(at("empty.jsonl"), "");
    for (const name of ["pairs", "relabel"]) {
      const refused = await run([name, at("empty.jsonl"), "--out", out]);
      expect(refused.status).toBe(2);
      expect(refused.err).toContain("empty.jsonl: holds no rollouts");
    }
  });

  test("both name the line of a file that is none of theirs", async () => {
    const { status, err } = await run(["pairs", at("talks.jsonl"), "--out", at("x.jsonl")]);
    expect(status).toBe(2);
    expect(err).toContain(`${at("talks.jsonl")}:1`);
  });
});
