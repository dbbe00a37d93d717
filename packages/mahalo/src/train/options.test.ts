/** Options of a run: what decays, how long the warm-up is, and the update rules under their names. */
import { Optimizer, tensor } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rng } from "../core/random.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { tinyModel } from "../model/testing/tiny.ts";
import { addLora } from "../model/transformer/lora.ts";
import { decays, optimizerRules, warmupSteps } from "./options.ts";

describe("weight decay", () => {
  let model: LanguageModel;
  beforeAll(async () => {
    // Biases and norms of heads are in one family each.
    model = await tinyModel("tiny-qwen2");
    model.heads.addNoisyCopies(["bias", "norm", "unbiased", "abnormal"], { seed: 1, compute: "float32" });
  });
  afterAll(() => model.dispose());

  test("spares vectors, that is norms and biases, and nothing else", async () => {
    const qwen3 = await tinyModel("tiny-qwen3");
    const adapters = addLora(qwen3.backbone, { rank: 2, alpha: 2 }, rng(1, "lora"));
    const all = [model, qwen3].flatMap(({ backbone }) => backbone.parameters());
    expect(all.some(({ name }) => name.endsWith(".bias"))).toBe(true);
    expect(all.some(({ name }) => name.endsWith("q_norm.weight"))).toBe(true);
    for (const { name, value } of [...all, ...adapters, model.heads.base]) {
      expect(decays(name), name).toBe(value.shape.length > 1);
    }
    qwen3.dispose();
  });

  test("reaches a head whatever its objective is called", () => {
    for (const { name } of model.heads.parameters()) expect(decays(name), name).toBe(true);
  });
});

describe("warm-up", () => {
  test.each([
    [0, 100, 0],
    [0.1, 100, 10],
    [0.1, 9, 0],
    [0.5, 9, 4],
    [0.999, 10, 9],
    [1, 10, 1],
    [150, 1000, 150],
    [150, 100, 100],
    [2.7, 10, 2],
  ])("of %d in a run of %d steps lasts %d", (warmup, steps, expected) => {
    expect(warmupSteps(warmup, steps)).toBe(expected);
  });
});

describe("an update rule", () => {
  /** A weight of 1 after updates by these gradients at learning rate 0.1. */
  const after = (name: keyof typeof optimizerRules, weightDecay: number, gradients: number[]): number => {
    const weight = tensor([1]);
    const optimizer = new Optimizer(new Map([["w", weight]]), optimizerRules[name](weightDecay), {
      learningRate: 0.1,
    });
    for (const gradient of gradients) {
      weight.grad = tensor([gradient]);
      optimizer.step();
    }
    optimizer.dispose();
    return weight.item();
  };

  test("sgd steps by the gradient, decay added to it", () => {
    expect(after("sgd", 0, [2])).toBeCloseTo(0.8, 6);
    expect(after("sgd", 0.5, [2])).toBeCloseTo(1 - 0.1 * 2.5, 6);
  });

  test("rmsprop divides by the root of squares smoothed with 0.99, decay added to the gradient", () => {
    expect(after("rmsprop", 0, [2])).toBeCloseTo(1 - (0.1 * 2) / Math.sqrt(0.01 * 4), 5);
    const second = Math.sqrt(0.99 * 0.01 * 4 + 0.01 * 9);
    expect(after("rmsprop", 0, [2, 3])).toBeCloseTo(1 - 1 - 0.3 / second, 5);
    expect(after("rmsprop", 0.5, [2])).toBeCloseTo(1 - (0.1 * 2.5) / Math.sqrt(0.01 * 6.25), 5);
  });

  test("adamw's first step is the learning rate long, and its decay is apart from the gradient", () => {
    expect(after("adamw", 0, [2])).toBeCloseTo(0.9, 5);
    expect(after("adamw", 0, [0.001])).toBeCloseTo(0.9, 4);
    expect(after("adamw", 0.5, [2])).toBeCloseTo(1 - 0.1 * 0.5 - 0.1, 5);
  });
});
