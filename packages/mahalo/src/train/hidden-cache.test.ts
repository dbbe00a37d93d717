/** Kept hidden states: a frozen backbone computes each row once, and nothing that is trained notices. */
import { join } from "node:path";
import { liveTensors, scope } from "@mahalo/torch";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { distance, withFolder } from "../model/testing/tiny.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { forwardWithoutGrad, logProbs, type ReadOptions } from "./forward.ts";
import { HiddenCache } from "./hidden-cache.ts";
import { logProbHead } from "./log-prob-head.ts";
import { StateCache } from "./state-cache.ts";
import { accumulateGradients } from "./step.ts";
import type { TaskRow } from "./task.ts";
import { expectClose } from "./testing/compare.ts";
import { alignedModel, pairTask, trainOptions } from "./testing/fixture.ts";
import { digestsOf, go, STEPS, text } from "./testing/run.ts";
import { setTrainable, train } from "./trainer.ts";

let model: LanguageModel;
let states: StateCache;
let hidden: HiddenCache;
beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));
beforeEach(async () => {
  model = await alignedModel();
  states = new StateCache();
  hidden = new HiddenCache(model.backbone, states);
});
afterEach(() => {
  states.dispose();
  model.dispose();
});

const task = pairTask();
const rows = task.rows(0);
const heads = (): Parameter[] => setTrainable(model, "heads", model.heads.parameters(), 1);

/** Gradients of what trains for a step over all pairs. */
const gradients = (trained: readonly Parameter[], options: ReadOptions, maxTokensPerMicrobatch = 40) => {
  for (const one of trained) one.clearGradient();
  accumulateGradients(model, rows, (row, values) => task.loss(row, values, rows), {
    ...options,
    maxTokensPerMicrobatch,
    trained,
  });
  return new Map(
    trained.map((one) => [one.name, one.gradient?.toFloat32Array() ?? new Float32Array()] as const),
  );
};

describe("kept hidden states", () => {
  test("give the heads the gradients that computing them in every pass gives, to rounding", () => {
    const trained = heads();
    const wanted = gradients(trained, {});
    expectClose(gradients(trained, { hidden }), wanted, 1e-5);
    expect(states.rows).toBe(rows.length);
    expectClose(gradients(trained, { hidden }, 10_000), wanted, 1e-5);
  });

  test("give the same values, and are computed once", () => {
    const wanted = logProbs(model, rows, { maxTokensPerMicrobatch: 40 }).flat();
    const found = forwardWithoutGrad(model, rows, { maxTokensPerMicrobatch: 40, hidden }).flat();
    for (const [i, values] of found.entries()) expect(distance(values, wanted[i] ?? [])).toBeLessThan(1e-5);
    // A row that is known is not computed again: the backbone may be gone.
    const forward = model.backbone.forward;
    model.backbone.forward = () => {
      throw new Error("computed again");
    };
    expect(forwardWithoutGrad(model, rows, { maxTokensPerMicrobatch: 40, hidden }).flat()).toEqual(found);
    model.backbone.forward = forward;
  });

  test("do not depend on which rows came before, nor on whether there was room for them", () => {
    const none = new StateCache({ maxBytes: 0 });
    const few = new StateCache({ maxBytes: 4 * 64 * 20 });
    const reader = logProbHead(() => model.heads.base);
    const read = (cache: HiddenCache, order: readonly TaskRow[]): Map<TaskRow, Float32Array> =>
      new Map(order.map((row) => [row, scope(() => cache.of(reader, [{ row, index: 1 }]).toFloat32Array())]));
    const wanted = read(hidden, rows);
    for (const cache of [none, few]) {
      const found = read(new HiddenCache(model.backbone, cache), rows.toReversed());
      for (const [row, values] of found) expect(values).toEqual(wanted.get(row));
    }
    expect([none.rows, none.bytes]).toEqual([0, 0]);
    expect(few.rows).toBeGreaterThan(0);
    expect(few.rows).toBeLessThan(rows.length);
    few.dispose();
  });

  test("hold the positions that are read and no others, and are freed", () => {
    const [row] = rows;
    if (row === undefined) throw new Error("no row");
    logProbs(model, [row], { maxTokensPerMicrobatch: 40 });
    const before = liveTensors();
    const read = row.completions.reduce((sum, { length }) => sum + length, 0);
    scope(
      () =>
        hidden.of(
          logProbHead(() => model.heads.base),
          [{ row, index: 1 }],
        ).shape,
    );
    expect(states.bytes).toBe(read * model.config.hiddenSize * 4);
    expect(liveTensors()).toBe(before + 1);
    states.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe("a run of the heads alone", () => {
  test("with kept hidden states ends in the weights of one without, to rounding", () =>
    withFolder(async (root) => {
      const options = { train: "heads", evaluateEvery: 3 } as const;
      const kept = await go({ folder: join(root, "kept"), options });
      const plain = await go({ folder: join(root, "plain"), options: { ...options, cacheHidden: false } });
      expect(kept.error ?? plain.error).toBeUndefined();
      for (const [i, { value }] of kept.trained.entries()) {
        const other = plain.trained[i]?.value.toFloat32Array() ?? [];
        expect(distance(value.toFloat32Array(), other)).toBeLessThan(1e-5);
      }
      expect(kept.last?.eval_loss).toBeCloseTo(plain.last?.eval_loss ?? Number.NaN, 5);
      for (const one of [kept, plain]) one.model.dispose();
    }));

  test("stopped after any step and resumed has the logs and weights of one that was not, byte for byte", () =>
    withFolder(async (root) => {
      const options = { train: "heads", evaluateEvery: 2 } as const;
      const straight = await go({ folder: join(root, "straight"), options });
      for (let stopAfter = 1; stopAfter < STEPS; stopAfter++) {
        const folder = join(root, `stopped-${stopAfter}`);
        const first = await go({ folder, options, stopAfter });
        const second = await go({ folder, options });
        expect(text(folder)).toBe(text(join(root, "straight")));
        expect(digestsOf(second)).toEqual(digestsOf(straight));
        for (const one of [first, second]) one.model.dispose();
      }
      straight.model.dispose();
    }));

  test("changes the heads only, and leaves no native tensor behind", () =>
    withFolder(async (root) => {
      const once = (name: string) =>
        train(model, pairTask({ steps: 2 }), trainOptions({ train: "heads" }), heads(), {
          folder: join(root, name),
          seed: 1,
        });
      const bits = (): Float32Array[] =>
        model.backbone.parameters().map(({ value }) => value.toFloat32Array());
      const before = bits();
      await once("first");
      const left = liveTensors();
      await once("second");
      // The garbage collector may have found what other tests left.
      expect(liveTensors()).toBeLessThanOrEqual(left);
      expect(bits()).toEqual(before);
    }));
});
