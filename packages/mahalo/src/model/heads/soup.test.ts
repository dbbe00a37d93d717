/** A soup is the weighted sum of models' weights: all weight on one is that one, and models must fit together. */
import { join } from "node:path";
import { noGrad, ops } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import type { LanguageModel } from "../folder/load.ts";
import { saveModel } from "../folder/save.ts";
import { distance, tinyFolder, tinyModel, withFolder } from "../testing/tiny.ts";
import { soupModel } from "./soup.ts";

const weightsOf = (model: LanguageModel): Float32Array[] =>
  [...model.backbone.parameters(), model.heads.base].map((one) => one.float().toFloat32Array());

/** The tiny model, and a folder of one whose every weight is twice its own plus a half. */
const withOther = (body: (own: Float32Array[], other: string) => Promise<void>): Promise<void> =>
  withFolder(async (folder) => {
    const model = await tinyModel("tiny-llama");
    const own = weightsOf(model);
    noGrad(() => {
      for (const { master } of [...model.backbone.parameters(), model.heads.base]) {
        if (master === undefined) continue;
        ops.mulScalar_(master, 2);
        ops.addScalar_(master, 0.5);
      }
    });
    for (const one of [...model.backbone.parameters(), model.heads.base]) one.syncFromMaster();
    await saveModel(model, join(folder, "other"));
    model.dispose();
    await body(own, join(folder, "other"));
  });

const soupOf = async (models: Record<string, string>, mix: Record<string, number>) => {
  const soup = await soupModel(models, mix);
  const weights = weightsOf(soup);
  soup.dispose();
  return weights;
};

describe("a soup", () => {
  test("with all weight on one model is that model bit for bit, and does not read the others", () =>
    withOther(async (own) => {
      expect(await soupOf({ a: tinyFolder("tiny-llama"), b: "nowhere" }, { a: 2 })).toEqual(own);
    }));

  test("of models is the weighted sum of every weight, its weights scaled to sum 1", () =>
    withOther(async (own, other) => {
      const models = { a: tinyFolder("tiny-llama"), b: other };
      const soup = await soupOf(models, { a: 3, b: 1 });
      // 3/4 w + 1/4 (2 w + 1/2)
      for (const [index, weights] of own.entries())
        expect(
          distance(
            soup[index] ?? [],
            weights.map((weight) => 1.25 * weight + 0.125),
          ),
        ).toBeLessThan(1e-6);
    }));

  test("of a model with itself is that model, to rounding", async () => {
    const folder = tinyFolder("tiny-llama");
    const [alone, twice] = [
      await soupOf({ a: folder }, { a: 1 }),
      await soupOf({ a: folder, b: folder }, { a: 0.3, b: 0.7 }),
    ];
    for (const [index, weights] of alone.entries())
      expect(distance(twice[index] ?? [], weights)).toBeLessThan(1e-6);
  });

  test("of models of other shapes or with several heads is refused by name", () =>
    withFolder(async (folder) => {
      const models = { a: tinyFolder("tiny-llama"), b: tinyFolder("tiny-qwen3") };
      await expect(soupModel(models, { a: 1, b: 1 })).rejects.toMatchObject({ code: "E_SOUP_MODEL" });
      const heads = await tinyModel("tiny-llama");
      heads.heads.addNoisyCopies(["x"], { seed: 1, compute: "float32" });
      await saveModel(heads, join(folder, "heads"));
      heads.dispose();
      const several = { a: tinyFolder("tiny-llama"), b: join(folder, "heads") };
      await expect(soupModel(several, { a: 1, b: 1 })).rejects.toThrow("b: has a head for each objective");
    }));
});
