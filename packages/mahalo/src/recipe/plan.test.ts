/** A plan's costs follow the method: what trains, what only reads, and what answers; it says how far they can be trusted. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tinyFolder } from "../model/testing/tiny.ts";
import { isEstimated } from "./costs.ts";
import { parseRecipe } from "./load.ts";
import { describePlan, type Plan, planRecipe } from "./plan.ts";
import type { Machine } from "./speeds.ts";
import { fixedMachine, fixedSpeeds as speeds } from "./testing/machine.ts";

let folder = "";
const model = tinyFolder("tiny-llama");
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "mahalo-plan-"));
  const row = JSON.stringify({ prompt: "say", chosen: "yes", rejected: "no" });
  for (const name of ["a", "b"]) await writeFile(join(folder, `${name}.jsonl`), `${row}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

const planned = (align: string, set: string[] = [], machine: Machine = fixedMachine()): Promise<Plan> =>
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
    machine,
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
  // Of one head's weights less an optimiser knows.
  expect(secondsOf(mixed, "align")).toBeCloseTo(train, 2);
  expect(secondsOf(mixed, "align")).toBeLessThan(train);
  expect(secondsOf(modpo, "align")).toBeGreaterThan(1.2 * train);
  expect(secondsOf(scalarized, "align")).toBeGreaterThan(secondsOf(modpo, "align"));
  expect(secondsOf(soup, "align")).toBe(0);
  expect(describePlan(soup)).toMatch(/^align +new +seconds/m);
  expect(mod.stages.map(({ name }) => name)).not.toContain("align");
  // What its answers rank and how far they moved is all that mod saves; it decodes each mix twice.
  const decoding = ["evaluate.pairAccuracy=false", "evaluate.kl=false"];
  const [one, two] = await Promise.all([
    planned("method: mah-dpo", decoding),
    planned(`method: mod, models: ${given}`, decoding),
  ]);
  expect(secondsOf(two, "evaluate") / secondsOf(one, "evaluate")).toBeCloseTo(11 / 6);
});

test("one objective's dpo takes the steps of all, and prompts that state mixes cost answers", async () => {
  const [own, all] = await Promise.all([
    planned("method: dpo, objective: kind, referenceFree: true, evaluateEvery: never"),
    planned("method: dpo-mixed, referenceFree: true, evaluateEvery: never"),
  ]);
  expect(secondsOf(own, "align")).toBeCloseTo(secondsOf(all, "align"), 9);
  const alone = ["evaluate.pairAccuracy=false", "evaluate.kl=false"];
  const plain = await planned("method: dpo-mixed", alone);
  const asked = await planned("method: dpo-mixed", [...alone, "evaluate.prompted=true"]);
  // The method's one policy and the one before it, and five that are prompted.
  expect(secondsOf(asked, "evaluate") / secondsOf(plain, "evaluate")).toBeCloseTo(7 / 2);
});

test("a busy machine is told of, with what the times are of", async () => {
  const align = "method: mah-dpo";
  const quiet = await planned(align);
  expect(quiet).toMatchObject({ counts: "at most", times: "quiet", busy: false });
  expect(describePlan(quiet)).not.toContain("busy");
  const busy = await planned(align, [], fixedMachine({ busy: true }));
  expect(busy).toEqual({ ...quiet, busy: true });
  expect(describePlan(busy)).toBe(
    `${describePlan(quiet)}this machine is busy now: times are of a quiet moment before\n`,
  );
  const disturbed = await planned(align, [], {
    busy: async () => true,
    speeds: async () => ({ speeds, of: "busy" }),
  });
  expect(disturbed.times).toBe("busy");
  expect(describePlan(disturbed)).toContain("this machine is busy: times are of a busy machine");
});

test("a machine that cannot measure says so, and one without work measures nothing", async () => {
  const machine = { busy: async () => false, speeds: async () => undefined };
  const plan = await planned("method: mah-dpo", [], machine);
  expect(plan.times).toBe("none");
  expect(describePlan(plan)).toMatch(/^align +new +cost unknown: too little memory is free/m);
  expect(describePlan(plan)).toContain("to do: not known yet");
});

test("nothing is fetched or measured for a plan: rows that are not here leave the costs unknown", async () => {
  const machine: Machine = { busy: async () => false, speeds: () => Promise.reject(new Error("measured")) };
  const set = "objectives.brief.pairs={hub: nobody/nothing-of-this-name, file: a.jsonl, limit: 5}";
  const plan = await planned("method: mah-dpo", [set], machine);
  expect(plan).toMatchObject({ counts: "unknown", times: "none", total: { seconds: 0, bytes: 0 } });
  expect(describePlan(plan)).toMatch(/^align +new +cost unknown until the data stage has run/m);
});

test("stages of our own are estimated, those of programs are not", () => {
  expect(["data", "sft", "guide", "report"].every(isEstimated)).toBe(true);
  expect(["toString", "mine"].some(isEstimated)).toBe(false);
});
