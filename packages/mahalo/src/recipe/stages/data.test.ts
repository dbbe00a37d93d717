/** The data stage: what it writes, counts, holds out and refuses. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Problems } from "../../data/rows/problems.ts";
import { promptKey } from "../../data/rows/rows.ts";
import { chatTemplate } from "../../data/tokens/chat-template.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { loadRecipe, parseRecipe } from "../load.ts";
import { buildDataset, collectRows, dataStage, sampleSummary } from "./data.ts";
import {
  readExamples,
  readHeldOutPairs,
  readPrompts,
  readSummary,
  readTrainPairs,
  writeDataset,
} from "./data-files.ts";

/** One token a code point: enough to follow rows through the stage. */
const letters: Tokenizer = {
  encode: (text) => [...text].map((letter) => letter.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
  specialIds: new Set(),
  eosIds: [10],
  vocabSize: 0x110000,
};
const template = chatTemplate(
  "{% for message in messages %}{{ message['role'][0] }}:{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}",
  { where: "test" },
);

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-data-stage-"));
  const rows = (objective: string): string =>
    Array.from({ length: 20 }, (_, index) =>
      JSON.stringify({
        prompt: `question ${index}`,
        chosen: `${objective} good ${index % 5}`,
        rejected: `${objective} bad`,
      }),
    ).join("\n");
  await writeFile(join(folder, "helpful.jsonl"), rows("helpful"));
  await writeFile(
    join(folder, "harmless.jsonl"),
    `${rows("harmless")}\n{"prompt": "x", "chosen": "same", "rejected": "same"}\n`,
  );
});
afterAll(() => rm(folder, { recursive: true }));

const recipe = (set: string[] = []) =>
  parseRecipe(
    "name: a\nmodel: m\nobjectives:\n  helpful: { pairs: { path: helpful.jsonl } }\n  harmless: { pairs: { path: harmless.jsonl } }\n",
    "recipe.yaml",
    { folder, set },
  );

describe("rows of files", () => {
  test("are held out by prompt, over all objectives at once", async () => {
    const { train, heldOut, prompts } = await collectRows(recipe(["data.heldOut=0.2"]), new Problems());
    const held = new Set(heldOut.map(({ prompt }) => promptKey(prompt)));
    expect(train.some(({ prompt }) => held.has(promptKey(prompt)))).toBe(false);
    expect(train.length + heldOut.length).toBe(40);
    expect(prompts).toHaveLength(held.size);
  });

  test("become tokens on both sides, with what could not be used counted", async () => {
    const { dataset, summary } = await buildDataset(recipe(["data.heldOut=0.2"]), {
      tokenizer: letters,
      template,
    });
    expect(summary.rows).toMatchObject({
      seen: expect.any(Number),
      bad: 1,
      reasons: { "identical-pair": 1 },
    });
    expect(summary.objectives.helpful).toMatchObject({ train: 16, heldOut: 4 });
    expect(letters.decode(dataset.train[0]?.prompt ?? [])).toMatch(/^u:question \d+\na:$/);
    expect(letters.decode(dataset.examples[0]?.response ?? [])).toMatch(/good \d\n$/);
  });

  test("give no examples where sft is left out, and one where several pairs share it", async () => {
    const without = await buildDataset(recipe(["sft=false"]), { tokenizer: letters, template });
    expect(without.dataset.examples).toEqual([]);
    const twice = join(folder, "twice.jsonl");
    const row = (rejected: string): string => JSON.stringify({ prompt: "q", chosen: "right", rejected });
    await writeFile(
      twice,
      `${row("one")}\n${row("two")}\n${JSON.stringify({ prompt: "r", chosen: "yes", rejected: "no" })}\n`,
    );
    const shared = parseRecipe(
      "name: a\nmodel: m\nobjectives: { x: { pairs: { path: twice.jsonl } } }\ndata: { heldOut: 0 }\nevaluate: { pairAccuracy: false }\n",
      "recipe.yaml",
      { folder },
    );
    const { dataset } = await buildDataset(shared, { tokenizer: letters, template });
    expect([dataset.train.length, dataset.examples.length]).toEqual([3, 2]);
  });

  test("learn from files and from chosen responses where sft.from lists both", async () => {
    await writeFile(
      join(folder, "worked.jsonl"),
      Array.from({ length: 8 }, (_, index) =>
        JSON.stringify({ prompt: `worked ${index}`, completion: `So ${index}` }),
      ).join("\n"),
    );
    const both = recipe(["data.heldOut=0.25", "sft.from=[{ path: worked.jsonl }, chosen]"]);
    const { dataset } = await buildDataset(both, { tokenizer: letters, template });
    const count = (word: string): number =>
      [...dataset.examples, ...dataset.heldOutExamples].filter(({ response }) =>
        letters.decode(response).startsWith(word),
      ).length;
    expect([count("So"), count("helpful good"), count("harmless good")]).toEqual([8, 20, 20]);
    expect(dataset.heldOutExamples).toHaveLength(12);
    expect(dataStage.inputs(both)).toMatchObject({ examples: [{}, "chosen"] });
  });

  test("are read back as they were written", async () => {
    const { dataset, summary } = await buildDataset(recipe(), { tokenizer: letters, template });
    const into = join(folder, "out");
    await writeDataset(into, dataset, summary);
    expect(await readTrainPairs(into)).toEqual(dataset.train);
    expect(await readHeldOutPairs(into)).toEqual(dataset.heldOut);
    expect(await readExamples(into)).toEqual(dataset.examples);
    expect(await readPrompts(into)).toEqual(dataset.prompts);
    expect(await readSummary(into)).toEqual(summary);
  });
});

test("a sample counts all rows, and its lengths are those of some of them", async () => {
  const encoding = { tokenizer: letters, template };
  const { summary } = await buildDataset(recipe(), encoding);
  // One row is refused when its pair is read: of so few the sample is the whole.
  const { cutPrompts, cutResponses, ...whole } = summary;
  expect(await sampleSummary(recipe(), encoding)).toMatchObject(whole);
  expect([cutPrompts, cutResponses]).toEqual([0, 0]);
  const rows = Array.from({ length: 450 }, (_, at) =>
    JSON.stringify({ prompt: `question ${at}`, chosen: `yes${".".repeat(at % 7)}`, rejected: "no" }),
  );
  await writeFile(join(folder, "many.jsonl"), rows.join("\n"));
  const many = recipe(["objectives={helpful: {pairs: {path: many.jsonl}}}"]);
  const { summary: all } = await buildDataset(many, encoding);
  const some = await sampleSummary(many, encoding);
  const [counted, sampled] = [all, some].map(({ objectives, examples }) => ({
    ...objectives.helpful,
    examples,
  }));
  expect({ ...sampled, meanTokens: 0 }).toMatchObject({ train: counted?.train, heldOut: counted?.heldOut });
  expect(sampled?.examples).toMatchObject({ train: all.examples.train, heldOut: all.examples.heldOut });
  const response = ({ meanTokens }: { meanTokens?: { response: number } } = {}) => meanTokens?.response ?? 0;
  expect(Math.abs(response(sampled) - response(counted))).toBeLessThan(0.5);
});

test("objectives that share a generator share its problems", async () => {
  const generated = parseRecipe(
    "name: a\nmodel: m\nobjectives:\n  accuracy: { generator: &g { name: word-problems, problems: 30, heldOut: 10 } }\n  engagement: { generator: *g }\n",
    "recipe.yaml",
  );
  const { train, heldOut, prompts } = await collectRows(generated, new Problems());
  expect([train.length, heldOut.length, prompts.length]).toEqual([60, 20, 10]);
  expect(prompts.every(({ answer }) => answer !== undefined)).toBe(true);
});

test("where a file lies, how answers are judged and how training goes do not make the data stale", () => {
  const inputs = (set: string[]) => JSON.stringify(dataStage.inputs(recipe(set)));
  for (const set of [
    "objectives.helpful.judge={kind: sum}",
    "align.beta=0.3",
    "objectives.helpful.weight=2",
    "objectives.helpful.pairs.path=other.jsonl",
  ]) {
    expect(inputs([set]), set).toBe(inputs([]));
  }
  for (const set of [
    "data.maxTokens=2000",
    "objectives.helpful.pairs.limit=3",
    "sft=false",
    "data.heldOut=0.3",
  ]) {
    expect(inputs([set]), set).not.toBe(inputs([]));
  }
});

describe("the recipes of this repository", () => {
  const recipes = resolve(import.meta.dirname, "../../../../../recipes");
  test("are valid", async () => {
    for (const name of ["quickstart", "brief", "math", "values", "tutoring", "unified"])
      expect((await loadRecipe(join(recipes, `${name}.yaml`))).recipe.name).toBe(name);
  });

  const mirror = process.env.MAHALO_MIRROR ?? resolve(recipes, "../../shared/hub");
  const there = existsSync(join(mirror, "openbmb"));
  test.skipIf(!there && process.env.CI !== "true")(
    there
      ? "read the real pairs of values.yaml"
      : "read the real pairs of values.yaml (skipped: no MAHALO_MIRROR)",
    async () => {
      const before = process.env.MAHALO_MIRROR;
      process.env.MAHALO_MIRROR = mirror;
      try {
        const { recipe: values } = await loadRecipe(join(recipes, "values.yaml"));
        const problems = new Problems();
        const { train, heldOut } = await collectRows(values, problems);
        for (const name of ["helpful", "harmless"]) {
          expect(train.filter(({ objective }) => objective === name).length).toBeGreaterThanOrEqual(300);
          expect(heldOut.filter(({ objective }) => objective === name).length).toBeGreaterThanOrEqual(50);
        }
        expect(problems.count / problems.seen).toBeLessThan(0.01);
      } finally {
        if (before === undefined) delete process.env.MAHALO_MIRROR;
        else process.env.MAHALO_MIRROR = before;
      }
    },
  );
});
