/** The baselines' losses against PyTorch and TRL: DPO of one head over a model, MODPO's loss of a pair. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, openSafetensors, ops } from "@mahalo/torch";
import { expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { zip } from "../../packages/mahalo/src/core/need.ts";
import { gradientsOf, trainAll } from "../../packages/mahalo/src/model/testing/gradients.ts";
import { goldenFolder, tinyModel } from "../../packages/mahalo/src/model/testing/tiny.ts";
import { baseHead } from "../../packages/mahalo/src/train/log-prob-head.ts";
import { modpo } from "../../packages/mahalo/src/train/methods/modpo.ts";
import { scalarized } from "../../packages/mahalo/src/train/methods/scalarize.ts";
import { preferenceTask } from "../../packages/mahalo/src/train/preference.ts";
import { accumulateGradients } from "../../packages/mahalo/src/train/step.ts";
import { relativeToLargest } from "../../packages/mahalo/src/train/testing/compare.ts";

const folder = join(goldenFolder, "dpo");
const read = <T>(name: string, schema: z.ZodType<T>): T =>
  parseJson(readFileSync(join(folder, name), "utf8"), schema, name);
const numbers = z.array(z.number());
const golden = read(
  "baselines.json",
  z.looseObject({
    modpo: z.array(
      z.strictObject({
        beta: z.number(),
        weights: numbers,
        own: z.int(),
        logps: numbers,
        gaps: numbers,
        loss: z.number(),
        gradients: numbers,
      }),
    ),
    single_head: z.strictObject({
      beta: z.number(),
      loss: z.number(),
      trl_loss: z.number(),
      pair_losses: numbers,
    }),
  }),
);
const ids = z.array(z.int());
const { pairs } = read(
  "golden.json",
  z.looseObject({
    pairs: z.array(
      z.looseObject({
        prompt: ids,
        chosen: ids,
        rejected: ids,
        reference_chosen_logp: z.number(),
        reference_rejected_logp: z.number(),
      }),
    ),
  }),
);

test("MODPO's losses and gradients are PyTorch's, for two, three and four objectives", () => {
  expect(new Set(golden.modpo.map(({ weights }) => weights.length))).toEqual(new Set([2, 3, 4]));
  for (const { beta, weights, own, logps, gaps, loss, gradients } of golden.modpo) {
    const [chosen = 0, rejected = 0, referenceChosen = 0, referenceRejected = 0] = logps;
    const others = scalarized(
      new Map(gaps.map((gap, j) => [`o${j}`, [gap]])),
      new Map(weights.map((weight, j) => [`o${j}`, weight])),
      0,
      `o${own}`,
    );
    const found = modpo({ beta, weight: weights[own] ?? 0, others })({
      chosen,
      rejected,
      refChosen: referenceChosen,
      refRejected: referenceRejected,
      chosenLength: 1,
      rejectedLength: 1,
    });
    expect(found.loss).toBeCloseTo(loss, 9);
    expect(found.dChosen).toBeCloseTo(gradients[0] ?? Number.NaN, 9);
    expect(found.dRejected).toBeCloseTo(gradients[1] ?? Number.NaN, 9);
  }
});

test("DPO of one head on all pairs has TRL's loss and PyTorch's gradients", async () => {
  const model = await tinyModel("tiny-llama");
  const heads = openSafetensors(join(folder, "heads.safetensors"));
  noGrad(() => ops.copy_(model.heads.base.value, heads.tensor("heads.accuracy.weight")));
  heads.close();
  const trained = trainAll(model);
  const task = preferenceTask({
    pairs: pairs.map(({ prompt, chosen, rejected }, line) => ({
      objective: "all",
      prompt,
      chosen,
      rejected,
      origin: { file: "golden.json", line },
    })),
    reference: pairs.map((pair) => ({
      chosen: pair.reference_chosen_logp,
      rejected: pair.reference_rejected_logp,
    })),
    heldOut: [],
    heldOutReference: undefined,
    steps: 1,
    batch: () => [...pairs.keys()],
    beta: golden.single_head.beta,
    headOf: () => baseHead(model),
  });
  const rows = task.rows(0);
  const losses: number[] = [];
  const records = accumulateGradients(model, rows, (row, logps) => task.loss(row, logps, rows), {
    maxTokensPerMicrobatch: 64,
    trained,
    headOf: task.headOf,
  });
  for (const [row, { loss }] of zip(rows, records)) losses[row.index] = loss;
  expect(relativeToLargest(losses, golden.single_head.pair_losses)).toBeLessThan(1e-5);
  const mean = losses.reduce((sum, one) => sum + one, 0) / losses.length;
  expect(mean).toBeCloseTo(golden.single_head.trl_loss, 5);
  const gradients = gradientsOf(model);
  const recorded = openSafetensors(join(folder, "single-head.safetensors"));
  for (const name of recorded.names) {
    const wanted = recorded.tensor(name).toFloat32Array();
    expect(relativeToLargest(gradients.get(name) ?? [], wanted), name).toBeLessThan(2e-5);
  }
  recorded.close();
  model.dispose();
});
