/** Our MAH-DPO against PyTorch and TRL: log-probabilities, losses and gradients of a step over two objectives. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, openSafetensors, ops } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { zip } from "../../packages/mahalo/src/core/need.ts";
import { silenceProgress } from "../../packages/mahalo/src/core/progress.ts";
import type { EncodedPair } from "../../packages/mahalo/src/data/tokens/encode.ts";
import type { LanguageModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { gradientsOf, trainAll } from "../../packages/mahalo/src/model/testing/gradients.ts";
import { goldenFolder, tinyModel } from "../../packages/mahalo/src/model/testing/tiny.ts";
import type { PairRecord } from "../../packages/mahalo/src/train/metrics.ts";

import { type PreferenceTaskOptions, preferenceTask } from "../../packages/mahalo/src/train/preference.ts";

import { computeReference } from "../../packages/mahalo/src/train/reference.ts";
import { accumulateGradients } from "../../packages/mahalo/src/train/step.ts";
import { relativeToLargest } from "../../packages/mahalo/src/train/testing/compare.ts";

const folder = join(goldenFolder, "dpo");
const ids = z.array(z.int());
const logp = z.number().negative();
const formSchema = z.strictObject({
  pair_losses: z.array(z.number()),
  objective_losses: z.record(z.string(), z.number()),
  loss: z.number(),
});
const schema = z.looseObject({
  model: z.literal("models/tiny-llama"),
  beta: z.number(),
  smoothing: z.number(),
  objectives: z.array(z.string()),
  pairs: z.array(
    z.strictObject({
      objective: z.string(),
      prompt: ids,
      chosen: ids,
      rejected: ids,
      chosen_logp: logp,
      rejected_logp: logp,
      reference_chosen_logp: logp,
      reference_rejected_logp: logp,
    }),
  ),
  forms: z.record(z.string(), formSchema),
  trl_objective_losses: z.looseObject({ sigmoid: z.record(z.string(), z.number()) }),
});
const path = join(folder, "golden.json");
const golden = parseJson(readFileSync(path, "utf8"), schema, path);
const { beta, smoothing, objectives } = golden;
const pairs = golden.pairs.map(
  ({ objective, prompt, chosen, rejected }, line): EncodedPair => ({
    objective,
    prompt,
    chosen,
    rejected,
    origin: { file: path, line },
  }),
);
const recordedReference = golden.pairs.map((pair) => ({
  chosen: pair.reference_chosen_logp,
  rejected: pair.reference_rejected_logp,
}));

/** |a - b| relative to b, or to 1 where b is smaller. */
const off = (a: number | undefined, b: number | undefined): number =>
  Math.abs((a ?? Number.NaN) - (b ?? Number.NaN)) / Math.max(1, Math.abs(b ?? Number.NaN));

/** Our names of the recorded forms. */
const forms = {
  sigmoid: { loss: "sigmoid", reference: recordedReference },
  sigmoid_smoothed: { loss: "sigmoid", smoothing, reference: recordedReference },
  ipo: { loss: "ipo", reference: recordedReference },
  ipo_per_token: { loss: "ipo-norm", reference: recordedReference },
  sigmoid_reference_free: { loss: "sigmoid", reference: undefined },
} as const;

/** Losses, rewards and gradients of TRL's own trainers. */
const trlSchema = z.looseObject({
  forms: z.record(
    z.enum(["ipo-norm", "simpo"]),
    z.strictObject({
      options: z.strictObject({ beta: z.number(), gamma: z.number().optional() }),
      loss: z.number(),
      objective_losses: z.record(z.string(), z.number()),
      objective_rewards: z.record(z.string(), z.record(z.string(), z.number())),
    }),
  ),
});
const trl = parseJson(readFileSync(join(folder, "trl.json"), "utf8"), trlSchema, "trl.json");

let model: LanguageModel;
const tensors = openSafetensors(join(folder, "gradients.safetensors"));
const trlTensors = openSafetensors(join(folder, "trl-gradients.safetensors"));
beforeAll(async () => {
  silenceProgress(true);
  model = await tinyModel("tiny-llama");
  model.heads.addNoisyCopies(objectives, { seed: 0, compute: "float32" });
  const heads = openSafetensors(join(folder, "heads.safetensors"));
  for (const head of model.heads.parameters()) noGrad(() => ops.copy_(head.value, heads.tensor(head.name)));
  heads.close();
});
afterAll(() => {
  silenceProgress(false);
  model.dispose();
  tensors.close();
  trlTensors.close();
});

/** A step over all pairs: passes of one row each, or one pass for all. */
const step = (options: Partial<PreferenceTaskOptions>, maxTokensPerMicrobatch: number) => {
  const trained = trainAll(model);
  for (const one of trained) one.clearGradient();
  const task = preferenceTask({
    reference: undefined,
    ...options,
    pairs,
    heldOut: [],
    heldOutReference: undefined,
    steps: 1,
    batch: () => pairs.map((_, i) => i),
  });
  const rows = task.rows(0);
  const records: PairRecord[] = [];
  const found = accumulateGradients(model, rows, (row, logps) => task.loss(row, logps, rows), {
    maxTokensPerMicrobatch,
    trained,
  });
  for (const [row, record] of zip(rows, found)) records[row.index] = record;
  return { records, metrics: task.metrics(records), gradients: gradientsOf(model) };
};

/** Compares the gradients that are recorded under a form's name. */
const expectGradients = (
  recorded: typeof tensors,
  form: string,
  gradients: ReadonlyMap<string, Float32Array>,
): string[] => {
  const names = recorded.names.filter((key) => key.startsWith(`${form}.`));
  for (const key of names) {
    const theirs = recorded.tensor(key).toFloat32Array();
    const ours = gradients.get(key.slice(form.length + 1)) ?? [];
    expect(relativeToLargest(ours, theirs), key).toBeLessThan(1e-5);
  }
  return names.map((key) => key.slice(form.length + 1));
};

test("the reference's log-probabilities are PyTorch's", () => {
  const reference = computeReference(model, pairs, { maxTokensPerMicrobatch: 64 });
  for (const [i, { chosen, rejected }] of reference.entries()) {
    expect(off(chosen, recordedReference[i]?.chosen)).toBeLessThan(1e-5);
    expect(off(rejected, recordedReference[i]?.rejected)).toBeLessThan(1e-5);
  }
});

describe.each(Object.entries(forms))("%s", (name, options) => {
  const recorded = golden.forms[name];

  test("losses of pairs, objectives and the batch are PyTorch's, and TRL's where it has the form", () => {
    const { records, metrics } = step({ ...options, beta }, 10_000);
    for (const [i, record] of records.entries()) {
      expect(off(record.logpChosen, golden.pairs[i]?.chosen_logp)).toBeLessThan(1e-5);
      expect(off(record.logpRejected, golden.pairs[i]?.rejected_logp)).toBeLessThan(1e-5);
      // A square of differences between float32 sums of up to 265 has lost a digit in PyTorch's own numbers.
      const tolerance = name === "ipo" ? 5e-5 : 1e-5;
      expect(off(record.loss, recorded?.pair_losses[i])).toBeLessThan(tolerance);
    }
    expect(off(metrics.loss, recorded?.loss)).toBeLessThan(1e-5);
    for (const objective of objectives) {
      const own = metrics[`${objective}/loss`];
      expect(off(own, recorded?.objective_losses[objective])).toBeLessThan(1e-5);
      if (name === "sigmoid") {
        expect(off(own, golden.trl_objective_losses.sigmoid[objective])).toBeLessThan(1e-5);
      }
    }
  });

  test.each([1, 10_000])(
    "gradients are PyTorch's, to 1e-5, in passes of %d tokens",
    (maxTokensPerMicrobatch) => {
      const { gradients } = step({ ...options, beta }, maxTokensPerMicrobatch);
      const names = expectGradients(tensors, name, gradients);
      const here = [...gradients.keys()].filter((key) => key !== "lm_head.weight");
      // Every gradient is recorded of one form.
      if (name === "sigmoid") expect(names.sort()).toEqual(here.sort());
      else expect(names.length).toBeGreaterThan(6);
    },
  );
});

describe.each(Object.entries(trl.forms))("TRL's own %s", (name, { options, ...recorded }) => {
  const loss = z.enum(["ipo-norm", "simpo"]).parse(name);
  const reference = loss === "simpo" ? undefined : recordedReference;

  test("has our losses and rewards", () => {
    const { metrics } = step({ ...options, loss, reference }, 10_000);
    expect(off(metrics.loss, recorded.loss)).toBeLessThan(1e-5);
    for (const objective of objectives) {
      expect(off(metrics[`${objective}/loss`], recorded.objective_losses[objective])).toBeLessThan(1e-5);
      const rewards = Object.entries(recorded.objective_rewards[objective] ?? {});
      expect(rewards).toHaveLength(4);
      // A tenth of the difference of two float32 sums of up to 265.
      for (const [key, value] of rewards)
        expect(off(metrics[`${objective}/${key}`], value), key).toBeLessThan(2e-5);
    }
  });

  test.each([1, 10_000])("has our gradients, to 1e-5, in passes of %d tokens", (maxTokensPerMicrobatch) => {
    const { gradients } = step({ ...options, loss, reference }, maxTokensPerMicrobatch);
    const names = expectGradients(trlTensors, name, gradients);
    expect(names.filter((key) => key.startsWith("heads."))).toHaveLength(objectives.length);
    expect(names.length).toBeGreaterThan(6);
  });
});
