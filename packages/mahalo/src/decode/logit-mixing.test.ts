/** Models that answer together: one alone is itself token for token, and logits are the weighted sum of theirs. */
import { noGrad, ops, scope } from "@mahalo/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LanguageModel } from "../model/folder/load.ts";
import { distance, IDS, logitsOf, type TinyName, tinyModel } from "../model/testing/tiny.ts";
import { generateAll } from "./generate.ts";
import { logitMixture } from "./logit-mixing.ts";
import type { GenerateRequest } from "./request.ts";

const names: Record<string, TinyName> = { a: "tiny-llama", b: "tiny-llama3-rope" };
const models = new Map<string, LanguageModel>();
beforeAll(async () => {
  for (const [objective, name] of Object.entries(names)) models.set(objective, await tinyModel(name));
});
afterAll(() => {
  for (const model of models.values()) model.dispose();
});

const idsOf = async (
  model: LanguageModel,
  mixes: GenerateRequest["mix"][],
  extra: Parameters<typeof generateAll>[2] = {},
): Promise<number[][]> => {
  const requests = mixes.map((mix, seed) => ({
    ids: [...IDS.slice(0, 2 + seed)],
    mix,
    seed,
    maxNewTokens: 6 + seed,
    sampling: { temperature: 1 },
  }));
  return (await generateAll(model, requests, extra)).map(({ ids }) => ids);
};

describe("models that answer together", () => {
  test.each(Object.keys(names))("with all weight on %s sample what it samples alone", async (name) => {
    const { model, decoder } = logitMixture(models);
    const alone = models.get(name);
    if (alone === undefined) throw new Error(name);
    const mix = { [name]: 1 };
    expect(await idsOf(model, [mix, mix, mix], { decoder, batchSize: 2 })).toEqual(
      await idsOf(alone, [undefined, undefined, undefined]),
    );
    model.dispose();
  });

  test("and one model alone is that model", async () => {
    const one = models.get("a");
    if (one === undefined) throw new Error("a");
    const { model, decoder } = logitMixture(new Map([["a", one]]));
    expect(await idsOf(model, [{ a: 1 }], { decoder })).toEqual(await idsOf(one, [undefined]));
    model.dispose();
  });

  test("have the weighted sum of their logits", () => {
    const { model, decoder } = logitMixture(models);
    const joint = decoder();
    const row = joint.addRow();
    const [ids, weights] = [[...IDS], { a: 0.25, b: 0.75 }];
    const logits = noGrad(() =>
      scope(() => {
        const hidden = joint.extend([{ row, ids }]);
        return ops.linear(hidden, model.heads.mix(weights)).toFloat32Array();
      }),
    );
    const vocabulary = model.config.vocabSize;
    const last = [...models].map(([name, one]) => [
      weights[name as "a" | "b"],
      logitsOf(one, ids).slice(-vocabulary),
    ]) as [number, Float32Array][];
    const expected = Array.from({ length: vocabulary }, (_, token) =>
      last.reduce((sum, [weight, own]) => sum + weight * (own[token] ?? Number.NaN), 0),
    );
    expect(distance(logits.slice(-vocabulary), expected)).toBeLessThan(1e-4);
    joint.dispose();
    model.dispose();
  });

  test("must be models of one head and one vocabulary", async () => {
    expect(() => logitMixture(new Map())).toThrow("no model to decode with");
    const heads = await tinyModel("tiny-llama");
    heads.heads.addNoisyCopies(["x"], { seed: 1, compute: "float32" });
    expect(() => logitMixture(new Map([["a", heads]]))).toThrow("has a head for each objective");
    const own = models.get("a");
    if (own === undefined) throw new Error("a");
    const other = { ...own, config: { ...own.config, vocabSize: 7 } };
    const wrong = new Map([
      ["a", own],
      ["b", other],
    ]);
    expect(() => logitMixture(wrong)).toThrow("b: has 7 tokens");
    heads.dispose();
  });
});
