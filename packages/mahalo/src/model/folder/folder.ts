/** Opens a Hugging Face folder as a model source: config, tokenizer, chat template and safetensors weights. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { parseJson } from "../../core/json.ts";
import { isThere, readTextSync } from "../../core/read-file.ts";
import { listNames } from "../../core/suggest.ts";
import { chatTemplate, defaultChatTemplate } from "../../data/tokens/chat-template.ts";
import { headKinds } from "../reward/head-kinds/registry.ts";
import { withConfiguredTokens, withMappedTokens } from "../tokenizer/special-tokens.ts";
import {
  checkTokenizerConfig,
  openTokenizer,
  specialTokenTexts,
  type TokenizerConfig,
} from "../tokenizer/tokenizer.ts";
import { checkTokenizerSize } from "../tokenizer/tokenizer-checks.ts";
import { parseConfig } from "./config.ts";
import { adaptersFile, headsFile, openWeights, valueHeadFile } from "./folder-weights.ts";
import { manifestFile, readManifest } from "./manifest.ts";
import type { GenerationDefaults, ModelSource } from "./model-source.ts";

const anyObject = z.looseObject({});

const generationSchema = z.looseObject({
  do_sample: z.boolean().nullish(),
  temperature: z.number().nonnegative().nullish(),
  top_k: z.int().nonnegative().nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  eos_token_id: z.union([z.int().min(0), z.array(z.int().min(0))]).nullish(),
});

/** The fields of an object that have a value. */
const present = <T extends object>(fields: { [K in keyof T]: T[K] | null | undefined }): Partial<T> =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  ) as Partial<T>;

const readGeneration = (text: string | undefined, where: string) => {
  const raw = text === undefined ? {} : parseJson(text, generationSchema, where, { code: "E_CONFIG_FIELD" });
  const defaults: GenerationDefaults = present<Required<GenerationDefaults>>({
    sample: raw.do_sample,
    temperature: raw.temperature,
    topK: raw.top_k,
    topP: raw.top_p,
    minP: raw.min_p,
    repetitionPenalty: raw.repetition_penalty,
  });
  const eos = raw.eos_token_id ?? [];
  return { defaults, eosIds: typeof eos === "number" ? [eos] : eos };
};

/** The template of tokenizer_config.json: one text, or several by name, of which `default` is taken. */
const templateOf = (config: TokenizerConfig): string | undefined => {
  const { chat_template: template } = config;
  if (typeof template !== "object" || template === null) return template ?? undefined;
  return (template.find(({ name }) => name === "default") ?? template[0])?.template;
};

/** Text files that make up a model beside its weights; the first two must be there. */
const textFiles = [
  "config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "generation_config.json",
  "chat_template.jinja",
] as const;

const readTextFiles = (folder: string): Map<string, string> => {
  const files = new Map<string, string>();
  for (const name of textFiles) {
    const path = join(folder, name);
    if (isThere(path)) files.set(name, readTextSync(path));
  }
  return files;
};

/** Models that lie in a folder, as a run's do. */
const modelsWithin = (folder: string): string[] =>
  readdirSync(folder)
    .flatMap((stage) => [join(folder, stage), join(folder, stage, "model")])
    .filter((path) => existsSync(join(path, "config.json")));

const needFile = (files: Map<string, string>, folder: string, name: string): string => {
  const text = files.get(name);
  if (text !== undefined) return text;
  const within = name === "config.json" ? modelsWithin(folder) : [];
  if (within.length > 0) {
    throw new MahaloError("E_MODEL_FILE", `${folder}: is not a model, but contains ${listNames(within)}`, {
      hint: "name one of these",
    });
  }
  const slow = name === "tokenizer.json" && existsSync(join(folder, "tokenizer.model"));
  throw new MahaloError("E_MODEL_FILE", `${folder}: has no ${name}`, {
    hint: slow
      ? "save the tokenizer with transformers once (AutoTokenizer.save_pretrained), which writes tokenizer.json"
      : "name a folder in Hugging Face's format",
  });
};

/**
 * A model out of a folder in Hugging Face's format.
 *
 * @throws MahaloError E_MODEL_FILE (a file is missing), E_CONFIG_FIELD, E_CONFIG_UNSUPPORTED, E_TOKENIZER,
 *   E_JSON_SYNTAX, E_MODEL_MANIFEST, and what the safetensors reader throws
 */
export const openFolder = (folder: string): ModelSource => {
  const files = readTextFiles(folder);
  const pathOf = (name: string): string => join(folder, name);
  const config = parseConfig(needFile(files, folder, "config.json"), pathOf("config.json"));
  const tokenizerText = needFile(files, folder, "tokenizer.json");
  checkTokenizerSize(tokenizerText, config.vocabSize, pathOf("tokenizer.json"));
  const tokenizerJson = parseJson(tokenizerText, anyObject, pathOf("tokenizer.json"));
  const tokenizerFile = parseJson(
    files.get("tokenizer_config.json") ?? "{}",
    anyObject,
    pathOf("tokenizer_config.json"),
  );
  const mapFile = pathOf("special_tokens_map.json");
  const named = withMappedTokens(
    checkTokenizerConfig(tokenizerFile, pathOf("tokenizer_config.json")),
    isThere(mapFile) ? readTextSync(mapFile) : undefined,
    mapFile,
  );
  const generation = readGeneration(files.get("generation_config.json"), pathOf("generation_config.json"));
  for (const id of generation.eosIds) {
    if (id < config.vocabSize) continue;
    const what = `eos_token_id: must be an id of the vocabulary, from 0 to ${config.vocabSize - 1}, not ${id}`;
    throw new MahaloError("E_CONFIG_FIELD", `${pathOf("generation_config.json")}: ${what}`);
  }
  const tokenizer = openTokenizer(tokenizerJson, named, {
    where: pathOf("tokenizer.json"),
    vocabSize: config.vocabSize,
    // Generation's list is the fuller one: Llama 3 ends a turn with another token than a text.
    eosIds: [...config.eosIds, ...generation.eosIds],
  });
  const [eosId] = tokenizer.eosIds;
  const tokenizerConfig = withConfiguredTokens(
    named,
    { bos_token: config.bosId, eos_token: eosId, pad_token: config.padId },
    (id) => tokenizer.decode([id]),
  );
  const tokens = specialTokenTexts(tokenizerConfig);
  const text = files.get("chat_template.jinja") ?? templateOf(tokenizerConfig) ?? defaultChatTemplate;
  const template = chatTemplate(text, {
    where: files.has("chat_template.jinja") ? pathOf("chat_template.jinja") : pathOf("tokenizer_config.json"),
    tokens,
  });
  // What other files name is written into the one that every tool reads.
  const added = Object.entries(tokens).filter(([name]) => !tokenizerFile[name]);
  if (added.length > 0) {
    const complete = { ...tokenizerFile, ...Object.fromEntries(added) };
    files.set("tokenizer_config.json", `${JSON.stringify(complete, null, 2)}\n`);
  }
  const manifest = readManifest(folder);
  const objectives = manifest?.objectives ?? [];
  if (manifest !== undefined && manifest.adapters === undefined && isThere(pathOf(adaptersFile))) {
    throw new MahaloError(
      "E_MODEL_MANIFEST",
      `${pathOf(manifestFile)}: says nothing of ${adaptersFile}, which is there`,
      {
        hint: "the folder may be damaged: without its adapters the model would answer otherwise",
      },
    );
  }
  const beside = [
    ...(objectives.length > 0 ? [headsFile] : []),
    ...(manifest?.adapters === undefined ? [] : [adaptersFile]),
    ...(manifest?.reward?.heads.some(({ kind }) => headKinds.get(kind).transformers === undefined)
      ? [valueHeadFile]
      : []),
  ];
  return {
    origin: folder,
    config,
    tokenizer,
    template,
    tensors: openWeights(folder, beside),
    objectives,
    headRank: manifest?.headRank,
    adapters: manifest?.adapters,
    reward: manifest?.reward,
    generation: generation.defaults,
    files: files.set("chat_template.jinja", text),
  };
};
