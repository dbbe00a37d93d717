/** What each method of align trains, reads and decodes, by the recipe alone. */
import { expect, test } from "vitest";
import { parseRecipe } from "./load.ts";
import { alignCounts, evaluateCounts } from "./method-counts.ts";

const judge = "judge: { kind: rule, minWords: 1 }";
const recipe = (align: string, set: string[] = []) =>
  parseRecipe(
    `name: a
model: m
sft: false
objectives:
  brief: { pairs: { path: a }, ${judge} }
  kind: { pairs: { path: b }, ${judge} }
  apt: { prompts: { path: c }, judge: { kind: sum } }
align: { ${align} }
evaluate: { mixes: 5 }
`,
    "recipe.yaml",
    { set },
  );
const data = {
  pairsOf: new Map([
    ["brief", 300],
    ["kind", 100],
    ["apt", 0],
  ]),
  heldOutOf: new Map([
    ["brief", 30],
    ["kind", 10],
    ["apt", 0],
  ]),
};
const merged = "models: { brief: x, kind: y }";
const rewards = "rewards: { brief: x, kind: y }";
const trained = (align: string, known: string[] = []) => alignCounts(recipe(align), data, known);
const examples = { examples: 0, exampleTokens: { prompt: 10, response: 20 } };
const answered = (align: string, set: string[] = [], known: string[] = []) =>
  evaluateCounts(recipe(align, set), examples, known);

test("every method has one budget of rows; heads, and what reads the pairs, differ", () => {
  const heads = trained("method: mah-dpo");
  expect(heads).toEqual({
    rows: 600,
    pairs: [300, 100],
    heldOut: 40,
    heads: 2,
    keptHeads: 1,
    readings: 1,
    frozen: false,
  });
  const one = { ...heads, heads: 1, keptHeads: 0 };
  expect(trained("method: dpo-mixed")).toEqual(one);
  expect(trained("method: dpo-mixed, referenceFree: true")).toEqual({ ...one, readings: 0 });
  expect(trained("method: dpo-mixed, loss: simpo")).toEqual({ ...one, readings: 0 });
  // As many rows, out of the pairs of one objective.
  expect(trained("method: dpo, objective: kind")).toEqual({ ...one, pairs: [100], heldOut: 10 });
});

test("rewards read every pair once a model that weighs something, and need the reference in any case", () => {
  const readings = (align: string): number | undefined => trained(align)?.readings;
  expect(readings(`method: modpo, ${rewards}`)).toBe(3);
  expect(readings(`method: modpo, ${rewards}, referenceFree: true`)).toBe(3);
  expect(readings(`method: modpo, ${rewards}, weights: { brief: 1, kind: 0 }`)).toBe(2);
  // The reference reads turned pairs anew.
  expect(readings(`method: dpo-scalarized, ${rewards}`)).toBe(4);
  expect(readings(`method: dpo-scalarized, ${rewards}, referenceFree: true`)).toBe(3);
});

test("add-head trains the heads that the model has not, over a frozen backbone", () => {
  const added = trained("method: add-head", ["brief"]);
  expect(added).toMatchObject({ rows: 100, pairs: [100], heldOut: 10, heads: 1, keptHeads: 2, frozen: true });
  expect(trained("method: add-head", ["other"])).toMatchObject({ rows: 600, heads: 2, keptHeads: 2 });
});

test("soup and mod train nothing", () => {
  expect(trained(`method: soup, ${merged}`)).toBeUndefined();
  expect(trained(`method: mod, ${merged}`)).toBeUndefined();
  expect(alignCounts({ ...recipe("method: mah-dpo"), align: false }, data, [])).toBeUndefined();
});

test("policies are the mixes of heads, or one; the one before align; and a prompted one for every mix", () => {
  const policies = (align: string, ...more: string[]) => answered(align, more).decodes;
  expect(policies("method: mah-dpo")).toBe(5 + 1);
  expect(policies("method: mah-dpo", "evaluate.baseline=false")).toBe(5);
  expect(policies("method: mah-dpo", "evaluate.mixes=[{brief: 1}, {kind: 1}]")).toBe(2 + 1);
  expect(policies("method: dpo-mixed")).toBe(1 + 1);
  expect(policies("method: dpo-mixed", "evaluate.mixes=[{brief: 1}, {kind: 1}]")).toBe(1 + 1);
  // Prompts state mixes of all three objectives, and a grid over three is finer than one over two.
  expect(policies("method: dpo-mixed", "evaluate.prompted=true")).toBeGreaterThan(2 + 5);
  expect(policies("method: dpo-mixed", "evaluate.prompted=true", "evaluate.mixes=[{brief: 1}]")).toBe(3);
  expect(answered("method: add-head", [], ["other"]).heads).toBe(3);
  expect(policies("method: mah-dpo", "align=false", "sft={}")).toBe(1);
  const unjudged = "objectives={brief: {pairs: {path: a}}, kind: {pairs: {path: b}}}";
  expect(policies("method: mah-dpo", unjudged)).toBe(0);
});

test("mod answers by a model for every objective; soup by one, made anew for every mix", () => {
  const [heads, soup, mod] = ["method: mah-dpo", `method: soup, ${merged}`, `method: mod, ${merged}`].map(
    (align) => answered(align),
  );
  expect(mod).toMatchObject({ decodes: 5 * 2 + 1, sideBySide: 2, rankings: 0, rankingHeads: 0 });
  expect(soup).toMatchObject({ decodes: 5 + 1, sideBySide: 1, heads: 0, rankings: 2, rankingHeads: 2 });
  expect(heads).toMatchObject({ decodes: 5 + 1, sideBySide: 1, heads: 2, rankings: 2, rankingHeads: 3 });
  expect([heads, soup, mod].map((one) => one?.models)).toEqual([2, 3, 3]);
});

test("two models read each policy's answers where it is measured how far it moved", () => {
  const divergences = (align: string, ...set: string[]) => answered(align, set).divergences;
  expect(divergences("method: mah-dpo")).toBe(2 * 5);
  expect(divergences("method: mah-dpo", "evaluate.kl=false")).toBe(0);
  expect(divergences(`method: soup, ${merged}`)).toBe(2 * 5);
  expect(divergences(`method: mod, ${merged}`)).toBe(0);
  expect(divergences("method: mah-dpo", "align=false", "sft={}")).toBe(0);
});

test("answers are as long as the examples that were learnt; those of the base model have no such length", () => {
  const tokens = (set: string[], count: number) =>
    evaluateCounts(recipe("method: mah-dpo", set), { ...examples, examples: count }, []).answerTokens;
  expect(tokens([], 9)).toBe(20);
  expect(tokens([], 0)).toBe(Number.POSITIVE_INFINITY);
  expect(tokens(["evaluate.prompted=true"], 9)).toBe(Number.POSITIVE_INFINITY);
});
