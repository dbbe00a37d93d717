/** Reward models as folders: they come back bit for bit, foreign ones are read, and what does not fit is refused. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openSafetensors } from "@mahalo/torch";
import { describe, expect, test } from "vitest";
import { loadModel } from "../folder/load.ts";
import { saveModel } from "../folder/save.ts";
import { ALL_KINDS, outputsOfHead, rewardWeights, scoresOfHead, tinyRewards } from "../testing/rewards.ts";
import { IDS, tinyFolder, tinyModel, tinyNames, withFolder } from "../testing/tiny.ts";
import type { HeadSpec } from "./reward-heads.ts";
import { loadRewardModel, saveRewardModel } from "./reward-model.ts";

const readJson = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));
const rewrite = (path: string, change: (content: Record<string, unknown>) => object): void =>
  writeFileSync(path, JSON.stringify(change(readJson(path))));

/** Saves a tiny reward model with new heads, and says what it scores. */
const saved = async (
  dir: string,
  heads: readonly HeadSpec[],
): Promise<{ outputs: Float32Array[]; scores: number[][] }> => {
  const model = await tinyRewards("tiny-llama", heads);
  await saveRewardModel(model, dir);
  const outputs = heads.map(({ name }) => outputsOfHead(model, IDS, name));
  const scores = heads.map(({ name }) => scoresOfHead(model, IDS, name));
  model.dispose();
  return { outputs, scores };
};

describe("a saved reward model", () => {
  test.each(tinyNames)("of %s with a head of each kind comes back bit for bit", (name) =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      const model = await tinyRewards(name, ALL_KINDS, { boundary: { by: "sentence", minTokens: 12 } });
      await saveRewardModel(model, dir, { provenance: { recipe: "math" } });
      const loaded = await loadRewardModel(dir, { training: true });
      expect(rewardWeights(loaded)).toEqual(rewardWeights(model));
      expect(loaded.rewards.all.map(({ name, kind }) => ({ name, kind }))).toEqual(ALL_KINDS);
      expect(loaded.boundary).toEqual({ by: "sentence", minTokens: 12 });
      expect(loaded.template.text).toBe(model.template.text);
      for (const { name } of ALL_KINDS) {
        expect(outputsOfHead(loaded, IDS, name)).toEqual(outputsOfHead(model, IDS, name));
      }
      // Saved once more, nothing changes.
      await saveRewardModel(loaded, join(folder, "again"), { provenance: { recipe: "math" } });
      for (const file of readdirSync(dir)) {
        expect(readFileSync(join(folder, "again", file)), file).toEqual(readFileSync(join(dir, file)));
      }
      for (const one of [model, loaded]) one.dispose();
    }),
  );

  test.each([
    [["bradley-terry"], "LlamaForSequenceClassification", ["score.weight"], { 0: "h0" }],
    [
      ["bradley-terry", "bradley-terry"],
      "LlamaForSequenceClassification",
      ["score.weight"],
      { 0: "h0", 1: "h1" },
    ],
    [["soft"], "LlamaForTokenClassification", ["score.bias", "score.weight"], { 0: "h0" }],
    [["hard"], "LlamaForTokenClassification", ["score.bias", "score.weight"], { 0: "h0=0", 1: "h0=1" }],
    [
      ["bradley-terry", "value", "hard"],
      "LlamaForTokenClassification",
      ["score.bias", "score.weight"],
      { 0: "h0", 1: "h2=0", 2: "h2=1" },
    ],
    [["value"], "LlamaModel", [], undefined],
  ] as const)("with heads %j is a folder for %s", (kinds, architecture, tensors, labels) =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(
        dir,
        kinds.map((kind: string, i) => ({ name: `h${i}`, kind })),
      );
      const config = readJson(join(dir, "config.json"));
      expect(config.architectures).toEqual([architecture]);
      expect(config.id2label).toEqual(labels);
      expect(
        openSafetensors(dir)
          .names.filter((name) => !name.startsWith("model."))
          .sort(),
      ).toEqual(tensors);
      expect(existsSync(join(dir, "value_head.safetensors"))).toBe(
        (kinds as readonly string[]).includes("value"),
      );
      expect(existsSync(join(dir, "generation_config.json"))).toBe(false);
    }),
  );

  test("pads with a token that ends no text, in the config and in the tokenizer alike", () =>
    withFolder(async (folder) => {
      const model = await tinyRewards("tiny-llama", [{ name: "a", kind: "bradley-terry" }]);
      await saveRewardModel(model, join(folder, "rm"));
      const pad = readJson(join(folder, "rm", "config.json")).pad_token_id;
      expect(model.tokenizer.eosIds).not.toContain(pad);
      expect(model.tokenizer.decode([Number(pad)])).toBe(
        readJson(join(folder, "rm", "tokenizer_config.json")).pad_token,
      );
      model.dispose();
    }));

  test("knows the objectives that its prompts name", () =>
    withFolder(async (folder) => {
      const names = ["accuracy", "engagement"];
      const model = await tinyRewards("tiny-llama", [{ name: "unified", kind: "hard" }], {
        promptObjectives: names,
      });
      await saveRewardModel(model, join(folder, "rm"));
      const loaded = await loadRewardModel(join(folder, "rm"));
      expect(loaded.rewards.objectivesIn).toBe("prompt");
      expect(loaded.rewards.objectives).toEqual(names);
      expect(scoresOfHead(loaded, IDS, "engagement")).toEqual(scoresOfHead(model, IDS, "engagement"));
      for (const one of [model, loaded]) one.dispose();
    }));

  test("replaces a reward model, and nothing else", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(dir, [{ name: "a", kind: "soft" }]);
      await saved(dir, [{ name: "b", kind: "value" }]);
      const language = await tinyModel("tiny-llama");
      await expect(saveModel(language, dir)).rejects.toMatchObject({ code: "E_FOLDER_EXISTS" });
      await saveModel(language, join(folder, "lm"));
      language.dispose();
      await expect(saved(join(folder, "lm"), [{ name: "a", kind: "soft" }])).rejects.toMatchObject({
        code: "E_FOLDER_EXISTS",
      });
    }));
});

describe("a folder of transformers' own form", () => {
  test.each([
    ["bradley-terry", "bradley-terry"],
    ["soft", "soft"],
    ["hard", "hard"],
  ] as const)("with a %s head, without anything of ours, is read as %s", (kind, read) =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      const { outputs } = await saved(dir, [{ name: "a", kind }]);
      rmSync(join(dir, "mahalo.json"));
      const foreign = await loadRewardModel(dir);
      expect(foreign.rewards.all.map((one) => [one.name, one.kind])).toEqual([["reward", read]]);
      expect(foreign.boundary).toBeUndefined();
      expect(outputsOfHead(foreign, IDS)).toEqual(outputs[0]);
      foreign.dispose();
    }),
  );

  test("with several numbers a text has a head for each label", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      const heads = ["help", "honest"].map((name): HeadSpec => ({ name, kind: "bradley-terry" }));
      const { scores } = await saved(dir, heads);
      rmSync(join(dir, "mahalo.json"));
      const foreign = await loadRewardModel(dir);
      expect(heads.map(({ name }) => scoresOfHead(foreign, IDS, name))).toEqual(scores);
      foreign.dispose();
    }));

  test("with more classes than two is refused, and so is one without its head", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(
        dir,
        ["a", "b", "c"].map((name): HeadSpec => ({ name, kind: "soft" })),
      );
      rmSync(join(dir, "mahalo.json"));
      await expect(loadRewardModel(dir)).rejects.toMatchObject({
        code: "E_REWARD_LABELS",
        message: expect.stringContaining("3 classes"),
      });
      const language = await tinyModel("tiny-llama");
      await saveModel(language, join(folder, "lm"));
      language.dispose();
      rmSync(join(folder, "lm", "mahalo.json"));
      rewrite(join(folder, "lm", "config.json"), (one) => ({
        ...one,
        architectures: ["LlamaForSequenceClassification"],
      }));
      await expect(loadRewardModel(join(folder, "lm"))).rejects.toMatchObject({
        code: "E_MODEL_TENSOR_MISSING",
        message: expect.stringContaining("score.weight"),
      });
    }));
});

describe("loading", () => {
  test("a language model needs heads to be named, and training to make them", async () => {
    await expect(loadRewardModel(tinyFolder("tiny-llama"))).rejects.toMatchObject({ code: "E_REWARD_HEADS" });
    await expect(
      loadRewardModel(tinyFolder("tiny-llama"), { heads: [{ name: "a", kind: "soft" }] }),
    ).rejects.toMatchObject({ code: "E_REWARD_HEADS", message: expect.stringContaining('no soft head "a"') });
  });

  test("keeps heads of the same name and kind, and begins others anew", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(dir, ALL_KINDS);
      const wanted: HeadSpec[] = [
        { name: "accuracy", kind: "value" },
        { name: "clarity", kind: "hard" },
      ];
      const model = await loadRewardModel(dir, { training: true, heads: wanted, seed: 9 });
      const before = await tinyRewards("tiny-llama", ALL_KINDS);
      expect(outputsOfHead(model, IDS, "accuracy")).toEqual(outputsOfHead(before, IDS, "accuracy"));
      expect(model.rewards.all.map(({ name, kind }) => ({ name, kind }))).toEqual(wanted);
      for (const one of [model, before]) one.dispose();
    }));

  test("a reward model as a language model is refused, ours or transformers' own", () =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(dir, [{ name: "a", kind: "soft" }]);
      await expect(loadModel(dir)).rejects.toMatchObject({ code: "E_MODEL_IS_REWARD" });
      rmSync(join(dir, "mahalo.json"));
      await expect(loadModel(dir)).rejects.toMatchObject({ code: "E_MODEL_IS_REWARD" });
    }));

  test("in bfloat16 computes the heads in float32 on rounded hidden states", async () => {
    const heads: HeadSpec[] = [{ name: "a", kind: "value" }];
    const exact = await tinyRewards("tiny-qwen2", heads);
    const rounded = await tinyRewards("tiny-qwen2", heads, { compute: "bfloat16" });
    const [a, b] = [scoresOfHead(exact, IDS), scoresOfHead(rounded, IDS)];
    for (const [i, score] of a.entries()) expect(Math.abs(score - (b[i] ?? 9))).toBeLessThan(0.05);
    expect(rounded.rewards.get().weight("out.weight").value.dtype).toBe("float32");
    for (const one of [exact, rounded]) one.dispose();
  });

  test.each([
    ["an unknown kind of head", { heads: [{ name: "a", kind: "sotf" }], objectives: null, boundary: null }],
    ["no head", { heads: [], objectives: null, boundary: null }],
    ["an unknown boundary", { heads: [{ name: "a", kind: "soft" }], objectives: null, boundary: "lines" }],
  ])("refuses a mahalo.json with %s", (_, reward) =>
    withFolder(async (folder) => {
      const dir = join(folder, "rm");
      await saved(dir, [{ name: "a", kind: "soft" }]);
      rewrite(join(dir, "mahalo.json"), (one) => ({ ...one, reward }));
      await expect(loadRewardModel(dir)).rejects.toMatchObject({ code: "E_MODEL_MANIFEST" });
    }),
  );
});
