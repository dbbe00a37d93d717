/** Our reward heads against PyTorch: outputs, losses and every gradient of a batch of four objectives. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, openSafetensors, ops } from "@mahalo/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { headKinds } from "../../packages/mahalo/src/model/reward/head-kinds/registry.ts";
import type { RewardModel } from "../../packages/mahalo/src/model/reward/reward-model.ts";
import { tinyRewards } from "../../packages/mahalo/src/model/testing/rewards.ts";
import { goldenFolder } from "../../packages/mahalo/src/model/testing/tiny.ts";
import type { RewardRow } from "../../packages/mahalo/src/train/reward.ts";
import { expectClose } from "../../packages/mahalo/src/train/testing/compare.ts";
import { rewardStep, rewardsTask } from "../../packages/mahalo/src/train/testing/rewards.ts";

const folder = join(goldenFolder, "rewards");
const ids = z.array(z.int());
const common = { objective: z.string(), prompt: ids, outputs: z.array(z.array(z.number())) };
const schema = z.looseObject({
  model: z.literal("models/tiny-llama"),
  kinds: z.record(z.string(), headKinds.schema()),
  rows: z.array(
    z.union([
      z.strictObject({ ...common, response: ids, ends: ids, labels: z.array(z.number().nullable()) }),
      z.strictObject({ ...common, chosen: ids, rejected: ids }),
    ]),
  ),
  objective_losses: z.record(z.string(), z.number()),
  loss: z.number(),
});
const path = join(folder, "golden.json");
const golden = parseJson(readFileSync(path, "utf8"), schema, path);
const rows = golden.rows.map(
  ({ outputs: _, ...row }, line): RewardRow => ({ ...row, origin: { file: path, line } }),
);

let model: RewardModel;
beforeAll(async () => {
  model = await tinyRewards(
    "tiny-llama",
    Object.entries(golden.kinds).map(([name, kind]) => ({ name, kind })),
  );
  const heads = openSafetensors(join(folder, "heads.safetensors"));
  for (const one of model.rewards.parameters())
    noGrad(() => ops.copy_(one.value.detach(), heads.tensor(one.name)));
  heads.close();
});
afterAll(() => model.dispose());

test.each([1, 10_000])(
  "scores, losses and gradients are PyTorch's, in passes of %d tokens",
  (maxTokensPerMicrobatch) => {
    const { records, metrics, gradients } = rewardStep(model, rewardsTask(model, { rows }), {
      maxTokensPerMicrobatch,
    });
    for (const [i, record] of records.entries()) {
      const row = golden.rows[i];
      if (row === undefined) throw new Error("a record of each row");
      const labels = "labels" in row ? row.labels : [];
      const outputs = row.outputs.filter((_, index) => labels[index] !== null);
      const scores = "scores" in record ? record.scores : [record.chosen, record.rejected];
      expect(scores.length).toBe(outputs.length);
      for (const [index, score] of scores.entries()) {
        expect(score).toBeCloseTo(headKinds.get(record.kind).score(outputs[index] ?? []), 5);
      }
    }
    expect(metrics.loss).toBeCloseTo(golden.loss, 5);
    for (const [objective, loss] of Object.entries(golden.objective_losses)) {
      expect(metrics[`${objective}/loss`]).toBeCloseTo(loss, 5);
    }
    const theirs = openSafetensors(join(folder, "gradients.safetensors"));
    expectClose(
      gradients,
      new Map(theirs.names.map((name) => [name, theirs.tensor(name).toFloat32Array()])),
      2e-5,
    );
    theirs.close();
  },
);
