/** Estimates of time and memory follow what they are estimates of, and come close to a measured run. */
import { expect, test } from "vitest";
import {
  type AlignCounts,
  alignCost,
  backboneParameters,
  type DataCounts,
  decodesOf,
  evaluateCost,
  rewardCost,
  rolloutCost,
  sftCost,
  soupCost,
} from "./estimate.ts";
import { parseRecipe } from "./load.ts";
import { rolloutSchema } from "./schema/rollout.ts";

const smollm2 = {
  layers: 30,
  hiddenSize: 576,
  intermediateSize: 1536,
  heads: 9,
  kvHeads: 3,
  headDim: 64,
  vocabSize: 49152,
};
const rates = { f32: 100e9, bf16: 350e9 };
const counts: DataCounts = {
  pairs: 640,
  objectives: 2,
  examples: 640,
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
    { set: ["align.precision=f32", "sft.precision=f32", ...set] },
  );
  if (sft === false || align === false) throw new Error("a stage is missing");
  return { sft, align, evaluate };
};

test("counts the weights of the linear layers", () => {
  // SmolLM2-135M has 134.5 M parameters, 28.3 M of them in the embedding and 0.04 M in norms.
  expect(backboneParameters(smollm2) / 1e6).toBeCloseTo(106.17, 1);
});

test("time grows with epochs and steps, and falls with what is frozen and with faster products", () => {
  const seconds = (set: string[] = [], speed = rates) =>
    alignCost(recipe(set).align, heads, smollm2, counts, speed).seconds;
  expect(seconds(["align.epochs=2"]) / seconds()).toBeGreaterThan(1.6);
  expect(seconds(["align.maxSteps=10"])).toBeLessThan(seconds());
  expect(seconds(["align.train={lastLayers: 6}"])).toBeLessThan(0.75 * seconds());
  expect(seconds([], { ...rates, f32: 200e9 })).toBeCloseTo(seconds() / 2);
  expect(seconds(["align.precision=bf16"])).toBeLessThan(seconds());
});

test("what reads pairs costs a forward of each that steps reach; a frozen backbone reads each pair once", () => {
  const cost = (change: Partial<AlignCounts> = {}, set: string[] = []) =>
    alignCost(recipe(set).align, { ...heads, ...change }, smollm2, counts, rates);
  const seconds = (change: Partial<AlignCounts> = {}, set: string[] = []) => cost(change, set).seconds;
  const forward = seconds() - seconds({ readings: 0 });
  expect(seconds({ readings: 4 })).toBeCloseTo(seconds() + 3 * forward);
  // A pair's forward, and three of them a step: 800 pairs of 640 rows' training and 160 held out.
  expect(forward / (seconds() - forward)).toBeCloseTo(800 / (3 * 640));
  // Ten steps of 16 rows reach 80 pairs of each objective.
  const few = ["align.maxSteps=10"];
  expect(seconds({}, few) - seconds({ readings: 0 }, few)).toBeCloseTo((forward * (160 + 160)) / 800);
  // One objective's pairs in as many steps.
  expect(seconds({ pairs: [100] }) - seconds({ readings: 0 })).toBeCloseTo((forward * 260) / 800);
  const frozen = { frozen: true, readings: 0 };
  expect(seconds(frozen)).toBeLessThan(0.6 * seconds({ readings: 0 }));
  // Further epochs cost the heads alone: 3 forwards of a head that is a fifth of the model and reads responses alone.
  const epochs = (count: number): number => seconds(frozen, [`align.epochs=${count}`]);
  expect(epochs(3) - epochs(2)).toBeCloseTo(epochs(2) - epochs(1));
  expect(epochs(2) - epochs(1)).toBeLessThan(epochs(1));
  expect(cost(frozen).bytes).toBeLessThan(cost().bytes);
  expect(cost({ heads: 1, keptHeads: 0 }).bytes).toBeLessThan(cost().bytes);
  expect(soupCost(smollm2).seconds).toBe(0);
});

test("lies within a factor of two of a measured run", () => {
  // Prototype on 2 cores at 113 GF/s: 0.24 to 0.41 pairs a second in f32, by length; these pairs lie between.
  const seconds = alignCost(recipe().align, { ...heads, readings: 0 }, smollm2, counts, {
    f32: 113e9,
    bf16: 386e9,
  }).seconds;
  const pairsPerSecond = 640 / seconds;
  expect(pairsPerSecond).toBeGreaterThan(0.12);
  expect(pairsPerSecond).toBeLessThan(0.82);
});

test("memory falls with smaller passes, checkpointing, a leaner optimiser and frozen layers", () => {
  const bytes = (set: string[] = []) => sftCost(recipe(set).sft, smollm2, counts, rates).bytes;
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
    evaluateCost(recipe(set).evaluate, { ...decodesOf(decodes), ...change }, smollm2, counts, rates);
  const seconds = (...words: Parameters<typeof cost>): number => cost(...words).seconds;
  expect(seconds(5) / seconds(1)).toBeCloseTo(5);
  expect(seconds(5, {}, ["evaluate.prompts=10"])).toBeLessThan(seconds(5));
  expect(seconds(0)).toBe(0);
  const ranked = (rankings: number, rankingHeads: number): number => seconds(0, { rankings, rankingHeads });
  expect(ranked(2, 2)).toBeCloseTo(2 * ranked(1, 1));
  expect(ranked(1, 3)).toBeLessThan(2 * ranked(1, 1));
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
    rewardCost({ ...reward, ...options }, { steps, pairs }, smollm2, counts, rates).seconds;
  expect(seconds({ epochs: 6 })).toBeCloseTo(2 * seconds());
  expect(seconds({ train: "frozen", epochs: 6 })).toBeCloseTo(seconds({ train: "frozen" }));
  // Forward alone, once, against forward and backward three times.
  expect(seconds() / seconds({ train: "frozen" })).toBeCloseTo(9);
  expect(seconds({}, 0, 320)).toBeGreaterThan(1.4 * seconds());
  expect(seconds({}, 0, 0)).toBe(0);
});

test("answers of an endpoint cost nothing here", () => {
  const endpoint = { baseUrl: "http://h/v1", model: "m" };
  const cost = (block: object) => rolloutCost(rolloutSchema.parse(block), 100, false, smollm2, counts, rates);
  expect(cost({}).seconds).toBeGreaterThan(0);
  expect(cost({ endpoint })).toEqual({ seconds: 0, bytes: 0 });
});
