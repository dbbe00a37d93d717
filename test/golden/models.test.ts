/** Our models against transformers: logits, greedy continuations, log-probabilities and gradients of every family. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  backward,
  cacheFolder,
  noGrad,
  openSafetensors,
  ops,
  scope,
  type Tensor,
  tensor,
} from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { completionIds, predictors } from "../../packages/mahalo/src/data/tokens/packing.ts";
import { type LanguageModel, loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import {
  gradientsOf,
  relativeDistance,
  trainAll,
} from "../../packages/mahalo/src/model/testing/gradients.ts";
import {
  distance,
  goldenFolder,
  hiddenOf,
  logitsOf,
  packed,
  sequence,
  tinyFolder,
  tinyModel,
  tinyNames,
} from "../../packages/mahalo/src/model/testing/tiny.ts";

const ids = z.array(z.int());
const tinySchema = z.looseObject({
  prompt: ids,
  greedy: ids,
  pair: z.strictObject({
    chosen: ids,
    rejected: ids,
    chosen_logp: z.number(),
    rejected_logp: z.number(),
    loss: z.number(),
  }),
  gradients: z.array(z.string()),
});
const smolSchema = z.looseObject({
  prompts: z.array(
    z.looseObject({
      rendered: z.string(),
      ids,
      greedy: ids,
      positions: z.array(
        z.strictObject({
          position: z.int(),
          top: z.strictObject({ ids, logits: z.array(z.number()) }),
          sample: z.strictObject({ ids, logits: z.array(z.number()) }),
        }),
      ),
    }),
  ),
});
const golden = <T>(path: string, schema: z.ZodType<T>): T =>
  parseJson(readFileSync(path, "utf8"), schema, path);

/**
 * The likeliest token after the prompt and after each token of a continuation but its last. A model that continues
 * greedily by this very continuation is one for which the two are equal; one pass shows it.
 */
const likeliest = (
  model: LanguageModel,
  prompt: readonly number[],
  continuation: readonly number[],
): number[] =>
  noGrad(() =>
    scope(() => {
      const hidden_TD = hiddenOf(model, sequence([...prompt, ...continuation.slice(0, -1)]));
      const last = hidden_TD.narrow(0, prompt.length - 1, continuation.length);
      return [...ops.linear(last, model.heads.base.value).argmax(-1).toInt32Array()];
    }),
  );

describe.each(tinyNames)("%s", (name) => {
  const recorded = golden(join(tinyFolder(name), "golden.json"), tinySchema);
  const tensors = openSafetensors(join(tinyFolder(name), "golden.safetensors"));
  let model: LanguageModel;
  beforeAll(async () => {
    model = await tinyModel(name);
  });
  afterAll(() => {
    model.dispose();
    tensors.close();
  });

  test("gives transformers' logits", () => {
    const theirs = tensors.tensor("logits").toFloat32Array();
    expect(distance(logitsOf(model, recorded.prompt), theirs)).toBeLessThan(1e-4);
  });

  test("continues greedily by the same tokens, 64 of them or up to the end token", () => {
    const ended = model.tokenizer.eosIds.includes(recorded.greedy.at(-1) ?? -1);
    expect(recorded.greedy.length === 64 || ended).toBe(true);
    expect(likeliest(model, recorded.prompt, recorded.greedy)).toEqual(recorded.greedy);
  });

  test("gives PyTorch's log-probabilities and gradients of a pair", () => {
    const { chosen, rejected, ...expected } = recorded.pair;
    trainAll(model);
    const [chosenLogp, rejectedLogp] = scope(() => {
      const batch = packed([{ prompt: recorded.prompt, completions: [chosen, rejected] }]);
      const hidden_TD = hiddenOf(model, batch);
      const row = batch.rows[0];
      const logps = (row?.completions ?? []).map((completion): Tensor => {
        const at = tensor(predictors(row ?? { start: 0, prompt: 0, completions: [] }, completion), {
          dtype: "int64",
        });
        const logits = ops.linear(hidden_TD.indexSelect(0, at), model.heads.base.value);
        const targets = tensor(completionIds(batch, completion), { dtype: "int64" }).unsqueeze(1);
        return ops.gather(logits.logSoftmax(-1), -1, targets).sum();
      });
      const [own, other] = logps;
      if (own === undefined || other === undefined) throw new Error("a pair has two completions");
      backward(other.sub(own));
      return [own.item(), other.item()];
    });
    expect(relativeDistance([chosenLogp ?? 0], [expected.chosen_logp])).toBeLessThan(1e-5);
    expect(relativeDistance([rejectedLogp ?? 0], [expected.rejected_logp])).toBeLessThan(1e-5);

    const ours = gradientsOf(model);
    const head = ours.get("lm_head.weight");
    for (const key of recorded.gradients) {
      let gradient = ours.get(key);
      // PyTorch's tied embedding is also the head; ours are apart, so its gradient is the sum of both.
      if (key === "model.embed_tokens.weight" && model.config.tieEmbeddings) {
        gradient = gradient?.map((value, i) => value + (head?.[i] ?? Number.NaN));
      }
      const theirs = tensors.tensor(`gradient.${key}`).toFloat32Array();
      expect(relativeDistance(gradient ?? [], theirs), key).toBeLessThan(1e-4);
    }
  });
});

const setUp = existsSync(join(cacheFolder(), "models", "smollm2-135m-instruct")) || process.env.CI === "true";
if (!setUp) console.warn("smollm2-135m-instruct is not there (npm run setup): its tests do not run");

describe.runIf(setUp)("SmolLM2-135M-Instruct", () => {
  const { prompts } = golden(join(goldenFolder, "smollm2.json"), smolSchema);
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadModel("smollm2-135m-instruct");
  });
  afterAll(() => model.dispose());

  test.each(prompts.map((prompt) => [prompt.rendered.slice(-60), prompt] as const))(
    "gives transformers' logits and greedy continuation after %j",
    (_, prompt) => {
      const rows = scope(() =>
        noGrad(() => {
          const hidden_TD = hiddenOf(model, sequence(prompt.ids));
          const at = tensor(
            prompt.positions.map(({ position }) => position),
            { dtype: "int64" },
          );
          const logits = ops.linear(hidden_TD.indexSelect(0, at), model.heads.base.value);
          return logits.toFloat32Array();
        }),
      );
      const { vocabSize } = model.config;
      for (const [i, { top, sample }] of prompt.positions.entries()) {
        const row = rows.subarray(i * vocabSize, (i + 1) * vocabSize);
        for (const { ids: words, logits } of [top, sample]) {
          const ours = words.map((id) => row[id] ?? Number.NaN);
          expect(distance(ours, logits)).toBeLessThan(1e-4);
        }
      }
      expect(likeliest(model, prompt.ids, prompt.greedy)).toEqual(prompt.greedy);
    },
  );
});
