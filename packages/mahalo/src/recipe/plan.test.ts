/** A plan's costs follow the method: what trains, what only reads, and what answers. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../model/testing/tiny.ts";
import { parseRecipe } from "./load.ts";
import { describePlan, type Plan, planRecipe } from "./plan.ts";

let folder = "";
const model = tinyFolder("tiny-llama");
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-plan-"));
  const row = JSON.stringify({ prompt: "say", chosen: "yes", rejected: "no" });
  for (const name of ["a", "b"]) await writeFile(join(folder, `${name}.jsonl`), `${row}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

const planned = (align: string, set: string[] = []): Promise<Plan> =>
  planRecipe(
    parseRecipe(
      `name: planned
model: ${model}
out: ${folder}
objectives:
  brief: { pairs: { path: a.jsonl, limit: 300 }, judge: { kind: rule, minWords: 1 } }
  kind: { pairs: { path: b.jsonl, limit: 100 }, judge: { kind: rule, minWords: 1 } }
sft: false
align: { ${align} }
`,
      "recipe.yaml",
      { folder, set },
    ),
    { f32: 1e11, bf16: 1e11 },
  );
const secondsOf = ({ stages }: Plan, name: string): number =>
  stages.find((stage) => stage.name === name)?.cost?.seconds ?? Number.NaN;

test("methods that read by rewards cost more than one that only trains, merging costs seconds", async () => {
  const given = `{ brief: ${model}, kind: ${model} }`;
  const heads = await planned("method: mah-dpo");
  const [mixed, modpo, scalarized, soup, mod] = await Promise.all([
    planned("method: dpo-mixed"),
    planned(`method: modpo, rewards: ${given}`),
    planned(`method: dpo-scalarized, rewards: ${given}`),
    planned(`method: soup, models: ${given}`),
    planned(`method: mod, models: ${given}`),
  ]);
  const train = secondsOf(heads, "align");
  expect(secondsOf(mixed, "align")).toBeCloseTo(train, 9);
  expect(secondsOf(modpo, "align")).toBeGreaterThan(1.2 * train);
  expect(secondsOf(scalarized, "align")).toBeGreaterThan(secondsOf(modpo, "align"));
  expect(secondsOf(soup, "align")).toBe(0);
  expect(describePlan(soup)).toMatch(/^align +new +seconds/m);
  expect(mod.stages.map(({ name }) => name)).not.toContain("align");
  // Ranking pairs is all that mod saves; it decodes each mix twice.
  const decoding = ["evaluate.pairAccuracy=false"];
  const [one, two] = await Promise.all([
    planned("method: mah-dpo", decoding),
    planned(`method: mod, models: ${given}`),
  ]);
  expect(secondsOf(two, "evaluate") / secondsOf(one, "evaluate")).toBeCloseTo(11 / 6);
});

test("one objective's dpo takes the steps of all, and prompts that state mixes cost answers", async () => {
  const [own, all] = await Promise.all([
    planned("method: dpo, objective: kind, referenceFree: true"),
    planned("method: dpo-mixed, referenceFree: true"),
  ]);
  expect(secondsOf(own, "align")).toBeCloseTo(secondsOf(all, "align"), 9);
  const alone = ["evaluate.pairAccuracy=false"];
  const plain = await planned("method: dpo-mixed", alone);
  const asked = await planned("method: dpo-mixed", [...alone, "evaluate.prompted=true"]);
  // The method's one policy and the one before it, and five that are prompted.
  expect(secondsOf(asked, "evaluate") / secondsOf(plain, "evaluate")).toBeCloseTo(7 / 2);
});
