/** mahalo generate: prompts in, answers out, whole or not at all. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../core/json.ts";
import { visible } from "../core/visible.ts";
import { layOutModel, type Ran, type RunOptions, run } from "./testing/run.ts";

let folder = "";
let model = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-generate-"));
  model = await layOutModel(folder);
});
afterAll(() => rm(folder, { recursive: true }));

const file = (name: string): string => join(folder, name);
const put = async (name: string, data: string | Uint8Array): Promise<string> => {
  await writeFile(file(name), data);
  return file(name);
};
const lines = (...rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** A call with short answers in float32. */
const generate = (words: readonly string[], options?: RunOptions): Promise<Ran> =>
  run(["generate", model, "--max-new-tokens", "8", "--precision", "f32", "--quiet", ...words], options);

const answerSchema = z.strictObject({
  prompt: z.unknown(),
  response: z.string(),
  finish: z.string(),
  tokens: z.int().positive(),
  mix: z.record(z.string(), z.number()).optional(),
  answer: z.string().optional(),
});
type Answer = z.output<typeof answerSchema>;
const answersOf = ({ status, out, err }: Ran): Answer[] => {
  expect({ status, err }).toEqual({ status: 0, err: "" });
  return parseJson(out, z.array(answerSchema), "standard output");
};
const written = async (path: string): Promise<Answer[]> =>
  (await readFile(path, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => parseJson(line, answerSchema, path));
const responses = (answers: readonly Answer[]): string[] => answers.map(({ response }) => response);
/** Answers to prompts one after the other, each by a call of its own. */
const alone = async (prompts: readonly string[], ...more: string[]): Promise<string[]> => {
  const all: string[] = [];
  for (const prompt of prompts) {
    all.push(...responses(answersOf(await generate(["--prompt", prompt, "--json", ...more]))));
  }
  return all;
};

describe("one prompt", () => {
  test("is answered on standard output, and as JSON under --json", async () => {
    const [answer] = answersOf(await generate(["--prompt", "hello", "--json"]));
    expect(answer).toMatchObject({ prompt: "hello", finish: "length", tokens: 8 });
    expect(answer).not.toHaveProperty("mix");
    expect(await generate(["--prompt", "hello"])).toEqual({
      status: 0,
      out: `${answer?.response}\n`,
      err: "",
    });
  });

  test("is answered under each mix that is given, the model being read once", async () => {
    const mixes = ["--mix", "accuracy=1", "--mix", "engagement=2"];
    const answers = answersOf(await generate(["--prompt", "hello", "--json", ...mixes]));
    expect(answers.map(({ mix }) => mix)).toEqual([{ accuracy: 1 }, { engagement: 2 }]);
    const [first, second] = responses(answers);
    expect(first).not.toBe(second);
    const { out } = await generate(["--prompt", "hello", ...mixes]);
    expect(out).toBe(visible(`── accuracy=1\n${first}\n── engagement=2\n${second}\n`));
    expect(await alone(["hello"], "--mix", "engagement=1")).toEqual([second]);
  });

  test("is answered at positions and by a target, by what is kept beside the model", async () => {
    const measured = (weight: number, share: number) => ({
      label: String(weight),
      mix: { accuracy: 1 - weight, engagement: weight },
      results: {
        accuracy: { mean: 1 - share, low: 0.9 - share, high: 1, n: 9, method: "wilson" },
        engagement: { mean: share, low: share, high: 1, n: 9, method: "wilson" },
      },
    });
    const points = [0, 0.5, 1].map((position) => ({
      weight: position ** 2,
      position,
      low: position,
      high: position,
    }));
    const control = {
      ...{
        format: "mahalo-control",
        version: 1,
        run: "tiny",
        prompts: 9,
        objectives: ["accuracy", "engagement"],
      },
      points: [measured(0, 0), measured(0.25, 0.5), measured(1, 1)],
      scale: { objectives: ["accuracy", "engagement"], points },
    };
    const asked = ["--prompt", "hello", "--json", "--at", "0", "--at", "0.5", "--mix", "engagement=1"];
    const missing = await generate(asked);
    expect([missing.status, missing.err]).toEqual([
      2,
      expect.stringMatching(/nothing was measured of this model/),
    ]);
    await writeFile(join(model, "control.json"), JSON.stringify(control));
    const answers = answersOf(await generate(asked));
    expect(answers.map(({ mix }) => mix)).toEqual([
      { engagement: 1 },
      { accuracy: 1, engagement: 0 },
      { accuracy: 0.75, engagement: 0.25 },
    ]);
    const [reached] = answersOf(await generate(["--prompt", "hello", "--json", "--target", "accuracy>=50%"]));
    expect(reached?.mix).toEqual({ accuracy: 0.75, engagement: 0.25 });
    const twice = ["--target", "accuracy>=0.9", "--target", "engagement>=0.9"];
    for (const [words, says] of [
      [twice, /no mix is expected to reach/],
      [["--at", "1.5"], /position 1.5 is not between/],
      [["--target", "accuracy=1"], /not of the form/],
    ] as const) {
      const { status, err } = await generate(["--prompt", "hello", ...words]);
      expect([status, err]).toEqual([2, expect.stringMatching(says)]);
    }
    await rm(join(model, "control.json"));
  });

  test("takes a system message, a stop string and penalties", async () => {
    const [plain = ""] = await alone(["hello"]);
    expect(await alone(["hello"], "--system", "Answer in one word.")).not.toEqual([plain]);
    const stop = plain.slice(2, 4);
    expect(await alone(["hello"], "--stop", stop)).toEqual([plain.slice(0, plain.indexOf(stop))]);
    // Few words come twice in a short answer of a tiny model.
    const long = ["--max-new-tokens", "60"];
    const repeating = await alone(["hello"], ...long);
    for (const [penalty, value] of [
      ["--repetition-penalty", "1e6"],
      ["--frequency-penalty", "2"],
      ["--presence-penalty", "2"],
    ] as const)
      expect(await alone(["hello"], ...long, penalty, value)).not.toEqual(repeating);
    const { status, err } = await generate(["--prompt", "hello", "--presence-penalty", "3"]);
    expect([status, err]).toEqual([2, expect.stringContaining("--presence-penalty")]);
  });
});

describe("a seed", () => {
  const sampled = ["--temperature", "1.5", "--seed"];
  test("given again gives the same answers, and another one others", async () => {
    const prompts = ["hello", "again"];
    const first = await alone(prompts, ...sampled, "3");
    expect(await alone(prompts, ...sampled, "3")).toEqual(first);
    expect(await alone(prompts, ...sampled, "4")).not.toEqual(first);
  });

  test("gives each prompt of a file its own luck, whatever the batch", async () => {
    const path = await put("luck.txt", "hello\nhello\nhello\n");
    const one = responses(answersOf(await generate(["--prompts", path, "--json", ...sampled, "3"])));
    expect(new Set(one).size).toBe(3);
    const other = await generate(["--prompts", path, "--json", "--batch-size", "2", ...sampled, "3"]);
    expect(responses(answersOf(other))).toEqual(one);
  });
});

describe("a file of prompts", () => {
  const prompts = ["hello", "what is 2 + 3?"];

  test.each([
    ["JSON lines", "p.jsonl", () => lines({ prompt: prompts[0] }, { prompt: prompts[1] })],
    ["a JSON array", "p.json", () => JSON.stringify(prompts.map((prompt) => ({ prompt })))],
    ["gzip", "p.jsonl.gz", () => gzipSync(lines({ prompt: prompts[0] }, { prompt: prompts[1] }))],
    ["lines of text", "p.txt", () => `${prompts[0]}\n\n${prompts[1]}\n`],
  ])("may be %s", async (_kind, name, data) => {
    const answers = answersOf(await generate(["--prompts", await put(name, data()), "--json"]));
    expect(answers.map(({ prompt }) => prompt)).toEqual(prompts);
    expect(responses(answers)).toEqual(await alone(prompts));
  });

  test("may hold conversations, and what the right answer is", async () => {
    const prompt = [
      { role: "user", content: "2 + 3?" },
      { role: "assistant", content: "5" },
      { role: "user", content: "and 1?" },
    ];
    const path = await put("messages.jsonl", lines({ prompt, answer: 6 }));
    expect(answersOf(await generate(["--prompts", path, "--json"]))).toMatchObject([{ prompt, answer: "6" }]);
  });

  test("in a named format is read as a recipe reads it", async () => {
    const path = await put("gsm.jsonl", lines({ question: prompts[1], answer: "2 and 3 are 5.\n#### 5" }));
    const answers = answersOf(await generate(["--prompts", path, "--json", "--format", "question-answer"]));
    expect(answers.map(({ prompt }) => prompt)).toEqual([prompts[1]]);
    expect(responses(answers)).toEqual(await alone([prompts[1] ?? ""]));
  });

  test("is answered into a file, a line for each prompt and mix", async () => {
    const from = await put("out.txt", prompts.join("\n"));
    const to = file("deep/answers.jsonl");
    const words = ["--prompts", from, "--out", to, "--mix", "accuracy=1", "--mix", "engagement=1"];
    expect((await generate(words)).out).toBe(`${to}: 4 answers\n`);
    const rows = await written(to);
    expect(rows.map(({ prompt, mix }) => [prompt, mix])).toEqual(
      prompts.flatMap((prompt) => [
        [prompt, { accuracy: 1 }],
        [prompt, { engagement: 1 }],
      ]),
    );
    expect(responses(rows.filter(({ mix }) => mix?.engagement === 1))).toEqual(
      await alone(prompts, "--mix", "engagement=1"),
    );
    const ran = await generate([...words, "--json"]);
    expect(parseJson(ran.out, z.unknown(), "standard output")).toEqual({ model, answers: 4, file: to });
    expect(await written(to)).toEqual(rows);
  });
});

describe("a call that is interrupted or fails", () => {
  test("leaves the file of answers as it was", async () => {
    const from = await put("many.txt", "hello\nagain\n");
    const to = await put("kept.jsonl", "what was there\n");
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const ran = await generate(["--prompts", from, "--out", to, "--max-new-tokens", "400"], {
      signal: controller.signal,
    });
    expect(ran).toMatchObject({ status: 130, out: "" });
    expect(await readFile(to, "utf8")).toBe("what was there\n");
    await generate(["--prompts", from, "--out", file("none.jsonl"), "--mix", "acuracy=1"]);
    expect(existsSync(file("none.jsonl"))).toBe(false);
    expect((await readdir(folder)).filter((name) => /kept|none/.test(name))).toEqual(["kept.jsonl"]);
  });

  const prompt = ["--prompt", "hello"];
  test.each<[string, string[], string | RegExp]>([
    ["a mix of an unknown objective", [...prompt, "--mix", "acuracy=1"], 'did you mean "accuracy"?'],
    ["a mix that is none", [...prompt, "--mix", "accuracy"], "E_MIX_SYNTAX"],
    ["a negative weight", [...prompt, "--mix", "accuracy=-1"], "mix.accuracy: weight -1"],
    ["weights of 0", [...prompt, "--mix", "accuracy=0"], "E_MIX_SUM"],
    ["neither a prompt nor a file", [], "give either --prompts FILE or --prompt TEXT"],
    ["both", [...prompt, "--prompts", "p.txt"], "give either --prompts FILE or --prompt TEXT"],
    ["a number that is none", [...prompt, "--temperature", "warm"], "It must be a number;"],
    ["a temperature below 0", [...prompt, "--temperature", "-1"], /^mahalo: --temperature: .*E_SAMPLING/s],
    [
      "a share above 1",
      [...prompt, "--top-p", "2"],
      /^mahalo: --top-p: must be at most 1, not 2 .*E_SAMPLING/s,
    ],
    [
      "no token to make",
      [...prompt, "--max-new-tokens", "0"],
      /^mahalo: --max-new-tokens: .*E_GENERATE_REQUEST/s,
    ],
    ["half a seed", [...prompt, "--seed", "0.5"], /^mahalo: --seed: .*E_GENERATE_REQUEST/s],
    ["an empty batch", [...prompt, "--batch-size", "0"], /^mahalo: --batch-size: 0 .*E_BATCH_SIZE/s],
    ["an unknown precision", [...prompt, "--precision", "f16"], "f32, bf16"],
  ])("says so of %s, with status 2", async (_what, words, message) => {
    const { status, out, err } = await generate(words);
    expect({ status, out }).toEqual({ status: 2, out: "" });
    expect(err).toMatch(message);
  });

  test("says so of a file that is not there, or not what it should be", async () => {
    const failure = async (name: string, ...more: string[]): Promise<string> => {
      const { status, err } = await generate(["--prompts", file(name), ...more]);
      expect(status).toBe(2);
      return err;
    };
    expect(await failure("nowhere.jsonl")).toContain("nowhere.jsonl: cannot read");
    expect(await failure("nowhere.txt")).toContain("nowhere.txt: cannot read");
    await put("rows.jsonl", lines({ prompt: "hello" }));
    expect(await failure("rows.jsonl", "--format", "question-anwser")).toMatch(
      /unknown format "question-anwser".*question-answer.*E_DATA_FORMAT/,
    );
    await put("blank.txt", "\n \n");
    expect(await failure("blank.txt")).toContain("blank.txt: no prompt");
    expect(await failure("blank.txt", "--format", "question-answer")).toContain("E_DATA_FORMAT");
    await put("torn.jsonl", '{"prompt": "hello"}\n{"prompt": ');
    expect(await failure("torn.jsonl")).toContain("torn.jsonl:2");
    await put("long.txt", `hello\n${"many words ".repeat(300)}\n`);
    expect(await failure("long.txt")).toMatch(/long\.txt:2: a prompt of \d{4} tokens .*E_GENERATE_CONTEXT/);
  });

  test("says so of a model that is not there", async () => {
    const { status, err } = await run(["generate", file("no-model"), "--prompt", "hello"]);
    expect(status).toBe(2);
    expect(err).toContain("no-model");
  });
});
