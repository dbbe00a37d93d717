/** A file of traces is read when its nodes hang together, and refused by line and field when they do not. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { drawTree } from "./draw.ts";
import { readTraces } from "./trace-file.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-traces-"));
});
afterAll(() => rm(folder, { recursive: true }));

const traces = async (...links: (readonly [id: number, parent?: number])[]) => {
  const path = join(folder, "trace.jsonl");
  const nodes = links.map(([id, parent]) => ({
    id,
    parent,
    step: 1,
    group: 0,
    text: `step ${id}`,
    ids: [1],
    copies: 1,
    kept: true,
  }));
  const tree = {
    format: "mahalo-trace",
    version: 1,
    prompt: "say",
    strategy: "beam",
    settings: {},
    seed: 0,
    weights: {},
    nodes,
    path: [0],
    tokens: { generated: 1, scored: 1, answer: 1 },
    text: "",
    finish: "end",
  };
  await writeFile(path, `${JSON.stringify(tree)}\n`);
  return readTraces(path);
};

test("nodes that do not hang from the root are refused", async () => {
  const wrong = (what: string) => ({
    code: "E_TRACE",
    message: expect.stringContaining(`trace.jsonl:1: ${what}`),
  });
  await expect(traces([0, 0])).rejects.toMatchObject(
    wrong("nodes[0].parent: there is no node 0 before node 0"),
  );
  await expect(traces([0], [1, 2], [2, 1])).rejects.toMatchObject(wrong("nodes[1].parent"));
  await expect(traces([0], [1, 7])).rejects.toMatchObject(wrong("nodes[1].parent"));
  await expect(traces([0], [0])).rejects.toMatchObject(wrong("nodes[1].id"));
});

test("a tree is drawn by its levels, a deep one too", async () => {
  const [tree] = await traces([0], [1, 0], [2, 0], [3, 1]);
  if (tree === undefined) throw new Error("no tree");
  expect(drawTree(tree).split("\n").slice(2, 6)).toEqual([
    "└● step 0",
    "  ├○ step 1",
    "  │ └○ step 3",
    "  └○ step 2",
  ]);
  const deep = Array.from({ length: 8000 }, (_, id): [number, number?] => (id === 0 ? [id] : [id, id - 1]));
  const [chain] = await traces(...deep);
  if (chain === undefined) throw new Error("no tree");
  expect(drawTree(chain).split("\n").length).toBeGreaterThan(8000);
});
