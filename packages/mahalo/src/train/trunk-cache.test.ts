/** Passes that begin above frozen layers: the values and gradients of whole passes, and runs that resume byte for byte. */
import { join } from "node:path";
import { liveTensors, scope } from "@mahalo/torch";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { silenceProgress } from "../core/progress.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { allMaps } from "../model/testing/adapted.ts";
import { distance, withFolder } from "../model/testing/tiny.ts";
import { logProbs, type ReadOptions } from "./forward.ts";
import type { TrainOptions } from "./options.ts";
import { StateCache } from "./state-cache.ts";
import { accumulateGradients } from "./step.ts";
import { expectClose } from "./testing/compare.ts";
import { alignedModel, OBJECTIVES, pairTask } from "./testing/fixture.ts";
import { digestsOf, go, STEPS, text } from "./testing/run.ts";
import { frozenLayers, frozenReads, setTrainable } from "./trainer.ts";
import { TrunkCache } from "./trunk-cache.ts";

const task = pairTask();
const rows = task.rows(0);
const kinds: [string, TrainOptions["train"]][] = [
  ["the last layer", { lastLayers: 1 }],
  ["adapters of the last layer", { adapters: { ...allMaps, lastLayers: 1 } }],
];

let model: LanguageModel;
beforeAll(() => silenceProgress(true));
afterAll(() => silenceProgress(false));
beforeEach(async () => {
  model = await alignedModel();
});
afterEach(() => model.dispose());

describe.each(kinds)("%s", (_, train) => {
  test.each([false, true])("has the gradients of whole passes (checkpointing: %s)", (checkpointing) => {
    const trained = setTrainable(model, train, model.heads.parameters(), 1, OBJECTIVES);
    const gradients = (options: ReadOptions, maxTokensPerMicrobatch: number) => {
      for (const parameter of trained) parameter.clearGradient();
      const lossOf: Parameters<typeof accumulateGradients>[2] = (row, values) => task.loss(row, values, rows);
      accumulateGradients(model, rows, lossOf, {
        ...options,
        checkpointing,
        maxTokensPerMicrobatch,
        trained,
      });
      return new Map(
        trained.map(
          ({ name, gradient }) => [name, gradient?.toFloat32Array() ?? new Float32Array()] as const,
        ),
      );
    };
    const wanted = gradients({}, 40);
    const states = new StateCache();
    const frozen = frozenReads(model.backbone, { train }, states);
    expect(frozen.trunk?.layers).toBe(model.config.layers - 1);
    expectClose(gradients(frozen, 40), wanted, 1e-5);
    expect(states.rows).toBe(rows.length);
    expectClose(gradients(frozen, 10_000), wanted, 1e-5);
    states.dispose();
  });

  test("trained in runs that are stopped and resumed gives the bytes of one that was not", () =>
    withFolder(async (root) => {
      const options = { train, evaluateEvery: 2 } as const;
      const straight = await go({ folder: join(root, "straight"), options });
      expect(straight.error).toBeUndefined();
      const plain = await go({ folder: join(root, "plain"), options: { ...options, cacheHidden: false } });
      expect(straight.last?.eval_loss).toBeCloseTo(plain.last?.eval_loss ?? Number.NaN, 4);
      for (let stopAfter = 1; stopAfter < STEPS; stopAfter += 2) {
        const folder = join(root, `stopped-${stopAfter}`);
        const first = await go({ folder, options, stopAfter });
        const second = await go({ folder, options });
        expect(text(folder)).toBe(text(join(root, "straight")));
        expect(digestsOf(second)).toEqual(digestsOf(straight));
        for (const used of [first, second]) used.model.dispose();
      }
      for (const used of [straight, plain]) used.model.dispose();
    }));
});

test("values are those of whole passes, computed once and without what lies below a second time", () => {
  const wanted = logProbs(model, rows, { maxTokensPerMicrobatch: 40 }).flat();
  const states = new StateCache();
  const trunk = new TrunkCache(model.backbone, 1, states);
  const found = logProbs(model, rows, { maxTokensPerMicrobatch: 40, trunk }).flat();
  for (const [index, values] of found.entries())
    expect(distance(values, wanted[index] ?? [])).toBeLessThan(1e-5);
  const { below } = model.backbone;
  model.backbone.below = () => {
    throw new Error("computed again");
  };
  expect(logProbs(model, rows, { maxTokensPerMicrobatch: 40, trunk }).flat()).toEqual(found);
  model.backbone.below = below;
  states.dispose();
});

test("states are freed, and of rows without room nothing is kept", () => {
  logProbs(model, rows, { maxTokensPerMicrobatch: 40 });
  const before = liveTensors();
  const states = new StateCache({ maxBytes: 0 });
  scope(() => {
    new TrunkCache(model.backbone, 1, states).startOf(rows);
  });
  expect([states.rows, states.bytes, liveTensors()]).toEqual([0, 0, before]);
});

test("frozen layers are those below the ones that training changes", () => {
  const of = (train: TrainOptions["train"]) => frozenLayers({ train }, 12);
  const { lora, adapters } = { lora: { rank: 1, alpha: 1 }, adapters: allMaps };
  expect([of("full"), of("heads"), of({ lora }), of({ adapters })]).toEqual([0, 12, 0, 0]);
  expect([
    of({ lastLayers: 4 }),
    of({ lastLayers: 20 }),
    of({ adapters: { ...adapters, lastLayers: 3 } }),
  ]).toEqual([8, 0, 9]);
  expect(
    frozenReads(model.backbone, { train: { lastLayers: 1 }, cacheHidden: false }, new StateCache()),
  ).toEqual({});
});
