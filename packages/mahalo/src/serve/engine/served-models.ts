/** The models of the engine's thread: each loaded once, with an engine of its own and what clients may know of it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { didYouMean } from "../../core/suggest.ts";
import { Engine } from "../../decode/engine.ts";
import { defaultMaxBytes } from "../../decode/kv/kv-pages.ts";
import { samplingFor } from "../../decode/sampling.ts";
import { controlFile, readControl } from "../../evaluate/control-file.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { modelHash } from "../../recipe/sources.ts";
import type { EngineSettings, ModelEntry, ModelInfo } from "./protocol.ts";

/** A model, its engine, and what clients are told of it. */
export type ServedModel = {
  info: ModelInfo;
  model: LanguageModel;
  engine: Engine;
  /** Most UTF-16 units of a text that can fit the context: as many as its positions could hold of the longest token's. */
  maxPromptLength: number;
};

/** Length of the longest text that a token stands for, in UTF-16 units. */
const longestToken = ({ tokenizer }: LanguageModel): number => {
  let longest = 1;
  for (let id = 0; id < tokenizer.vocabSize; id++) longest = Math.max(longest, tokenizer.decode([id]).length);
  return longest;
};

/** Bytes of keys and values for each engine and for each search; where nothing guides, engines have all. */
export const memoryShares = ({
  models,
  guides,
  searches,
  maxBytes = defaultMaxBytes("cpu"),
}: EngineSettings): { engine: number; search: number } => {
  const forEngines = guides.length === 0 ? maxBytes : maxBytes / 2;
  return {
    engine: Math.max(1, Math.floor(forEngines / models.length)),
    search: Math.max(1, Math.floor((maxBytes - forEngines) / searches)),
  };
};

const open = async (
  { id, source }: ModelEntry,
  { compute, weights, parallel }: EngineSettings,
  maxBytes: number,
): Promise<ServedModel> => {
  const model = await loadModel(source, { compute, weights });
  try {
    const control = existsSync(join(source, controlFile)) ? await readControl(source) : undefined;
    const { config, heads } = model;
    const engine = new Engine(model, { batchSize: parallel, maxBytes });
    const info: ModelInfo = {
      id,
      objectives: heads.objectives,
      contextLength: config.maxPositions,
      vocabSize: config.vocabSize,
      hash: (await modelHash(source)).slice(0, 16),
      created: Math.floor(Date.now() / 1000),
      sampling: samplingFor(model.generation),
      ...(control === undefined ? {} : { control }),
    };
    return { info, model, engine, maxPromptLength: config.maxPositions * longestToken(model) };
  } catch (error) {
    model.dispose();
    throw error;
  }
};

/** Loads the models one after the other. @throws MahaloError what loading one throws; none is then left in memory */
export const openModels = async (settings: EngineSettings): Promise<Map<string, ServedModel>> => {
  const served = new Map<string, ServedModel>();
  const { engine: maxBytes } = memoryShares(settings);
  try {
    for (const entry of settings.models) served.set(entry.id, await open(entry, settings, maxBytes));
    return served;
  } catch (error) {
    for (const { engine, model } of served.values()) {
      engine.close();
      model.dispose();
    }
    throw error;
  }
};

/** The model of a name. @throws MahaloError E_MODEL_NOT_SERVED */
export const servedModel = <T>(served: ReadonlyMap<string, T>, id: string): T => {
  const found = served.get(id);
  if (found !== undefined) return found;
  throw new MahaloError(
    "E_MODEL_NOT_SERVED",
    `model "${id}" is not served here. ${didYouMean(id, served.keys())}`,
  );
};
