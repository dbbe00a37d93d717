/** The split over everything that a recipe reads: what is held out once is held out everywhere. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Problems } from "../../data/rows/problems.ts";
import { promptMessages } from "../../data/rows/rows.ts";
import { parseRecipe } from "../load.ts";
import { collectRows } from "./collect-rows.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-collect-"));
  const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const numbers = Array.from({ length: 20 }, (_, index) => index);
  const problem = (at: number) => ({ prompt: `${at} and 1?`, answer: at + 1 });
  await writeFile(join(folder, "problems.jsonl"), lines([...numbers, 3, 4].map(problem)));
  await writeFile(
    join(folder, "worked.jsonl"),
    lines(numbers.map((at) => ({ ...problem(at), completion: `It is ${at + 1}.` }))),
  );
  const talk = (at: number) => ({
    messages: ["Hi", `Is it ${at}?`, "Why?", "So.", "Go on.", "Yes."].map((content, turn) => ({
      role: turn % 2 === 0 ? "assistant" : "user",
      content,
    })),
  });
  await writeFile(join(folder, "talks.jsonl"), lines(numbers.map(talk)));
});
afterAll(() => rm(folder, { recursive: true }));

const collect = (objectives: string) =>
  collectRows(
    parseRecipe(
      `name: a\nmodel: m\ndata: { heldOut: 0.25 }\nalign: false\nsft: { from: { path: worked.jsonl } }\nobjectives:\n${objectives}`,
      "recipe.yaml",
      { folder },
    ),
    new Problems(),
  );

test("a held-out prompt is in no prompt to train on and in no example, and keeps its answer", async () => {
  const { open, examples, prompts } = await collect("  a: { prompts: { path: problems.jsonl } }\n");
  expect([open.train.length, open.heldOut.length]).toEqual([15, 5]);
  const held = new Set(open.heldOut.map(({ prompt }) => prompt));
  for (const { prompt } of [...open.train, ...examples.train]) expect(held.has(prompt)).toBe(false);
  expect(examples.train).toHaveLength(15);
  expect(prompts.map(({ answer, prompt }) => [prompt[0]?.content, answer])).toEqual(
    expect.arrayContaining(
      [...held].map((prompt) => [prompt, String(Number.parseInt(String(prompt), 10) + 1)]),
    ),
  );
});

test("all turns of a conversation are on one side, whole or as prompts", async () => {
  const every = "{ path: talks.jsonl, columns: { messages: messages, turns: every } }";
  const { open, dialogues } = await collect(
    `  a: { prompts: ${every} }\n  b: { dialogues: { path: talks.jsonl }, judge: { kind: rule, minWords: 1 } }\n`,
  );
  const named = (messages: readonly { content: string }[]) => messages[1]?.content;
  const sides = [open.train, open.heldOut].map(
    (rows) => new Set(rows.map(({ prompt }) => named(promptMessages(prompt)))),
  );
  expect(open.train.length).toBe(2 * (sides[0]?.size ?? 0));
  expect([...(sides[0] ?? [])].filter((name) => sides[1]?.has(name))).toEqual([]);
  expect(new Set(dialogues.heldOut.map(({ messages }) => named(messages)))).toEqual(sides[1]);
});

test("a file has as many rows as it likes: 150,000 pass through every step", async () => {
  const lines = Array.from({ length: 150_000 }, (_, index) => `{"prompt":"${index}"}\n`);
  await writeFile(join(folder, "many.jsonl"), lines.join(""));
  const { open } = await collect("  a: { prompts: { path: many.jsonl } }\n");
  expect(open.train.length + open.heldOut.length).toBe(150_000);
});
