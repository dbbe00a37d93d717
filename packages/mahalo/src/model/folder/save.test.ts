/** Saved folders give the same model back, exported mixes answer like the weighted heads, and nothing is half-written. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { noGrad, openSafetensors, ops } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { rng } from "../../core/random.ts";
import { distance, IDS, logitsOf, type TinyName, tinyModel, tinyNames, withFolder } from "../testing/tiny.ts";
import { addLora } from "../transformer/lora.ts";
import { type LanguageModel, loadModel } from "./load.ts";
import { exportMix, saveModel } from "./save.ts";

const OBJECTIVES = ["accuracy", "engagement"];

const withHeads = async (name: TinyName): Promise<LanguageModel> => {
  const model = await tinyModel(name);
  model.heads.addNoisyCopies(OBJECTIVES, { seed: 3, std: 0.05, compute: "float32" });
  return model;
};

/** Every float32 weight by name. */
const exactOf = (model: LanguageModel, objective: string) => {
  const head = model.heads.get(objective);
  return head.master ?? head.value;
};

const weightsOf = (model: LanguageModel): Map<string, Float32Array> =>
  new Map(
    [...model.backbone.parameters(), model.heads.base, ...model.heads.parameters()].map((one) => [
      one.name,
      one.float().toFloat32Array(),
    ]),
  );

const readJson = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));

describe("a saved model", () => {
  test.each(tinyNames)("%s comes back bit for bit, without and with heads", (name) =>
    withFolder(async (folder) => {
      const model = await tinyModel(name);
      await saveModel(model, join(folder, "plain"));
      const plain = await loadModel(join(folder, "plain"), { training: true });
      expect(weightsOf(plain)).toEqual(weightsOf(model));
      expect(plain.heads.objectives).toEqual([]);
      expect(plain.config).toMatchObject({ ...model.config, extra: {} });
      expect(plain.template.text).toBe(model.template.text);
      expect(plain.tokenizer.encode("the rain 12")).toEqual(model.tokenizer.encode("the rain 12"));

      model.heads.addNoisyCopies(OBJECTIVES, { seed: 3, compute: "float32" });
      await saveModel(model, join(folder, "heads"));
      const loaded = await loadModel(join(folder, "heads"));
      expect(weightsOf(loaded)).toEqual(weightsOf(model));
      expect(loaded.heads.objectives).toEqual(OBJECTIVES);
      for (const one of [model, plain, loaded]) one.dispose();
    }),
  );

  test("is an ordinary folder whose head is the equal mix", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "model");
      const model = await withHeads("tiny-qwen3-tied");
      await saveModel(model, dir, { provenance: { recipe: "values" } });
      expect(readdirSync(dir).sort()).toEqual([
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "heads.safetensors",
        "mahalo.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
      ]);
      expect(readJson(join(dir, "mahalo.json"))).toEqual({
        version: 1,
        objectives: OBJECTIVES,
        defaultMix: { accuracy: 0.5, engagement: 0.5 },
        provenance: { recipe: "values" },
      });
      expect(readJson(join(dir, "config.json"))).toMatchObject({
        tie_word_embeddings: false,
        dtype: "float32",
      });
      const stored = openSafetensors(dir).tensor("lm_head.weight").toFloat32Array();
      expect(stored).toEqual(model.heads.mixFloat({ accuracy: 1, engagement: 1 }).toFloat32Array());
      expect(openSafetensors(join(dir, "heads.safetensors")).names.toSorted()).toEqual([
        "base.weight",
        "heads.accuracy.weight",
        "heads.engagement.weight",
      ]);
      model.dispose();
    }));

  test("keeps the tie to the embedding as long as the head equals it", () =>
    withFolder(async (folder) => {
      const model = await tinyModel("tiny-qwen2");
      await saveModel(model, join(folder, "tied"));
      expect(readJson(join(folder, "tied", "config.json")).tie_word_embeddings).toBe(true);
      expect(openSafetensors(join(folder, "tied")).names).not.toContain("lm_head.weight");

      noGrad(() => ops.addScalar_(model.heads.base.value, 0.5));
      await saveModel(model, join(folder, "apart"));
      expect(readJson(join(folder, "apart", "config.json")).tie_word_embeddings).toBe(false);
      const loaded = await loadModel(join(folder, "apart"));
      expect(weightsOf(loaded)).toEqual(weightsOf(model));
      for (const one of [model, loaded]) one.dispose();
    }));

  test("in bfloat16 holds every weight rounded once, half the size", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      const dir = join(folder, "half");
      await saveModel(model, dir, { dtype: "bfloat16" });
      expect(readJson(join(dir, "config.json")).dtype).toBe("bfloat16");
      const loaded = await loadModel(dir, { compute: "bfloat16" });
      const rounded = new Map(
        [...model.backbone.parameters(), model.heads.base, ...model.heads.parameters()].map((one) => [
          one.name,
          one.float().to("bfloat16").toFloat32Array(),
        ]),
      );
      expect(weightsOf(loaded)).toEqual(rounded);

      // Saved again from bfloat16, without masters: nothing is lost and nothing grows.
      await saveModel(loaded, join(folder, "again"));
      expect(readFileSync(join(folder, "again", "heads.safetensors"))).toEqual(
        readFileSync(join(dir, "heads.safetensors")),
      );
      for (const one of [model, loaded]) one.dispose();
    }));

  test("has low-rank adapters merged in, and leaves the model in memory as it was", () =>
    withFolder(async (folder) => {
      const model = await tinyModel("tiny-qwen2");
      const adapters = addLora(model.backbone, { rank: 2, alpha: 4 }, rng(1, "lora"));
      const random = rng(2, "update");
      for (const adapter of adapters) {
        const { master } = adapter;
        const noise = ops.randn(adapter.value.shape).mul(0.1 + 0.01 * random.next());
        if (master !== undefined) noGrad(() => ops.add_(master, noise));
      }
      const before = weightsOf(model);
      const answer = logitsOf(model, IDS);
      await saveModel(model, join(folder, "merged"));
      expect(weightsOf(model)).toEqual(before);
      expect(logitsOf(model, IDS)).toEqual(answer);
      const loaded = await loadModel(join(folder, "merged"));
      expect(distance(logitsOf(loaded, IDS), answer)).toBeLessThan(1e-4);
      for (const one of [model, loaded]) one.dispose();
    }));
});

describe("an exported mix", () => {
  test.each(tinyNames)("of %s answers like its weighted heads, without having any", (name) =>
    withFolder(async (folder) => {
      const model = await withHeads(name);
      await exportMix(model, { accuracy: 7, engagement: 3 }, join(folder, "mix"));
      expect(existsSync(join(folder, "mix", "heads.safetensors"))).toBe(false);
      expect(readJson(join(folder, "mix", "mahalo.json"))).toMatchObject({
        objectives: [],
        provenance: { mix: { accuracy: 0.7, engagement: 0.3 } },
      });
      const exported = await loadModel(join(folder, "mix"));
      expect(exported.heads.objectives).toEqual([]);
      const [a, e] = OBJECTIVES.map((one) => logitsOf(model, IDS, model.heads.get(one).value));
      const weighted = a?.map((value, i) => 0.7 * value + 0.3 * (e?.[i] ?? Number.NaN)) ?? [];
      expect(distance(logitsOf(exported, IDS), weighted)).toBeLessThan(1e-5);
      for (const one of [model, exported]) one.dispose();
    }),
  );

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses a head with %s, and leaves nothing", (wrong) =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      noGrad(() => ops.fill_(ops.narrow(ops.narrow(exactOf(model, "engagement"), 0, 3, 1), 1, 5, 1), wrong));
      const refused = { code: "E_MODEL_NOT_FINITE", exitStatus: 2 };
      const mix = { accuracy: 0.5, engagement: 0.5 };
      await expect(exportMix(model, mix, join(folder, "mix"))).rejects.toMatchObject(refused);
      await expect(saveModel(model, join(folder, "model"))).rejects.toMatchObject(refused);
      expect(readdirSync(folder)).toEqual([]);
      model.dispose();
    }),
  );

  test("refuses objectives that the model has no head for", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      await expect(exportMix(model, { acuracy: 1 }, join(folder, "mix"))).rejects.toMatchObject({
        code: "E_MIX_UNKNOWN_OBJECTIVE",
        hint: expect.stringContaining("accuracy"),
      });
      expect(readdirSync(folder)).toEqual([]);
      model.dispose();
    }));
});

describe("a folder that is there already", () => {
  test("is replaced when it is a model of ours, and only then", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      const dir = join(folder, "model");
      await saveModel(model, dir);
      writeFileSync(join(dir, "left-over"), "");
      await saveModel(model, dir);
      expect(existsSync(join(dir, "left-over"))).toBe(false);

      const foreign = join(folder, "thesis");
      mkdirSync(foreign);
      writeFileSync(join(foreign, "chapter-1.md"), "It was");
      for (const write of [saveModel(model, foreign), exportMix(model, { accuracy: 1 }, foreign)]) {
        await expect(write).rejects.toMatchObject({ code: "E_FOLDER_EXISTS" });
      }
      expect(readdirSync(foreign)).toEqual(["chapter-1.md"]);
      await saveModel(model, foreign, { force: true });
      expect(existsSync(join(foreign, "mahalo.json"))).toBe(true);
      expect(readdirSync(folder).sort()).toEqual(["model", "thesis"]);
      model.dispose();
    }));

  test("does not lose its heads to an export", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      const dir = join(folder, "model");
      await saveModel(model, dir);
      const before = readFileSync(join(dir, "heads.safetensors"));
      await expect(exportMix(model, { accuracy: 1 }, dir)).rejects.toMatchObject({ code: "E_FOLDER_EXISTS" });
      expect(readFileSync(join(dir, "heads.safetensors"))).toEqual(before);
      model.dispose();
    }));

  test("survives a failing write as it was", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      const dir = join(folder, "model");
      await saveModel(model, dir);
      const before = readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))]);
      // A file whose name is no name fails after the weights are written.
      const broken = { ...model, files: new Map([["no/such/../../\0", "text"]]) };
      await expect(saveModel(broken, dir)).rejects.toThrow();
      expect(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))])).toEqual(before);
      expect(readdirSync(folder)).toEqual(["model"]);
      model.dispose();
    }));

  test("may be a link, which stays one; a file is refused", () =>
    withFolder(async (folder) => {
      const model = await withHeads("tiny-llama");
      mkdirSync(join(folder, "disk"));
      symlinkSync(join(folder, "disk"), join(folder, "link"));
      await saveModel(model, join(folder, "link"));
      expect(existsSync(join(folder, "disk", "config.json"))).toBe(true);
      writeFileSync(join(folder, "file"), "");
      await expect(saveModel(model, join(folder, "file"), { force: true })).rejects.toMatchObject({
        code: "E_FOLDER_EXISTS",
      });
      model.dispose();
    }));
});

describe("a damaged folder", () => {
  const save = async (folder: string): Promise<string> => {
    const model = await withHeads("tiny-llama");
    await saveModel(model, join(folder, "model"));
    model.dispose();
    return join(folder, "model");
  };
  const rewrite = (path: string, change: (content: Record<string, unknown>) => object): void =>
    writeFileSync(path, JSON.stringify(change(readJson(path))));

  test.each([
    ["an unknown key", (one: object) => ({ ...one, objective: [] }), 'Did you mean "objectives"?'],
    ["another version", (one: object) => ({ ...one, version: 2 }), "version"],
    ["an objective twice", (one: object) => ({ ...one, objectives: ["a", "a"] }), "listed twice"],
    ["no default mix", (one: object) => ({ ...one, defaultMix: null }), "defaultMix"],
    ["a mix of others", (one: object) => ({ ...one, defaultMix: { x: 1 } }), 'unknown objective "x"'],
  ])("with %s in mahalo.json is refused", (_, change, says) =>
    withFolder(async (folder) => {
      const dir = await save(folder);
      rewrite(join(dir, "mahalo.json"), change);
      const error = await loadModel(dir).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "E_MODEL_MANIFEST", message: expect.stringContaining(says) });
      expect(error).toMatchObject({ message: expect.stringContaining("mahalo.json") });
    }),
  );

  test("that lacks a head, or has one too many, is refused", () =>
    withFolder(async (folder) => {
      const dir = await save(folder);
      const mix = { accuracy: 1 };
      rewrite(join(dir, "mahalo.json"), (one) => ({ ...one, objectives: ["accuracy"], defaultMix: mix }));
      await expect(loadModel(dir)).rejects.toMatchObject({
        code: "E_MODEL_TENSOR_UNKNOWN",
        message: expect.stringContaining("heads.engagement.weight"),
      });
      const objectives = ["accuracy", "engagement", "wit"];
      rewrite(join(dir, "mahalo.json"), (one) => ({ ...one, objectives }));
      await expect(loadModel(dir)).rejects.toMatchObject({
        code: "E_MODEL_TENSOR_MISSING",
        message: expect.stringContaining("heads.wit.weight"),
      });
    }));

  test("whose config.json speaks of another model is refused", () =>
    withFolder(async (folder) => {
      const dir = await save(folder);
      rewrite(join(dir, "config.json"), (one) => ({ ...one, num_hidden_layers: 1 }));
      await expect(loadModel(dir)).rejects.toMatchObject({ code: "E_MODEL_TENSOR_UNKNOWN" });
      rewrite(join(dir, "config.json"), (one) => ({ ...one, num_hidden_layers: 2, intermediate_size: 95 }));
      await expect(loadModel(dir)).rejects.toMatchObject({ code: "E_MODEL_TENSOR_SHAPE" });
      rewrite(join(dir, "config.json"), (one) => ({ ...one, num_hidden_layers: 3, intermediate_size: 96 }));
      await expect(loadModel(dir)).rejects.toMatchObject({ code: "E_MODEL_TENSOR_MISSING" });
    }));
});
