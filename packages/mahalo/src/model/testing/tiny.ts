/** Tiny random models that the goldens were recorded with, and what tests of the model room do with them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { type PackedBatch, packRows, type UnpackedRow } from "../../data/tokens/packing.ts";
import { type LanguageModel, type LoadOptions, loadModel } from "../folder/load.ts";
import { packedAttention } from "../transformer/attention.ts";
import type { ForwardOptions, Tokens } from "../transformer/backbone.ts";

/** Folder of the goldens. */
export const goldenFolder = fileURLToPath(new URL("../../../../../test/golden/data", import.meta.url));

/** Names of the tiny models, one or two for each family. */
export const tinyNames = [
  "tiny-llama",
  "tiny-llama3-rope",
  "tiny-qwen2",
  "tiny-qwen3",
  "tiny-qwen3-tied",
] as const;

/** Name of a tiny model. */
export type TinyName = (typeof tinyNames)[number];

/** A few token ids that every tiny model has. */
export const IDS: readonly number[] = [5, 17, 200, 42, 7];

/** Folder of a tiny model. */
export const tinyFolder = (name: TinyName): string => join(goldenFolder, "models", name);

/** Loads a tiny model, for training unless told otherwise. */
export const tinyModel = (name: TinyName, options: LoadOptions = {}): Promise<LanguageModel> =>
  loadModel(tinyFolder(name), { training: true, ...options });

/** Tokens of a packed batch, as the backbone takes them. */
export const tokensOf = (batch: PackedBatch): Tokens => ({
  ids_T: tensor(batch.ids, { dtype: "int64" }),
  positions_T: tensor(batch.positions, { dtype: "int64" }),
  lastPosition: Math.max(...batch.positions),
});

/** All rows in one batch. */
export const packed = (rows: readonly UnpackedRow[]): PackedBatch => {
  const [first] = packRows(rows, 100_000);
  if (first === undefined) throw new Error("no rows to pack");
  return first.batch;
};

/** A single sequence as a batch: its last token is the completion, which plain causal attention does not notice. */
export const sequence = (ids: readonly number[]): PackedBatch =>
  packed([{ prompt: ids.slice(0, -1), completions: [ids.slice(-1)] }]);

/** Hidden states [T, D] of a batch. */
export const hiddenOf = (model: LanguageModel, batch: PackedBatch, options?: ForwardOptions): Tensor =>
  model.backbone.forward(tokensOf(batch), packedAttention(batch), options);

/** Logits of a sequence under a head (default: the base head), row by row; no gradients. */
export const logitsOf = (model: LanguageModel, ids: readonly number[], head?: Tensor): Float32Array =>
  noGrad(() =>
    scope(() => {
      const weight = head ?? model.heads.base.value;
      return ops
        .linear(hiddenOf(model, sequence(ids)), weight)
        .to("float32")
        .toFloat32Array();
    }),
  );

/** Largest absolute difference; infinite where lengths differ or a number is not finite. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const gap = Math.abs((a[i] ?? Number.NaN) - (b[i] ?? Number.NaN));
    if (!(gap <= most)) most = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap;
  }
  return most;
};

/** Runs `body` with a temporary folder that is removed afterwards. */
export const withFolder = async <T>(body: (folder: string) => Promise<T> | T): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), "mahalo-test-"));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
