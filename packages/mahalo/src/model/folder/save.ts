/** Saves a model as a Hugging Face folder with its objectives' heads beside it, and exports one mix as a plain folder. */
import { join } from "node:path";
import {
  MahaloError,
  noGrad,
  ops,
  type RawTensor,
  scope,
  type Tensor,
  writeSafetensors,
  writeSafetensorsFolder,
} from "@mahalo/torch";
import { writeFileAtomic, writeJsonFile } from "../../core/files.ts";
import { type Mix, normalizeMix } from "../heads/heads.ts";
import type { Linear } from "../transformer/layer.ts";
import type { ObjectiveAdapters } from "../transformer/objective-adapters.ts";
import type { ComputeDType, Parameter } from "../transformer/parameters.ts";
import { type NamedWeight, writeWeights } from "../transformer/weights.ts";
import { toHuggingFace } from "./config.ts";
import { adaptersFile, headsFile } from "./folder-weights.ts";
import type { LanguageModel } from "./load.ts";
import { type AdaptersManifest, type Manifest, manifestFile, readManifest } from "./manifest.ts";
import type { ModelConfig } from "./model-config.ts";
import { replaceFolder } from "./replace-folder.ts";

/** Options of {@link saveModel} and {@link exportMix}. */
export type SaveOptions = {
  /** Type to store. Default: that of the exact weights, float32 where masters are held. */
  dtype?: ComputeDType;
  /** Where the model comes from, kept in mahalo.json. */
  provenance?: Record<string, unknown>;
  /** Replace a folder that is not known to be a model of the same kind. Default false. */
  force?: boolean;
};

/** The exact weights of a parameter. */
const exact = (parameter: Parameter): Tensor => parameter.master ?? parameter.value;

const named = (name: string, parameter: Parameter): NamedWeight => ({
  name,
  shape: parameter.value.shape,
  load: () => exact(parameter),
});

/** Refuses a weight that would make every answer nonsense. @throws MahaloError E_MODEL_NOT_FINITE */
const checkFinite = (name: string, weight: Tensor): void => {
  if (Number(ops.all(ops.isfinite(weight)).item()) === 1) return;
  throw new MahaloError("E_MODEL_NOT_FINITE", `${name}: holds values that are not finite numbers`, {
    hint: "the model is damaged, or its training diverged; use an earlier one",
  });
};

/** Weights in the type to store, each made only when it is written. */
export const storedWeights = (weights: readonly NamedWeight[], dtype: ComputeDType): Map<string, RawTensor> =>
  new Map(
    weights.map(({ name, shape, load }) => [
      name,
      {
        dtype,
        shape,
        bytes: () => {
          const array = noGrad(() =>
            scope(() => {
              const weight = load().to(dtype);
              checkFinite(name, weight);
              return weight.toTypedArray();
            }),
          );
          return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        },
      },
    ]),
  );

/** config.json of what is written; keys that speak of the file it was read from are renewed. */
export const configJson = (
  config: ModelConfig,
  dtype: ComputeDType,
  tieEmbeddings: boolean,
): Record<string, unknown> => {
  const { torch_dtype: _, transformers_version: __, ...extra } = config.extra;
  return { ...toHuggingFace({ ...config, tieEmbeddings, extra }), dtype };
};

/** The folder's text files but config.json; generation settings are made where the source had none. */
const textFiles = ({ files, config, tokenizer }: LanguageModel): Map<string, string> => {
  const texts = new Map(files);
  texts.delete("config.json");
  if (!texts.has("generation_config.json")) {
    const ids = { bos_token_id: config.bosId, eos_token_id: tokenizer.eosIds, pad_token_id: config.padId };
    texts.set("generation_config.json", `${JSON.stringify(ids, null, 2)}\n`);
  }
  return texts;
};

/** What differs between a saved model and an exported mix. */
type Written = {
  /** `lm_head.weight`; undefined where the embedding is the head. */
  head: NamedWeight | undefined;
  /** Tensors of heads.safetensors and adapters.safetensors. */
  heads: readonly NamedWeight[];
  adapters?: readonly NamedWeight[];
  /** What is added to the weight of a linear map. */
  update?: (linear: Linear) => Tensor | undefined;
  manifest: Manifest;
};

const writeFolder = async (
  model: LanguageModel,
  folder: string,
  dtype: ComputeDType,
  { head, heads, adapters = [], update, manifest }: Written,
): Promise<void> => {
  const { backbone, config } = model;
  const weights = [...writeWeights(backbone.weights, config, update), ...(head ? [head] : [])];
  writeSafetensorsFolder(folder, storedWeights(weights, dtype));
  if (adapters.length > 0) writeSafetensors(join(folder, adaptersFile), storedWeights(adapters, dtype));
  if (heads.length > 0) writeSafetensors(join(folder, headsFile), storedWeights(heads, dtype));
  await writeJsonFile(join(folder, "config.json"), configJson(config, dtype, head === undefined));
  for (const [name, text] of textFiles(model)) await writeFileAtomic(join(folder, name), text);
  // Last, since this file says that the folder is a model of ours.
  await writeJsonFile(join(folder, manifestFile), manifest);
};

const defaultDType = ({ heads }: LanguageModel): ComputeDType =>
  exact(heads.base).dtype === "bfloat16" ? "bfloat16" : "float32";

const isLanguageModel = (manifest: Manifest | undefined): boolean =>
  manifest !== undefined && manifest.reward === undefined;

/** Whether the base head still is the embedding that it was tied to. */
const stillTied = ({ config, backbone, heads }: LanguageModel): boolean =>
  config.tieEmbeddings &&
  noGrad(() => scope(() => ops.equal(exact(backbone.weights.embedding), exact(heads.base))));

const manifestOf = ({ shape, shared, objectives }: ObjectiveAdapters): AdaptersManifest => ({
  ...{ rank: shape.rank, alpha: shape.alpha, layers: [...shape.layers], modules: [...shape.modules] },
  ...{ shared, objectives },
});

/**
 * Saves a model as an ordinary Hugging Face folder, which other tools open as it is, with mahalo.json beside it.
 *
 * `lm_head.weight` is the base head, or the equal mix where there are objectives; these have their own heads in
 * heads.safetensors (`heads.<objective>.weight`), with the reference head (`base.weight`). LoRA is written merged into the
 * weights; the model in memory stays as it is. Where objectives have adapters, these are in adapters.safetensors, and the
 * folder's own weights and head are the model's before alignment. In float32 a saved and loaded model is bit for bit the
 * same.
 *
 * @param dir folder to write; an earlier model of ours is replaced, whole or not at all
 * @throws MahaloError E_FOLDER_EXISTS when `dir` holds something else, E_FILE_WRITE, E_SAFETENSORS_FILE
 */
export const saveModel = async (
  model: LanguageModel,
  dir: string,
  { dtype = defaultDType(model), provenance = {}, force = false }: SaveOptions = {},
): Promise<void> => {
  const { heads, backbone } = model;
  const { adapters } = backbone;
  const { objectives, base } = heads;
  const equal = Object.fromEntries(objectives.map((name) => [name, 1 / objectives.length]));
  const multiHead = objectives.length > 0;
  const head = (): NamedWeight | undefined => {
    if (multiHead && adapters === undefined)
      return { name: "lm_head.weight", shape: base.value.shape, load: () => heads.mixFloat(equal) };
    return stillTied(model) ? undefined : named("lm_head.weight", base);
  };
  const written: Written = {
    head: head(),
    heads: multiHead
      ? [named("base.weight", base), ...heads.parameters().map((weights) => named(weights.name, weights))]
      : [],
    ...(adapters === undefined
      ? {}
      : { adapters: adapters.parameters().map((matrix) => named(matrix.name, matrix)) }),
    manifest: {
      ...{ version: 1, objectives, defaultMix: multiHead ? equal : null, provenance },
      ...(heads.rank === undefined ? {} : { headRank: heads.rank }),
      ...(adapters === undefined ? {} : { adapters: manifestOf(adapters) }),
    },
  };
  await replaceFolder(
    dir,
    (folder) => writeFolder(model, folder, dtype, written),
    (folder) => force || isLanguageModel(readManifest(folder)),
  );
};

/**
 * Writes one mix of a multi-head model as a plain folder: `lm_head.weight` is sum_k w_k W_k, summed in float32, and so are
 * the adapters' updates of the other weights.
 *
 * @param mix weights over the model's objectives; scaled to sum 1
 * @param dir folder to write; an earlier export is replaced, a model with heads is not (unless `force`)
 * @throws MahaloError E_MIX_UNKNOWN_OBJECTIVE, E_MIX_WEIGHT, E_MIX_SUM, and as {@link saveModel}
 */
export const exportMix = async (
  model: LanguageModel,
  mix: Mix,
  dir: string,
  { dtype = defaultDType(model), provenance = {}, force = false }: SaveOptions = {},
): Promise<void> => {
  const { heads, backbone } = model;
  const { adapters } = backbone;
  const weights = normalizeMix(mix, heads.objectives);
  const normalized = Object.fromEntries(weights);
  const written: Written = {
    head: {
      name: "lm_head.weight",
      shape: heads.base.value.shape,
      load: () => heads.mixFloat(mix),
    },
    heads: [],
    update: (linear) => linear.adapters && adapters?.delta(linear.adapters, normalized),
    manifest: {
      version: 1,
      objectives: [],
      defaultMix: null,
      provenance: { ...provenance, mix: normalized },
    },
  };
  await replaceFolder(
    dir,
    (folder) => writeFolder(model, folder, dtype, written),
    (folder) => {
      const manifest = readManifest(folder);
      return force || (isLanguageModel(manifest) && manifest?.objectives.length === 0);
    },
  );
};
