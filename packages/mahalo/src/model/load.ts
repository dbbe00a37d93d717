/** Loads a language model: backbone, heads, tokenizer and template, ready to train or to answer. */
import { keep, noGrad } from "@mahalo/torch";
import type { ChatTemplate } from "../data/chat-template.ts";
import type { TextCodec } from "../data/codec.ts";
import { Backbone } from "./backbone.ts";
import type { ModelConfig } from "./config.ts";
import { Heads } from "./heads.ts";
import { type ComputeDType, type Parameter, parameter } from "./parameters.ts";
import {
  type GenerationDefaults,
  type ModelSource,
  type OpenModelOptions,
  openModelSource,
} from "./source.ts";
import { NamedTensors, readWeights } from "./weights.ts";

/** Options of {@link loadModel}. */
export type LoadOptions = OpenModelOptions & {
  /** Dtype to compute in. Default float32. */
  compute?: ComputeDType;
  /** Keep float32 master weights, so that the model can be trained and saved exactly. Default false. */
  training?: boolean;
};

/** A model in memory. */
export type LanguageModel = {
  config: ModelConfig;
  codec: TextCodec;
  template: ChatTemplate;
  generation: GenerationDefaults;
  backbone: Backbone;
  heads: Heads;
  /** Text files that are saved beside the weights. */
  files: ReadonlyMap<string, string>;
  dispose(): void;
};

const readHeads = (source: ModelSource, named: NamedTensors, backbone: Backbone, options: HeldAs): Heads => {
  const { vocabSize, hiddenSize } = source.config;
  const shape = [vocabSize, hiddenSize];
  // A tied head is a copy: nothing that happens to a head may reach the embedding.
  const weights = named.has("lm_head.weight")
    ? named.take("lm_head.weight", shape)
    : noGrad(() => backbone.weights.embedding.float().detach().clone());
  const base = parameter("lm_head.weight", keep(weights), options);
  const byName = new Map<string, Parameter>();
  for (const objective of (source as { objectives?: string[] }).objectives ?? []) {
    const name = `heads.${objective}.weight`;
    byName.set(objective, parameter(name, keep(named.take(name, shape)), options));
  }
  return new Heads(base, byName);
};

type HeldAs = { compute: ComputeDType; training: boolean };

/** Loads a model from a packaged name, a path or a hub id; see {@link openModelSource}. */
export const loadModel = async (name: string, options: LoadOptions = {}): Promise<LanguageModel> => {
  const { compute = "float32", training = false, ...rest } = options;
  const source = await openModelSource(name, rest);
  const named = new NamedTensors(source.tensors(), source.origin);
  const backbone = new Backbone(
    source.config,
    readWeights(named, source.config, { compute, training }),
    compute,
  );
  const heads = readHeads(source, named, backbone, { compute, training });
  return {
    config: source.config,
    codec: source.codec,
    template: source.template,
    generation: source.generation,
    files: source.files,
    backbone,
    heads,
    dispose: () => {
      backbone.dispose();
      heads.dispose();
    },
  };
};
