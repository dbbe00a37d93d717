/** The trainer: steps that clip, warm up, log, forwardWithoutGrad and train what they should, and end with an error where they must. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { liveTensors } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import { trainAll } from "../model/testing/gradients.ts";
import { withFolder } from "../model/testing/tiny.ts";
import { Parameter } from "../model/transformer/parameters.ts";
import { logProbs } from "./forward.ts";
import { metricsFile, readMetrics, timingNames } from "./metrics.ts";
import type { TrainOptions } from "./options.ts";
import { alignedModel, OBJECTIVES, PAIRS, trainOptions } from "./testing/fixture.ts";
import { alignTask, digestsOf, fineTuneTask, go, order, type Run, STEPS, weightsOf } from "./testing/run.ts";
import { setTrainable, train } from "./trainer.ts";

beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));

describe("a run", () => {
  test("stops at a batch that lacks an objective, and trains nothing of it", () =>
    withFolder(async (folder) => {
      const pairs = order(1);
      const only = (step: number): number[] => pairs(step).filter((i) => PAIRS[i]?.objective === "accuracy");
      const task = () => alignTask({ batch: (step) => (step === 2 ? only(step) : pairs(step)) });
      const run = await go({ folder, task });
      expect(run.error).toMatchObject({
        code: "E_BATCH_OBJECTIVE_MISSING",
        message: expect.stringMatching(/step 2.*"engagement"/),
      });
      expect((await readMetrics(join(folder, metricsFile))).map(({ step }) => step)).toEqual([1, 2]);
      run.model.dispose();
    }));

  test("stops at a gradient that is not a number, naming its weight, and changes no weight by it", () =>
    withFolder(async (folder) => {
      const whole = await go({ folder: join(folder, "two"), stopAfter: 2 });
      const given = alignTask();
      const third = new Set(given.rows(2));
      const loss: typeof given.loss = (row, logps, step) => ({
        ...given.loss(row, logps, step),
        ...(step.every((one) => third.has(one)) ? { gradients: [Number.NaN, Number.NaN] } : {}),
      });
      const task = () => ({ ...given, loss });
      const run = await go({ folder, task });
      expect(run.error).toMatchObject({
        code: "E_GRADIENT_NOT_FINITE",
        message: expect.stringContaining(".weight"),
      });
      expect(digestsOf(run)).toEqual(digestsOf(whole));
      for (const { model } of [whole, run]) model.dispose();
    }));

  test("leaves no native tensor behind", () =>
    withFolder(async (folder) => {
      const model = await alignedModel();
      const trained = setTrainable(model, "full", model.heads.parameters(), 1);
      const once = (name: string) =>
        train(model, alignTask(), trainOptions({ saveEvery: 2 }), trained, {
          folder: join(folder, name),
          seed: 1,
        });
      await once("first");
      const before = liveTensors();
      await once("second");
      expect(liveTensors()).toBe(before);
      model.dispose();
    }));
});

describe("the log", () => {
  test("has the metrics of every step, and what a clock or the machine decides apart from them", () =>
    withFolder(async (folder) => {
      const { model } = await go({ folder });
      const rows = await readMetrics(join(folder, metricsFile));
      expect(rows.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 6]);
      for (const row of rows.slice(0, STEPS)) {
        expect(Object.keys(row)).toEqual(
          expect.arrayContaining(["loss", "accuracy/loss", "rewards/margins", "grad_norm", "learning_rate"]),
        );
      }
      expect(rows.flatMap(Object.keys).filter((name) => timingNames.has(name))).toEqual([]);
      const timings = await readMetrics(join(folder, "timings.jsonl"));
      expect(timings.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
      for (const timing of timings) {
        expect(Object.keys(timing).sort()).toEqual(["step", ...timingNames].sort());
        for (const value of Object.values(timing)) expect(value).toBeGreaterThan(0);
      }
      expect(existsSync(join(folder, "tensorboard"))).toBe(true);
      model.dispose();
    }));

  test("shows a loss that falls", () =>
    withFolder(async (folder) => {
      const all = () => alignTask({ batch: () => [...PAIRS.keys()] });
      const { model } = await go({ folder, task: all });
      const losses = (await readMetrics(join(folder, metricsFile))).flatMap(({ loss }) => loss ?? []);
      expect(losses).toHaveLength(STEPS);
      for (const [i, loss] of losses.entries()) if (i > 0) expect(loss).toBeLessThan(losses[i - 1] ?? 0);
      model.dispose();
    }));
});

describe("held-out pairs", () => {
  const evaluated = async (folder: string): Promise<number[]> =>
    (await readMetrics(join(folder, metricsFile))).flatMap((row) => ("eval_loss" in row ? row.step : []));

  test.each<[number | "never", number[]]>([
    [0, [6]],
    [1, [1, 2, 3, 4, 5, 6]],
    [4, [4, 6]],
    [3, [3, 6]],
    [100, [6]],
    ["never", []],
  ])("are measured every %s steps, and at the end unless that is never: after %j", (evaluateEvery, steps) =>
    withFolder(async (folder) => {
      const { model } = await go({ folder, options: { evaluateEvery } });
      expect(await evaluated(folder)).toEqual(steps);
      model.dispose();
    }),
  );

  test("are measured with the weights of their step, and change nothing of training", () =>
    withFolder(async (root) => {
      const [much, none] = [join(root, "much"), join(root, "none")];
      const first = await go({ folder: much, options: { evaluateEvery: 1 } });
      const task = () => alignTask({ heldOut: [], heldOutReference: [] });
      const second = await go({ folder: none, task });
      expect(await evaluated(none)).toEqual([]);
      expect(digestsOf(second)).toEqual(digestsOf(first));
      const training = (await readMetrics(join(much, metricsFile))).filter((row) => !("eval_loss" in row));
      expect(training).toEqual(await readMetrics(join(none, metricsFile)));

      const held = alignTask();
      const logps = logProbs(first.model, held.heldOut, { maxTokensPerMicrobatch: 64 });
      const records = held.heldOut.map((row, i) => held.loss(row, logps[i] ?? [], held.heldOut).record);
      const wanted = Object.entries(held.metrics(records)).map(([name, value]) => [`eval_${name}`, value]);
      const last = (await readMetrics(join(much, metricsFile))).at(-1);
      expect(last).toEqual({ step: STEPS, ...Object.fromEntries(wanted) });
      expect(first.last).toMatchObject(Object.fromEntries(wanted));
      for (const { model } of [first, second]) model.dispose();
    }));

  test("show on a terminal how far their measurement is", () =>
    withFolder(async (folder) => {
      const shown: string[] = [];
      const { isTTY } = process.stderr;
      const write = vi
        .spyOn(process.stderr, "write")
        .mockImplementation((text) => shown.push(String(text)) > 0);
      silenceProgress(false);
      process.stderr.isTTY = true;
      try {
        const { model } = await go({ folder });
        model.dispose();
      } finally {
        process.stderr.isTTY = isTTY;
        silenceProgress(true);
        write.mockRestore();
      }
      expect(shown.join("")).toMatch(/, held out .* \d+\/\d+ rows/);
    }));
});

describe("a step of plain descent", () => {
  /** Root of the summed squares of what one step changed, in all and of the heads, and the step's metrics. */
  const step = (options: Partial<TrainOptions>): Promise<{ moved: number; heads: number; norm: number }> =>
    withFolder(async (folder) => {
      const before = await alignedModel();
      const weights = new Map(
        [...before.backbone.parameters(), ...before.heads.parameters()].map((one) => [
          one.name,
          one.float().toFloat32Array(),
        ]),
      );
      const run = await go({
        folder,
        options: { optimizer: "sgd", learningRate: 1, ...options },
        stopAfter: 1,
      });
      let squares = 0;
      let ofHeads = 0;
      for (const [name, now] of weightsOf(run)) {
        const then = weights.get(name);
        for (const [i, value] of now.entries()) {
          const square = then ? (value - (then[i] ?? Number.NaN)) ** 2 : 0;
          squares += square;
          if (name.startsWith("heads.")) ofHeads += square;
        }
      }
      const [row] = await readMetrics(join(folder, metricsFile));
      for (const { model } of [run, { model: before }]) model.dispose();
      return {
        moved: Math.sqrt(squares),
        heads: Math.sqrt(ofHeads),
        norm: row?.grad_norm ?? Number.NaN,
      };
    });

  test("goes as far as the gradient is long, unless that is clipped; the log has the length before", async () => {
    const free = await step({ maxGradNorm: 0 });
    expect(free.norm).toBeGreaterThan(0.1);
    expect(free.moved / free.norm).toBeCloseTo(1, 4);
    const clipped = await step({ maxGradNorm: 0.05 });
    expect(clipped.norm).toBe(free.norm);
    expect(clipped.moved).toBeCloseTo(0.05, 5);
    const wide = await step({ maxGradNorm: 2 * free.norm });
    expect(wide).toEqual(free);
  });

  test("of heads has their own learning rate, and leaves the backbone's as it is", async () => {
    const alike = await step({ maxGradNorm: 0 });
    expect(await step({ maxGradNorm: 0, headLearningRate: 1 })).toEqual(alike);
    const faster = await step({ maxGradNorm: 0, headLearningRate: 3 });
    expect(faster.heads / alike.heads).toBeCloseTo(3, 4);
    const backbone = ({ moved, heads }: { moved: number; heads: number }): number => moved ** 2 - heads ** 2;
    expect(backbone(faster) / backbone(alike)).toBeCloseTo(1, 4);
    expect(faster.norm).toBe(alike.norm);
  });

  test("is scaled by the warm-up's share of the learning rate", async () => {
    const free = await step({ maxGradNorm: 0 });
    const warm = await step({ maxGradNorm: 0, warmup: 4 });
    expect(warm.moved / free.moved).toBeCloseTo(0.25, 4);
  });
});

describe("the learning rate", () => {
  const rates = (options: Partial<TrainOptions>): Promise<number[]> =>
    withFolder(async (folder) => {
      const { model } = await go({ folder, options: { learningRate: 1e-3, ...options } });
      model.dispose();
      const rows = await readMetrics(join(folder, metricsFile));
      return rows.flatMap((row) => ("learning_rate" in row ? (row.learning_rate ?? []) : []));
    });
  const half = (share: number): number => 0.5 * (1 + Math.cos(Math.PI * share));

  test.each<[string, Partial<TrainOptions>, number[]]>([
    ["is constant", {}, [1, 1, 1, 1, 1, 1]],
    ["rises over the warm-up, its first step above 0", { warmup: 3 }, [1 / 3, 2 / 3, 1, 1, 1, 1]],
    ["takes a warm-up below 1 as a share", { warmup: 0.34 }, [1 / 2, 1, 1, 1, 1, 1]],
    ["may rise to the end", { warmup: 100 }, [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1]],
    ["falls linearly", { schedule: "linear" }, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]],
    ["falls after the warm-up", { schedule: "linear", warmup: 2 }, [1 / 2, 1, 1, 3 / 4, 2 / 4, 1 / 4]],
    [
      "falls by half a cosine",
      { schedule: "cosine", warmup: 1 },
      [1, 1, half(1 / 5), half(2 / 5), half(3 / 5), half(4 / 5)],
    ],
  ])("%s", async (_, options, shares) => {
    const found = await rates(options);
    expect(found).toHaveLength(shares.length);
    for (const [i, rate] of found.entries()) expect(rate).toBeCloseTo(1e-3 * (shares[i] ?? Number.NaN), 12);
  });
});

describe("what trains", () => {
  /** Names of the weights that a run changed. */
  const changed = (run: Omit<Run, "folder">): Promise<{ names: string[]; trained: string[] }> =>
    withFolder(async (folder) => {
      const ended = await go({ folder, ...run });
      expect(ended.error).toBeUndefined();
      const fresh = await alignedModel("tiny-llama", { compute: run.compute ?? "float32" });
      const adapters = setTrainable(fresh, trainOptions(run.options).train, [], run.seed ?? 1);
      const before = weightsOf({ ...ended, model: fresh, trained: adapters });
      const names = [...weightsOf(ended)].flatMap(([name, values]) =>
        values.some((value, i) => value !== before.get(name)?.[i]) ? [name] : [],
      );
      const trained = ended.trained.map(({ name }) => name);
      for (const model of [ended.model, fresh]) model.dispose();
      return { names: names.sort(), trained: trained.sort() };
    });
  const heads = OBJECTIVES.map((name) => `heads.${name}.weight`);

  test.each(["float32", "bfloat16"] as const)("is all but the base head, in %s", async (compute) => {
    const { names, trained } = await changed({ compute });
    expect(names).toEqual(trained);
    expect(names).toEqual(expect.arrayContaining([...heads, "model.embed_tokens.weight"]));
    expect(names).not.toContain("lm_head.weight");
  });

  test("in bfloat16 reaches what the model computes with, rounded, after every step", () =>
    withFolder(async (folder) => {
      const run = await go({ folder, compute: "bfloat16", stopAfter: 1 });
      const fresh = await alignedModel("tiny-llama", { compute: "bfloat16" });
      for (const [i, head] of run.model.heads.parameters().entries()) {
        expect(head.value.toFloat32Array()).toEqual(head.float().to("bfloat16").toFloat32Array());
        expect(head.value.toFloat32Array()).not.toEqual(fresh.heads.parameters()[i]?.value.toFloat32Array());
      }
      for (const { value, master } of run.trained) {
        expect(value.toFloat32Array()).toEqual(master?.to("bfloat16").toFloat32Array());
      }
      for (const { model } of [run, { model: fresh }]) model.dispose();
    }));

  test("is what was selected last, whatever trained before", async () => {
    const model = await alignedModel();
    trainAll(model);
    const trained = setTrainable(model, { lastLayers: 1 }, model.heads.parameters(), 1);
    const on = model.backbone.parameters().filter(({ trainable }) => trainable);
    expect([...on, ...model.heads.parameters()]).toEqual(trained);
    model.dispose();
  });

  test("is the last layer, the last norm and the heads", async () => {
    const { names, trained } = await changed({ options: { train: { lastLayers: 1 } } });
    expect(names).toEqual(trained);
    const others = names.filter((name) => !name.startsWith("model.layers.1."));
    expect(others).toEqual([...heads, "model.norm.weight"]);
    expect(names.length).toBeGreaterThan(others.length + 4);
  });

  test("is every layer but not the embedding where more layers are asked for than there are", async () => {
    const { names, trained } = await changed({ options: { train: { lastLayers: 99 } } });
    expect(names).toEqual(trained);
    expect(names).toContain("model.layers.0.qkv.weight");
    expect(names).not.toContain("model.embed_tokens.weight");
  });

  test("is the last norm and the heads where no layer is", async () => {
    expect((await changed({ options: { train: { lastLayers: 0 } } })).names).toEqual([
      ...heads,
      "model.norm.weight",
    ]);
  });

  test("is adapters and heads, and the backbone keeps every bit", async () => {
    const { names, trained } = await changed({ options: { train: { lora: { rank: 2, alpha: 4 } } } });
    expect(names).toEqual(trained);
    expect(names.filter((name) => name.startsWith("model."))).toEqual([]);
    // Two matrices for each of seven maps in two layers.
    expect(names).toHaveLength(heads.length + 2 * 7 * 2);
  });

  test("begins as adapters that change nothing, the same for the same seed", async () => {
    const downs = await Promise.all(
      [1, 1, 2].map(async (seed) => {
        const model = await alignedModel();
        const before = logProbs(model, alignTask().heldOut, { maxTokensPerMicrobatch: 64 });
        const trained = setTrainable(model, { lora: { rank: 2, alpha: 4 } }, [], seed);
        expect(logProbs(model, alignTask().heldOut, { maxTokensPerMicrobatch: 64 })).toEqual(before);
        const values = trained.map((one) => [one.name, one.float().toFloat32Array()]);
        model.dispose();
        return values;
      }),
    );
    expect(downs[0]).toEqual(downs[1]);
    expect(downs[0]).not.toEqual(downs[2]);
  });

  test("is the backbone and the base head in fine-tuning", async () => {
    const { names } = await changed({ task: fineTuneTask, heads: (model) => [model.heads.base] });
    expect(names).toContain("lm_head.weight");
    expect(names.filter((name) => name.startsWith("heads."))).toEqual([]);
  });

  test("must have master weights", async () => {
    const model = await alignedModel();
    const inference = new Parameter("w", model.heads.base.value, undefined);
    await withFolder(async (folder) => {
      await expect(
        train(model, alignTask(), trainOptions(), [inference], { folder, seed: 1 }),
      ).rejects.toMatchObject({ code: "E_MODEL_NOT_TRAINABLE", message: expect.stringContaining("w has") });
    });
    model.dispose();
  });
});
