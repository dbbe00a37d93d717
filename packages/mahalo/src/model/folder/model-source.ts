/** What every kind of model file or folder is opened as. */
import type { ChatTemplate } from "../../data/tokens/chat-template.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import type { AdaptersManifest, RewardManifest } from "./manifest.ts";
import type { ModelConfig } from "./model-config.ts";
import type { SourceTensor } from "./source-tensor.ts";

/** How a model's makers sample from it; what they do not say is undefined. */
export type GenerationDefaults = {
  /** Sample rather than take the likeliest token. */
  sample?: boolean;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
};

/** A model that can be loaded. */
export type ModelSource = {
  /** The file or folder it comes from. */
  origin: string;
  config: ModelConfig;
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** The weights under their Hugging Face names; a tied head is not among them. */
  tensors(): Iterable<SourceTensor>;
  generation: GenerationDefaults;
  /** Objectives whose heads are among the tensors, in order; none for an ordinary model. */
  objectives?: readonly string[];
  /** Rank of the objectives' heads, where they are updates of the reference head. */
  headRank?: number | undefined;
  /** What a model of ours says of its objectives' adapters. */
  adapters?: AdaptersManifest | undefined;
  /** What a reward model of ours says of its heads. */
  reward?: RewardManifest | undefined;
  /** Text files that a saved model needs beside its weights, by name. */
  files: ReadonlyMap<string, string>;
};
