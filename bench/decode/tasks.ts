/** What the decoding bench works on: rows of prompts, a model with three heads, its mixes as plain folders. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { noGrad, ops } from "@mahalo/torch";
import { type LanguageModel, loadModel } from "../../packages/mahalo/src/model/folder/load.ts";
import { exportMix, saveModel } from "../../packages/mahalo/src/model/folder/save.ts";
import { openModelSource } from "../../packages/mahalo/src/model/folder/source.ts";
import type { Mix } from "../../packages/mahalo/src/model/heads/heads.ts";
import {
  type AdapterModule,
  adapterModules,
} from "../../packages/mahalo/src/model/transformer/map-adapters.ts";
import { addAdapters } from "../../packages/mahalo/src/model/transformer/objective-adapters.ts";
import { benchFolder, benchModel } from "../peer-model.ts";
import { buildRows, writeRows } from "../rows.ts";

/** Objectives of the model with three heads. */
export const objectives = ["accuracy", "engagement", "brevity"] as const;

/** Mixes of the row "16 rows, 4 mixes", in rotation. */
export const mixes: readonly Mix[] = [
  { accuracy: 1 },
  { engagement: 1 },
  { accuracy: 0.5, engagement: 0.5 },
  { accuracy: 0.6, engagement: 0.3, brevity: 0.1 },
];

/** Writes that many prompts of GSM8K; returns the file's path. */
export const writePrompts = async (count: number): Promise<string> => {
  const path = join(benchFolder, `gsm8k-${count}.jsonl`);
  await writeRows(path, await buildRows("gsm8k", await openModelSource(benchModel), count));
  return path;
};

/** Writes the prompts of each mix (every fourth one) to a file of its own; returns the paths in the mixes' order. */
export const writePromptsByMix = async (count: number): Promise<string[]> => {
  const rows = await buildRows("gsm8k", await openModelSource(benchModel), count);
  const paths: string[] = [];
  for (const index of mixes.keys()) {
    const path = join(benchFolder, `gsm8k-${count}-mix-${index + 1}.jsonl`);
    await writeRows(
      path,
      rows.filter((_, row) => row % mixes.length === index),
    );
    paths.push(path);
  }
  return paths;
};

/** Folder of the bench's model with three heads, noisy copies of its own, in bf16; written the first time. */
export const headsFolder = async (): Promise<string> => {
  const folder = join(benchFolder, `${benchModel}-heads`);
  if (existsSync(join(folder, "mahalo.json"))) return folder;
  const model = await loadModel(benchModel, { training: true });
  try {
    model.heads.addNoisyCopies(objectives, { seed: 0, std: 0.02, compute: "float32" });
    await saveModel(model, folder, { dtype: "float32", provenance: { model: benchModel } });
  } finally {
    model.dispose();
  }
  return folder;
};

/** Folder of the same model with an adapter for each objective, as recipes train them; written the first time. */
export const adaptersFolder = async (): Promise<string> => {
  const folder = join(benchFolder, `${benchModel}-adapters`);
  if (existsSync(join(folder, "mahalo.json"))) return folder;
  const model = await loadModel(await headsFolder(), { training: true });
  try {
    const modules = Object.keys(adapterModules) as AdapterModule[];
    const shape = { rank: 16, alpha: 32, lastLayers: 10, modules, shared: false };
    const matrices = addAdapters(model.backbone, shape, objectives, 0);
    // Adapters that change nothing yet would be measured as well, and answer alike.
    for (const { name, master } of matrices)
      if (name.endsWith(".b") && master !== undefined)
        noGrad(() => ops.copy_(master, ops.full(master.shape, 1e-4)));
    await saveModel(model, folder, { dtype: "float32", provenance: { model: benchModel } });
  } finally {
    model.dispose();
  }
  return folder;
};

/** Folders of the four mixes as plain models, as the peers need them; written the first time. */
export const mixFolders = async (): Promise<string[]> => {
  const folders = mixes.map((_, index) => join(benchFolder, `${benchModel}-mix-${index + 1}`));
  let model: LanguageModel | undefined;
  try {
    for (const [index, folder] of folders.entries()) {
      if (existsSync(join(folder, "mahalo.json"))) continue;
      model ??= await loadModel(await headsFolder());
      await exportMix(model, mixes[index] ?? {}, folder, {
        dtype: "float32",
        provenance: { model: benchModel },
      });
    }
  } finally {
    model?.dispose();
  }
  return folders;
};
