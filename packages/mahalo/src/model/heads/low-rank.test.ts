/** Low-rank heads: nothing at first, then W_0 + U V whether merged or read by row, saved, trained and answered with. */
import { join } from "node:path";
import { noGrad, ops, scope, tensor } from "@mahalo/torch";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { normal } from "../../core/testing/normal.ts";
import { Engine } from "../../decode/engine.ts";
import type { Completion } from "../../decode/request.ts";
import { accumulateGradients } from "../../train/step.ts";
import { relativeToLargest } from "../../train/testing/compare.ts";
import { pairTask } from "../../train/testing/fixture.ts";
import { type LanguageModel, loadModel } from "../folder/load.ts";
import { exportMix, saveModel } from "../folder/save.ts";
import { distance, IDS, logitsOf, tinyModel, withFolder } from "../testing/tiny.ts";
import type { Mix } from "./heads.ts";

const OBJECTIVES = ["accuracy", "engagement"];
const RANK = 3;

let model: LanguageModel;
beforeEach(async () => {
  model = await tinyModel("tiny-llama");
});
afterEach(() => model.dispose());

/** Heads of low rank that do something. */
const withHeads = (): void => {
  model.heads.addLowRank(OBJECTIVES, { rank: RANK, seed: 1, compute: model.backbone.compute });
  const random = rng(3, "low-rank heads");
  for (const parameter of model.heads.parameters()) {
    const { shape, numel } = parameter.value;
    const drawn = Float32Array.from({ length: numel }, () => 0.2 * normal(random));
    noGrad(() => scope(() => ops.copy_(parameter.master ?? parameter.value, tensor(drawn, { shape }))));
    parameter.syncFromMaster();
  }
  model.heads.clearMixes();
};

const answer = async (of: LanguageModel, mixes: readonly Mix[], batchSize: number): Promise<Completion[]> => {
  const engine = new Engine(of, { batchSize });
  const asked = mixes.map((mix, seed) => ({
    ids: IDS,
    mix,
    seed,
    maxNewTokens: 10,
    sampling: { temperature: 1 },
    logprobs: true,
  }));
  const answers = await Promise.all(asked.map((request) => engine.submit(request).completion()));
  engine.close();
  return answers;
};

test("change nothing until they are trained, and know their rank", () => {
  expect([model.heads.lowRank, model.heads.rank]).toEqual([false, undefined]);
  const before = logitsOf(model, IDS);
  model.heads.addLowRank(OBJECTIVES, { rank: RANK, seed: 1, compute: "float32" });
  expect([model.heads.lowRank, model.heads.rank]).toEqual([true, RANK]);
  expect(distance(logitsOf(model, IDS, model.heads.mix({ accuracy: 1 })), before)).toBeLessThan(1e-6);
  expect(() => model.heads.addLowRank(["accuracy"], { rank: 1, seed: 1, compute: "float32" })).toThrow(
    /already/,
  );
  expect(() => model.heads.addLowRank(["x"], { rank: 1e6, seed: 1, compute: "float32" })).toThrow(
    /hidden size/,
  );
  expect(() => model.heads.get("accuracy")).toThrow(/update of the base head/);
});

describe("read by row", () => {
  test.each(["plain", "rowwise"])("give the merged heads' logits (%s)", (kernels) => {
    withHeads();
    const mixes = [
      { accuracy: 1, engagement: 0 },
      { accuracy: 0.3, engagement: 0.7 },
      { accuracy: 0, engagement: 1 },
    ];
    const { rowwise } = model.backbone.kernels;
    noGrad(() =>
      scope(() => {
        const hidden_ND = ops.randn([3, model.config.hiddenSize]);
        const logits = model.heads.lowRankLogits(hidden_ND, mixes, {
          rowwise: kernels === "plain" ? undefined : rowwise,
        });
        for (const [row, mix] of mixes.entries()) {
          const merged = ops.linear(hidden_ND.narrow(0, row, 1), model.heads.mix(mix)).toFloat32Array();
          expect(distance(logits.narrow(0, row, 1).toFloat32Array(), merged)).toBeLessThan(1e-4);
          expect(
            distance(
              merged,
              ops.linear(hidden_ND.narrow(0, row, 1), model.heads.base.value).toFloat32Array(),
            ),
          ).toBeGreaterThan(0.01);
        }
      }),
    );
  });

  test("answers do not depend on their company, and are those of the exported mix", async () => {
    withHeads();
    const mixes = Array.from({ length: 11 }, (_, index) => ({ accuracy: index, engagement: 10 - index }));
    const together = await answer(model, mixes, 11);
    const alone = [];
    for (const [index] of mixes.entries()) alone.push((await answer(model, mixes, 1))[index]);
    expect(together).toEqual(alone);
    await withFolder(async (folder) => {
      await exportMix(model, { accuracy: 4, engagement: 6 }, join(folder, "mix"));
      const plain = await loadModel(join(folder, "mix"));
      const engine = new Engine(plain);
      const greedy = { ids: IDS, maxNewTokens: 8 };
      const exported = await engine.submit(greedy).completion();
      engine.close();
      const own = new Engine(model);
      expect((await own.submit({ ...greedy, mix: { accuracy: 4, engagement: 6 } }).completion()).ids).toEqual(
        exported.ids,
      );
      own.close();
      plain.dispose();
    });
  });
});

test("gradients are those of the merged head, through both matrices", () => {
  withHeads();
  const rows = pairTask()
    .rows(0)
    .filter(({ objective }) => objective === "accuracy");
  const task = pairTask();
  const lossOf: Parameters<typeof accumulateGradients>[2] = (row, values) => {
    const known = task.rows(0)[row.index];
    if (known === undefined) throw new Error("no such row");
    return task.loss(known, values, task.rows(0));
  };
  const trained = model.heads.parameters();
  accumulateGradients(model, rows, lossOf, { maxTokensPerMicrobatch: 64, trained });
  const found = trained.map(({ gradient }) => gradient?.toFloat32Array() ?? new Float32Array(0));
  // The same rows under a whole head with the same weights.
  const whole = scope(() => model.heads.mixFloat({ accuracy: 1 }).clone().toFloat32Array());
  model.heads.addNoisyCopies(["whole"], { seed: 1, compute: "float32" });
  const head = model.heads.get("whole");
  noGrad(() => scope(() => ops.copy_(head.value, tensor(whole, { shape: head.value.shape }))));
  accumulateGradients(
    model,
    rows.map((row) => ({ ...row, objective: "whole" })),
    lossOf,
    {
      maxTokensPerMicrobatch: 64,
      trained: [head],
    },
  );
  const low = model.heads.head("accuracy");
  if (!("u_VR" in low)) throw new Error("a whole head");
  const [ofU, ofV] = scope((): [Float32Array, Float32Array] => {
    const { gradient } = head;
    if (gradient === null) throw new Error("no gradient");
    return [
      gradient.matmul(low.v_RD.float().detach().t()).toFloat32Array(),
      low.u_VR.float().detach().t().matmul(gradient).toFloat32Array(),
    ];
  });
  expect(relativeToLargest(found[0] ?? [], ofU)).toBeLessThan(1e-4);
  expect(relativeToLargest(found[1] ?? [], ofV)).toBeLessThan(1e-4);
  // Nothing of the other objective's head.
  expect(found.slice(2).map(({ length }) => length)).toEqual([0, 0]);
});

test.each(["float32", "bfloat16"] as const)("saved heads come back bit for bit (%s)", (compute) =>
  withFolder(async (folder) => {
    withHeads();
    await saveModel(model, join(folder, "model"));
    const loaded = await loadModel(join(folder, "model"), { training: true, compute });
    expect(loaded.heads.rank).toBe(RANK);
    for (const [index, parameter] of loaded.heads.parameters().entries())
      expect(parameter.float().toFloat32Array()).toEqual(
        model.heads.parameters()[index]?.float().toFloat32Array(),
      );
    loaded.dispose();
  }),
);
