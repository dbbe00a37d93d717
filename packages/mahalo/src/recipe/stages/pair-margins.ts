/** Margins of held-out pairs under a model's heads: what pair accuracy is counted from. */
import { scope } from "@mahalo/torch";
import { bug, element, zip } from "../../core/need.ts";
import { progress } from "../../core/progress.ts";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import { predictors } from "../../data/tokens/packing.ts";
import type { Margins } from "../../evaluate/pair-accuracy.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { Mix } from "../../model/heads/heads.ts";
import { forwardWithoutGrad } from "../../train/forward.ts";
import { type HeadWeight, headPass } from "../../train/head-pass.ts";
import type { LossHead } from "../../train/task.ts";

/** Tokens of one pass; without gradients memory is no matter at this size. */
const maxTokensPerMicrobatch = 4096;

/** A head: what it is called in results, its weight, and the normalised mix of the adapters beneath it, off by default. */
export type MarginHead = { label: string; weight: Pick<HeadWeight, "value">; mix?: Mix | undefined };

/** Every head's log-probability of each token: K values a position, from hidden states that are computed once. */
const allHeads = (heads: readonly MarginHead[]): LossHead => ({
  width: heads.length,
  mix: heads[0]?.mix,
  positions: (_row, packed, completion) => predictors(packed, completion),
  forward: (hidden_ND, completions) => {
    const targets = Int32Array.from(
      completions.flatMap(({ row, index }) => element(row.completions, index, "completion")),
    );
    const values = new Float32Array(targets.length * heads.length);
    const backward = (): never => bug("margins have no gradient");
    for (const [k, { weight }] of heads.entries()) {
      for (const [n, logp] of scope(
        () => headPass(hidden_ND, { value: weight.value, accumulate: backward }, targets).logps,
      ).entries())
        values[n * heads.length + k] = logp;
    }
    return { values, backward };
  },
});

/** The sum over a completion's tokens of the k-th of K values each. */
const sum = (values: Float32Array, k: number, width: number): number => {
  let total = 0;
  for (let index = k; index < values.length; index += width) total += element(values, index);
  return total;
};

/**
 * log π(chosen) - log π(rejected) of every pair, in nats, under every head, by objective.
 *
 * @param heads all read the same pass over the backbone, unless it has adapters: each then reads its own.
 */
export const pairMargins = (
  model: LanguageModel,
  heads: readonly MarginHead[],
  pairs: readonly EncodedPair[],
  objectives: readonly string[],
): Margins[] => {
  const passes = model.backbone.adapters === undefined ? [heads] : heads.map((head) => [head]);
  return passes.flatMap((pass) => marginsOfPass(model, pass, pairs, objectives));
};

const marginsOfPass = (
  model: LanguageModel,
  heads: readonly MarginHead[],
  pairs: readonly EncodedPair[],
  objectives: readonly string[],
): Margins[] => {
  const rows = pairs.map(({ prompt, chosen, rejected }, index) => ({
    prompt,
    completions: [chosen, rejected],
    objective: undefined,
    index,
  }));
  const all = allHeads(heads);
  const label = `evaluate ${heads.map((head) => head.label).join(", ")}, held-out pairs`;
  const bar = progress({ label, total: rows.length, unit: "pairs" });
  const values = forwardWithoutGrad(model, rows, {
    maxTokensPerMicrobatch,
    headOf: () => all,
    onPass: bar.add,
  });
  bar.done();
  return heads.flatMap((head, k) =>
    objectives.map((objective) => ({
      head: head.label,
      objective,
      margins: zip(pairs, values).flatMap(([pair, completions]) => {
        if (pair.objective !== objective) return [];
        const logp = (index: number): number => sum(element(completions, index), k, all.width);
        return [logp(0) - logp(1)];
      }),
    })),
  );
};
