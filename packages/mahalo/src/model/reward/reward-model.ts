/** Reward models: a backbone with reward heads, loaded from and saved to folders that transformers opens. */
import { join } from "node:path";
import { MahaloError, writeSafetensors, writeSafetensorsFolder } from "@mahalo/torch";
import { z } from "zod";
import { writeFileAtomic, writeJsonFile } from "../../core/files.ts";
import { parseJson } from "../../core/json.ts";
import { listNames } from "../../core/suggest.ts";
import type { ChatTemplate } from "../../data/tokens/chat-template.ts";
import type { StepBoundary } from "../../data/tokens/steps.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { valueHeadFile } from "../folder/folder-weights.ts";
import type { LoadOptions } from "../folder/load.ts";
import { manifestFile, readManifest } from "../folder/manifest.ts";
import type { ModelConfig } from "../folder/model-config.ts";
import type { ModelSource } from "../folder/model-source.ts";
import { replaceFolder } from "../folder/replace-folder.ts";
import { configJson, type SaveOptions, storedWeights } from "../folder/save.ts";
import { openModelSource } from "../folder/source.ts";
import { Backbone } from "../transformer/backbone.ts";
import type { ComputeDType } from "../transformer/parameters.ts";
import { NamedTensors, readWeights, writeWeights } from "../transformer/weights.ts";
import {
  forwardHeads,
  headWeights,
  paddingId,
  rewardConfig,
  type StoredRewards,
  storedRewards,
} from "./reward-folder.ts";
import {
  type HeadSpec,
  newHead,
  type RewardHead,
  RewardHeads,
  type RewardObjectives,
} from "./reward-heads.ts";

/** A reward model in memory. */
export type RewardModel = {
  config: ModelConfig;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  backbone: Backbone;
  rewards: RewardHeads;
  /** What ended the steps that it was trained on; undefined where that is not known. */
  boundary: StepBoundary | undefined;
  /** Text files that are saved beside the weights. */
  files: ReadonlyMap<string, string>;
  dispose(): void;
};

/** Options of {@link loadRewardModel}. */
export type RewardLoadOptions = LoadOptions & {
  /**
   * The heads to have. One that the model has, of the same name and kind, keeps its weights; others begin anew, which
   * needs `training`. Default: the heads that the model has.
   */
  heads?: readonly HeadSpec[];
  /** Objectives that are named in the prompt and share the only head. Default: what the model says, else none. */
  promptObjectives?: readonly string[];
  /** What ends the steps that it is trained on. Default: what the model says. */
  boundary?: StepBoundary;
  /** Seed of new heads. Default 0. */
  seed?: number;
};

const chooseHeads = (
  source: ModelSource,
  named: NamedTensors,
  stored: StoredRewards | undefined,
  { heads: wanted, seed = 0, training = false }: RewardLoadOptions,
): RewardHead[] => {
  const { hiddenSize } = source.config;
  const storedHeads = stored === undefined ? [] : forwardHeads(named, stored, hiddenSize, training);
  if (wanted === undefined) {
    if (storedHeads.length > 0) return storedHeads;
    throw new MahaloError("E_REWARD_HEADS", `${source.origin}: is not a reward model`, {
      hint: "train one from it, or name a folder with a reward model",
    });
  }
  const chosen = wanted.map((spec) => {
    const head = storedHeads.find(({ name, kind }) => name === spec.name && kind === spec.kind);
    if (head !== undefined || training) return head ?? newHead(spec, hiddenSize, seed);
    throw new MahaloError("E_REWARD_HEADS", `${source.origin}: has no ${spec.kind} head "${spec.name}"`, {
      hint: `it has ${listNames(storedHeads.map(({ name, kind }) => `"${name}" (${kind})`)) || "none"}`,
    });
  });
  for (const head of storedHeads) if (!chosen.includes(head)) head.dispose();
  return chosen;
};

/**
 * Loads a reward model, or a language model to make one of: its backbone with reward heads.
 *
 * Read are folders that {@link saveRewardModel} wrote, and folders of transformers' SequenceClassification and
 * TokenClassification classes of the Llama and Qwen families; see {@link storedRewards} for what their heads become.
 *
 * @param name as for `loadModel`
 * @throws MahaloError E_REWARD_HEADS where there are no heads to have, E_REWARD_LABELS, and what `loadModel` throws
 *
 * @example
 * const model = await loadRewardModel("smollm2-135m-instruct", {
 *   training: true,
 *   heads: [{ name: "accuracy", kind: "value" }, { name: "engagement", kind: "hard" }],
 * });
 */
export const loadRewardModel = async (
  name: string,
  options: RewardLoadOptions = {},
): Promise<RewardModel> => {
  const { compute = "float32", training = false, revision } = options;
  const source = await openModelSource(name, revision === undefined ? {} : { revision });
  const named = new NamedTensors(source.tensors(), source.origin);
  const { config, tokenizer, template, files, reward } = source;
  const backbone = new Backbone(config, readWeights(named, config, { compute, training }), compute);
  const stored = storedRewards(source, named);
  const names = options.promptObjectives;
  const told: RewardObjectives =
    names === undefined
      ? ((options.heads === undefined ? stored?.objectives : undefined) ?? { in: "heads" })
      : { in: "prompt", names };
  const rewards = new RewardHeads(chooseHeads(source, named, stored, options), told);
  // The output heads of a language model have nothing to do here.
  named.checkAllTaken([
    "lm_head.weight",
    "base.weight",
    ...[...named.names()].filter((name) => /^(heads|adapters|shared)\./.test(name)),
  ]);
  return {
    config,
    tokenizer,
    template,
    backbone,
    rewards,
    boundary: options.boundary ?? reward?.boundary ?? undefined,
    files,
    dispose: () => {
      backbone.dispose();
      rewards.dispose();
    },
  };
};

/** tokenizer_config.json that pads with the token that the model takes for padding. */
const padWith = (text: string, token: string): string => {
  const config = parseJson(text, z.looseObject({}), "tokenizer_config.json");
  return `${JSON.stringify({ ...config, pad_token: token }, null, 2)}\n`;
};

/** Text files of a reward folder: the tokenizer's and the template; there is nothing to generate. */
const textFiles = ({ files, tokenizer }: RewardModel, padId: number | undefined): Map<string, string> => {
  const texts = new Map(files);
  for (const name of ["config.json", "generation_config.json"]) texts.delete(name);
  const config = texts.get("tokenizer_config.json");
  if (config !== undefined && padId !== undefined) {
    texts.set("tokenizer_config.json", padWith(config, tokenizer.decode([padId])));
  }
  return texts;
};

/**
 * Saves a reward model as a Hugging Face folder, which transformers opens with equal scores, with mahalo.json beside it.
 *
 * Bradley-Terry heads become `score.weight` of `...ForSequenceClassification`, read at the last token that is no padding;
 * where soft or two-class heads are among them, all become `score.weight` and `score.bias` of
 * `...ForTokenClassification`, read at every token. Rows are in the order of the heads, and `id2label` names them. Value
 * heads are networks of two layers, for which transformers has no class: they lie in value_head.safetensors
 * (`<head>.hidden.weight`, `.hidden.bias`, `.out.weight`, `.out.bias`), and where there are no others the folder is the
 * backbone alone (`AutoModel`). The padding id is one that ends no text. Low-rank adapters are written merged.
 *
 * @param dir folder to write; an earlier reward model of ours is replaced, whole or not at all
 * @throws MahaloError E_FOLDER_EXISTS when `dir` holds something else, E_FILE_WRITE, E_SAFETENSORS_FILE
 */
export const saveRewardModel = async (
  model: RewardModel,
  dir: string,
  { dtype = defaultDType(model), provenance = {}, force = false }: SaveOptions = {},
): Promise<void> => {
  const { backbone, config, rewards } = model;
  const padId = paddingId(config, model.tokenizer, model.template);
  const { score, value } = headWeights(rewards.all, config.hiddenSize);
  const heads = rewards.all.map(({ name, kind }) => ({ name, kind }));
  await replaceFolder(
    dir,
    async (folder) => {
      writeSafetensorsFolder(
        folder,
        storedWeights([...writeWeights(backbone.weights, config), ...score], dtype),
      );
      if (value.length > 0) writeSafetensors(join(folder, valueHeadFile), storedWeights(value, dtype));
      const plain = configJson(config, dtype, config.tieEmbeddings);
      await writeJsonFile(join(folder, "config.json"), rewardConfig(plain, config.family, heads, padId));
      for (const [name, text] of textFiles(model, padId)) await writeFileAtomic(join(folder, name), text);
      // Last, since this file says that the folder is a model of ours.
      await writeJsonFile(join(folder, manifestFile), {
        version: 1,
        objectives: [],
        defaultMix: null,
        reward: {
          heads,
          objectives: rewards.objectivesIn === "prompt" ? rewards.objectives : null,
          boundary: model.boundary ?? null,
        },
        provenance,
      });
    },
    (folder) => force || readManifest(folder)?.reward !== undefined,
  );
};

const defaultDType = ({ backbone }: RewardModel): ComputeDType => {
  const { norm } = backbone.weights;
  return (norm.master ?? norm.value).dtype === "bfloat16" ? "bfloat16" : "float32";
};
