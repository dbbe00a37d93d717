/** Fine-tuning: the mean negative log-likelihood of response tokens, every token alike, under the base head. */
import { backward, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unpackedRows } from "../data/testing/unpacked-rows.ts";
import type { EncodedExample } from "../data/tokens/encode.ts";
import { completionIds, predictors } from "../data/tokens/packing.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { denseMask, maskedAttention } from "../model/testing/dense-attention.ts";
import { clearGradients, gradientsOf, trainAll } from "../model/testing/gradients.ts";
import { tokensOf } from "../model/testing/tiny.ts";
import { type SftTaskOptions, sftTask } from "./sft.ts";
import { expectClose } from "./testing/compare.ts";
import { alignedModel, PAIRS, stepGradients } from "./testing/fixture.ts";

const EXAMPLES: readonly EncodedExample[] = PAIRS.map(({ objective, prompt, chosen, origin }) => ({
  objective,
  prompt,
  response: chosen,
  origin,
}));
const all = EXAMPLES.map((_, index) => index);
const task = (options: Partial<SftTaskOptions> = {}) =>
  sftTask({ examples: EXAMPLES, heldOut: [], steps: 1, batch: () => all, ...options });

let model: LanguageModel;
beforeAll(async () => {
  model = await alignedModel();
  trainAll(model);
});
afterAll(() => model.dispose());

/** The loss and its gradients by autograd, one example after the other. */
const plain = (): { loss: number; gradients: Map<string, Float32Array> } => {
  clearGradients(model);
  const loss = scope(() => {
    const rows = unpackedRows(EXAMPLES.map(({ prompt, response }) => ({ prompt, completions: [response] })));
    const logps = rows.map(({ batch }): Tensor => {
      const [row] = batch.rows;
      const [completion] = row?.completions ?? [];
      if (row === undefined || completion === undefined) throw new Error("an example has a response");
      const hidden_TD = model.backbone.forward(tokensOf(batch), maskedAttention(denseMask(batch)));
      const at = tensor(predictors(row, completion), { dtype: "int64" });
      const logits = ops.linear(hidden_TD.indexSelect(0, at), model.heads.base.value);
      const targets = tensor(completionIds(batch, completion), { dtype: "int64" }).unsqueeze(1);
      return ops.gather(logits.logSoftmax(-1), 1, targets).squeeze(1);
    });
    const mean = ops.cat(logps, 0).mean().mul(-1);
    backward(mean);
    return mean.item();
  });
  return { loss, gradients: gradientsOf(model) };
};

describe("a step of fine-tuning", () => {
  test.each([10_000, 30, 1])(
    "has autograd's loss and gradients, in passes of %d tokens",
    (maxTokensPerMicrobatch) => {
      const wanted = plain();
      const found = stepGradients(model, task(), trainAll(model), { maxTokensPerMicrobatch });
      expect(found.metrics.loss).toBeCloseTo(wanted.loss, 5);
      expect(found.metrics.perplexity).toBeCloseTo(Math.exp(found.metrics.loss ?? Number.NaN), 8);
      expectClose(found.gradients, wanted.gradients, 1e-5);
    },
  );

  test("moves the base head and no objective's", () => {
    stepGradients(model, task(), trainAll(model));
    const heads = [model.heads.base, ...model.heads.parameters()];
    expect(heads.filter(({ gradient }) => gradient !== null).map(({ name }) => name)).toEqual([
      "lm_head.weight",
    ]);
  });

  test("takes the examples that its batch names, and says which it has not", () => {
    const two = task({ batch: (step) => [step, 5] });
    expect(two.rows(3)).toEqual(
      [3, 5].map((index) => ({
        prompt: EXAMPLES[index]?.prompt,
        completions: [EXAMPLES[index]?.response],
        objective: undefined,
        index,
      })),
    );
    expect(() => task({ batch: () => [99] }).rows(0)).toThrow(/99/);
  });

  test("measures held-out examples by the same loss", () => {
    const held = task({ heldOut: EXAMPLES.slice(0, 2) });
    expect(held.heldOut.map(({ prompt }) => prompt)).toEqual(
      EXAMPLES.slice(0, 2).map(({ prompt }) => prompt),
    );
    const records = held.heldOut.map(
      (row, i) =>
        held.loss(row, [Float32Array.from(row.completions[0] ?? [], () => -1 - i)], held.heldOut).record,
    );
    const lengths = held.heldOut.map(({ completions }) => completions[0]?.length ?? Number.NaN);
    const [first = 0, second = 0] = lengths;
    expect(records).toEqual([
      { tokens: first, logp: -first },
      { tokens: second, logp: -2 * second },
    ]);
    expect(held.metrics(records).loss).toBeCloseTo((first + 2 * second) / (first + second), 10);
  });
});
