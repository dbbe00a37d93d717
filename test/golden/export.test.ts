/** Saved and exported folders in transformers itself: it opens them as they are, and says what we say. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { parseJson } from "../../packages/mahalo/src/core/json.ts";
import { generateAll } from "../../packages/mahalo/src/decode/generate.ts";
import { type LanguageModel, loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { exportMix, saveModel } from "../../packages/mahalo/src/model/folder/save.ts";
import { exportPeft } from "../../packages/mahalo/src/model/folder/save-peft.ts";
import { adaptedModel, allMaps } from "../../packages/mahalo/src/model/testing/adapted.ts";
import { distance, logitsOf, tinyModel, withFolder } from "../../packages/mahalo/src/model/testing/tiny.ts";

const python = process.env.MAHALO_PYTHON ?? "python3";
const there = spawnSync(python, ["-c", "import torch, transformers, peft"]).status === 0;
const wanted = there || process.env.CI === "true";
if (!wanted) console.warn("transformers is not there (set MAHALO_PYTHON): folders are not opened in it");

const answerSchema = z.looseObject({
  architecture: z.string(),
  logits: z.array(z.array(z.number())),
  greedy: z.array(z.int()),
  text_ids: z.array(z.int()),
  extra_weights: z.array(z.string()),
});

const ids = [5, 17, 200, 42, 7];
const text = "Ann has 12 apples.\n\n½ of them are 🍏!";
const script = fileURLToPath(new URL("check_export.py", import.meta.url));

/** What transformers makes of a folder; its complaint is the error. */
const ask = (model: string, folder: string, more: readonly string[] = []): z.output<typeof answerSchema> => {
  const out = join(folder, "answer.json");
  const given = ["--model", model, "--ids", ids.join(), "--text", text, "--new-tokens", "12", "--out", out];
  const { status, stderr } = spawnSync(python, [script, ...given, ...more], {
    encoding: "utf8",
    env: { ...process.env, HF_HUB_OFFLINE: "1" },
  });
  expect(status, stderr).toBe(0);
  return parseJson(readFileSync(out, "utf8"), answerSchema, out);
};

/** Our greedy tokens under a mix, without stopping. */
const greedy = async (model: LanguageModel, mix: Record<string, number>): Promise<number[]> => {
  const endless = { ...model, tokenizer: { ...model.tokenizer, eosIds: [], decode: () => "" } };
  const [completion] = await generateAll(endless, [{ ids, mix, maxNewTokens: 12 }]);
  return completion?.ids ?? [];
};

describe.runIf(wanted)("transformers opens a folder", () => {
  // One model of each family; every call starts a Python of its own, which takes seconds.
  test.each(["tiny-llama", "tiny-qwen2", "tiny-qwen3"] as const)(
    "of %s exported under a mix: a plain folder with the weighted heads' logits and continuation",
    async (name) => {
      await withFolder(async (folder) => {
        const model = await tinyModel(name);
        model.heads.addNoisyCopies(["accuracy", "engagement"], { seed: 3, std: 0.02, compute: "float32" });
        const mix = { accuracy: 0.7, engagement: 0.3 };
        const to = join(folder, "export");
        await exportMix(model, mix, to);
        const theirs = ask(to, folder);
        expect(theirs.extra_weights).toEqual([]);
        expect(distance(logitsOf(model, ids, model.heads.mix(mix)), theirs.logits.flat())).toBeLessThan(1e-5);
        expect(theirs.greedy).toEqual(await greedy(model, mix));
        model.dispose();
      });
    },
  );

  test("saved with its heads: as it is, with the equal mix for its head", async () => {
    await withFolder(async (folder) => {
      const model = await tinyModel("tiny-llama");
      model.heads.addNoisyCopies(["a", "b"], { seed: 4, std: 0.02, compute: "float32" });
      const to = join(folder, "model");
      await saveModel(model, to);
      const theirs = ask(to, folder, ["--allow-extra"]);
      const equal = { a: 1, b: 1 };
      expect(distance(logitsOf(model, ids, model.heads.mix(equal)), theirs.logits.flat())).toBeLessThan(1e-5);
      expect(theirs.greedy).toEqual(await greedy(model, equal));
      expect(theirs.text_ids).toEqual(model.tokenizer.encode(text));
      model.dispose();
    });
  });

  // One model whose maps are split in three, and one whose head is tied to its embedding.
  test.each([
    ["tiny-qwen2", "whole heads", undefined],
    ["tiny-qwen3-tied", "heads of rank 2", 2],
  ] as const)(
    "of %s with a PEFT adapter of a mix, %s: peft loads it and says what we say",
    async (name, _, headRank) => {
      await withFolder(async (folder) => {
        const [base, to] = [join(folder, "model"), join(folder, "adapter")];
        const model = await adaptedModel(name, {
          adapters: { ...allMaps, lastLayers: 1 },
          ...(headRank === undefined ? {} : { headRank }),
        });
        await saveModel(model, base);
        for (const mix of [
          { accuracy: 1, engagement: 0 },
          { accuracy: 0.3, engagement: 0.7 },
        ]) {
          await exportPeft(model, mix, to, { base });
          const theirs = ask(base, folder, ["--allow-extra", "--adapter", to]);
          const merged = join(folder, "merged");
          await exportMix(model, mix, merged);
          const plain = await loadModel(merged);
          const wanted = logitsOf(plain, ids);
          expect(distance(wanted, theirs.logits.flat())).toBeLessThan(5e-5);
          expect(distance(wanted, logitsOf(model, ids))).toBeGreaterThan(0.01);
          expect(theirs.greedy).toEqual(await greedy(model, mix));
          plain.dispose();
        }
        model.dispose();
      });
    },
  );
});
