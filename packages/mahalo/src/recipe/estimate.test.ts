/** Estimates of time are what was measured, scaled; memory follows the shape and the settings. */
import { expect, test } from "vitest";
import {
  type AlignCounts,
  alignCost,
  decodesOf,
  evaluateCost,
  rewardCost,
  rolloutCost,
  sftCost,
  soupCost,
} from "./estimate.ts";
import { parseRecipe } from "./load.ts";
import { rolloutSchema } from "./schema/rollout.ts";
import { backboneParameters, headParameters } from "./shapes.ts";
import { fixedSpeeds } from "./testing/machine.ts";
import { type Cost, type DataCounts, type Speeds, stepSeconds } from "./work.ts";

const smollm2 = {
  layers: 30,
  hiddenSize: 576,
  intermediateSize: 1536,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  vocabSize: 49152,
};
const secondsOf = ({ work }: Cost, speeds: Speeds = fixedSpeeds): number => work?.seconds(speeds) ?? 0;
const counts: DataCounts = {
  pairs: 640,
  objectives: 2,
  examples: 640,
  heldOutExamples: 0,
  exampleTokens: { prompt: 130, response: 150 },
  heldOutPairs: 160,
  promptTokens: 130,
  responseTokens: 150,
};

/** Two heads on 320 pairs each, one reference. */
const heads: AlignCounts = {
  rows: 640,
  pairs: [320, 320],
  heldOut: 160,
  heads: 2,
  keptHeads: 1,
  readings: 1,
  frozen: false,
};

const recipe = (set: string[] = []) => {
  const { sft, align, evaluate } = parseRecipe(
    "name: a\nmodel: m\nobjectives: { x: { pairs: { path: x } }, y: { pairs: { path: y } } }\n",
    "recipe.yaml",
    { set: ["align.precision=f32", "align.evaluateEvery=never", "sft.precision=f32", ...set] },
  );
  if (sft === false || align === false) throw new Error("a stage is missing");
  return { sft, align, evaluate };
};

test("counts the weights of the linear layers", () => {
  // SmolLM2-135M has 134.5 M parameters, 28.3 M of them in the embedding and 0.04 M in norms.
  expect(backboneParameters(smollm2) / 1e6).toBeCloseTo(106.17, 1);
});

test("a step of more rows lies on a line between those that were measured", () => {
  const seconds = (rows: number): number => stepSeconds(smollm2, fixedSpeeds, rows);
  expect(seconds(1)).toBeCloseTo(30 * 5e-4 + 4e-3, 12);
  expect(seconds(16)).toBeCloseTo(30 * 2e-3 + 1e-2, 12);
  expect(seconds(8.5)).toBeCloseTo((seconds(1) + seconds(16)) / 2, 12);
  expect(seconds(31) - seconds(16)).toBeCloseTo(seconds(16) - seconds(1), 12);
  expect(stepSeconds(smollm2, { ...fixedSpeeds, step: fixedSpeeds.step.slice(0, 1) }, 9)).toBe(seconds(1));
});

test("rows longer than the measured ones pay for their attention", () => {
  const seconds = (prompt: number): number => {
    const data = { ...counts, exampleTokens: { prompt, response: 0 } };
    return secondsOf(sftCost(recipe(["sft.maxSteps=1", "sft.evaluateEvery=never"]).sft, smollm2, data));
  };
  const update = seconds(0);
  expect(seconds(128) - update).toBeCloseTo(16 * 128 * 30 * 15e-5, 9);
  expect(seconds(64) - update).toBeCloseTo(16 * 64 * 30 * 15e-5, 9);
  expect(seconds(1128) - update).toBeCloseTo(16 * 1128 * 30 * (15e-5 + 1000 * 75e-9), 9);
});

test("time is layers, tokens and steps times what they were measured to take", () => {
  const data = { ...counts, exampleTokens: { prompt: 100, response: 28 }, heldOutExamples: 10 };
  const cost = (set: string[]): number =>
    secondsOf(sftCost(recipe(["sft.maxSteps=3", ...set]).sft, smollm2, data));
  const row = (layers: number): number => 128 * layers + 28 * 12e-4;
  const trained = backboneParameters(smollm2) + 2 * headParameters(smollm2);
  const full = 3 * 16 * row(30 * 15e-5) + 3 * trained * 1e-9;
  expect(cost(["sft.evaluateEvery=never"])).toBeCloseTo(full, 9);
  // Held-out rows are only read.
  const held = 10 * (128 * 30 * 5e-5 + 28 * 4e-4);
  expect(cost([])).toBeCloseTo(full + held, 9);
  expect(cost(["sft.evaluateEvery=2"])).toBeCloseTo(full + 2 * held, 9);
  const never = "sft.evaluateEvery=never";
  const last = 3 * 16 * row(24 * 5e-5 + 6 * 15e-5);
  const lastWeights = backboneParameters(smollm2) / 5 + headParameters(smollm2);
  expect(cost([never, "sft.train={lastLayers: 6}"])).toBeCloseTo(last + 3 * lastWeights * 1e-9, 9);
  const lora = cost([never, "sft.train={lora: {}}"]);
  expect(lora).toBeGreaterThan(3 * 16 * row(30 * 12e-5));
  expect(lora).toBeLessThan(1.02 * 3 * 16 * row(30 * 12e-5));
  const again = cost([never, "sft.checkpointing=true"]);
  expect(again - full).toBeCloseTo(3 * 16 * 128 * 30 * 5e-5, 9);
});

test("time grows with epochs and steps, and falls with what is frozen", () => {
  const seconds = (set: string[] = []) => secondsOf(alignCost(recipe(set).align, heads, smollm2, counts));
  expect(seconds(["align.epochs=2"]) / seconds()).toBeGreaterThan(1.6);
  expect(seconds(["align.maxSteps=10"])).toBeLessThan(seconds());
  expect(seconds(["align.train={lastLayers: 6}"])).toBeLessThan(0.75 * seconds());
  const precision = (name: string) =>
    alignCost(recipe([`align.precision=${name}`]).align, heads, smollm2, counts).work?.compute;
  expect([precision("f32"), precision("bf16")]).toEqual(["float32", "bfloat16"]);
});

test("what reads pairs costs a forward of each that steps reach; a frozen backbone reads each pair once", () => {
  const cost = (change: Partial<AlignCounts> = {}, set: string[] = []) =>
    alignCost(recipe(set).align, { ...heads, ...change }, smollm2, counts);
  const seconds = (change: Partial<AlignCounts> = {}, set: string[] = []) => secondsOf(cost(change, set));
  const forward = seconds() - seconds({ readings: 0 });
  expect(seconds({ readings: 4 })).toBeCloseTo(seconds() + 3 * forward);
  // A pair's forward for 800 pairs: 640 rows' training and 160 held out.
  const pair = 430 * 30 * (5e-5 + 152 * 25e-9) + 300 * 4e-4;
  expect(forward).toBeCloseTo(800 * pair);
  // Ten steps of 16 rows reach 80 pairs of each objective.
  const few = ["align.maxSteps=10"];
  expect(seconds({}, few) - seconds({ readings: 0 }, few)).toBeCloseTo((forward * (160 + 160)) / 800);
  // One objective's pairs in as many steps.
  expect(seconds({ pairs: [100] }) - seconds({ readings: 0 })).toBeCloseTo((forward * 260) / 800);
  const frozen = { frozen: true, readings: 0 };
  expect(seconds(frozen)).toBeLessThan(0.6 * seconds({ readings: 0 }));
  // The reference reads the states that are kept: one head more, at the responses.
  expect(seconds({ ...frozen, readings: 1 }) - seconds(frozen)).toBeCloseTo(800 * 300 * 4e-4);
  // Further epochs cost the heads alone: 3 forwards of a head that is a fifth of the model and reads responses alone.
  const epochs = (count: number): number => seconds(frozen, [`align.epochs=${count}`]);
  expect(epochs(3) - epochs(2)).toBeCloseTo(epochs(2) - epochs(1));
  expect(epochs(2) - epochs(1)).toBeLessThan(epochs(1));
  expect(cost(frozen).bytes).toBeLessThan(cost().bytes);
  expect(cost({ heads: 1, keptHeads: 0 }).bytes).toBeLessThan(cost().bytes);
  expect(soupCost(smollm2).work).toBeUndefined();
  // The policy itself measures held-out pairs, too.
  expect(seconds({}, ["align.evaluateEvery=0"]) - seconds()).toBeCloseTo(160 * pair);
});

test("memory falls with smaller passes, checkpointing, a leaner optimiser and frozen layers", () => {
  const bytes = (set: string[] = []) => sftCost(recipe(set).sft, smollm2, counts).bytes;
  for (const set of [
    "sft.maxTokensPerMicrobatch=1024",
    "sft.checkpointing=true",
    "sft.optimizer=sgd",
    "sft.train={lastLayers: 4}",
  ]) {
    expect(bytes([set]), set).toBeLessThan(bytes());
  }
  expect(bytes()).toBeGreaterThan(16 * 134e6);
  // Low-rank updates save moments, and keep more of each token.
  const lora = (tokens: number): number =>
    bytes(["sft.train={lora: {}}", `sft.maxTokensPerMicrobatch=${tokens}`]) /
    bytes([`sft.maxTokensPerMicrobatch=${tokens}`]);
  expect(lora(256)).toBeLessThan(1);
  expect(lora(4096)).toBeGreaterThan(1);
  // A pass has no more tokens than a batch: 2 rows of 280.
  expect(bytes(["sft.batchSize=2"])).toBeCloseTo(
    bytes(["sft.batchSize=2", "sft.maxTokensPerMicrobatch=560"]),
    -3,
  );
});

test("a sweep costs by its answers and prompts, ranking by the models and heads that read pairs", () => {
  const cost = (decodes: number, change: object = {}, set: string[] = []) =>
    evaluateCost(recipe(set).evaluate, { ...decodesOf(decodes), ...change }, smollm2, counts);
  const seconds = (...words: Parameters<typeof cost>): number => secondsOf(cost(...words));
  expect(seconds(5) / seconds(1)).toBeCloseTo(5);
  expect(seconds(5, {}, ["evaluate.prompts=10"])).toBeLessThan(seconds(5));
  expect(seconds(0)).toBe(0);
  const ranked = (rankings: number, rankingHeads: number): number => seconds(0, { rankings, rankingHeads });
  expect(ranked(2, 2)).toBeCloseTo(2 * ranked(1, 1));
  expect(ranked(1, 3)).toBeLessThan(2 * ranked(1, 1));
  // A hundred answers of 128 tokens in seven rounds, the prompts before them, and what two models read of each.
  const step = 30 * 2e-3 + 1e-2;
  expect(seconds(1)).toBeCloseTo(7 * 128 * step + 100 * 130 * 30 * 5e-5);
  const short = { answerTokens: 30 };
  expect(seconds(1, short)).toBeCloseTo(7 * 30 * step + 100 * 130 * 30 * 5e-5);
  const moved = 100 * (160 * 30 * (5e-5 + 32 * 25e-9) + 30 * 4e-4);
  expect(seconds(1, { ...short, divergences: 2 }) - seconds(1, short)).toBeCloseTo(2 * moved);
  const held = (models: number): number => cost(1, { models }).bytes - cost(1).bytes;
  expect(held(3)).toBeCloseTo(2 * held(2));
  expect(held(2)).toBeGreaterThan(6 * 134e6);
});

test("reward models cost a pass over each row an epoch, and one in all where the backbone is frozen", () => {
  const { reward } = parseRecipe(
    "name: a\nmodel: m\nobjectives: { x: { pairs: { path: x } } }\nreward: { precision: f32, epochs: 3 }\n",
    "recipe.yaml",
  );
  if (reward === false) throw new Error("the stage is missing");
  const seconds = (options: object = {}, steps = 320, pairs = 0) =>
    secondsOf(rewardCost({ ...reward, ...options }, { steps, pairs }, smollm2, counts));
  expect(seconds({ epochs: 6 })).toBeCloseTo(2 * seconds());
  expect(seconds({ train: "frozen", epochs: 6 })).toBeCloseTo(seconds({ train: "frozen" }));
  // Forward alone, once, against forward and backward three times, and the optimiser's steps.
  expect(seconds() / seconds({ train: "frozen" })).toBeGreaterThan(9);
  expect(seconds() / seconds({ train: "frozen" })).toBeLessThan(9.5);
  expect(seconds({}, 0, 320)).toBeGreaterThan(1.4 * seconds());
  expect(seconds({}, 0, 0)).toBe(0);
});

test("answers of an endpoint cost nothing here", () => {
  const endpoint = { baseUrl: "http://h/v1", model: "m" };
  const cost = (block: object) => rolloutCost(rolloutSchema.parse(block), 100, false, smollm2, counts);
  expect(secondsOf(cost({}))).toBeGreaterThan(0);
  expect(cost({ endpoint })).toEqual({ bytes: 0 });
});
