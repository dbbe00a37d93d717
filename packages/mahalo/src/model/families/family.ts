/** What a model family is: which of the backbone's parts it has, and what transformers calls and assumes of it. */
import type { ModelConfig } from "../folder/model-config.ts";

/** A family of models on the one backbone (RMS norm, rotary positions, gated SiLU). */
export type ModelFamily = {
  /** What the names of its classes in transformers begin with: `Llama` of `LlamaForCausalLM`. */
  className: string;
  /** What transformers takes where config.json is silent. */
  defaults: {
    ropeTheta: number;
    maxPositions: number;
    tieEmbeddings: boolean;
    /** Width of a head. Default: `hidden_size / num_attention_heads`. */
    headDim?: number;
    /** Layers before the first that may see a window only. */
    maxWindowLayers: number;
  };
  /** Which projections of the attention have biases, by what config.json's `attention_bias` says (default false). */
  biases(attentionBias: boolean): Pick<ModelConfig, "qkvBias" | "outputBias">;
  /** Whether queries and keys are RMS-normed a head. */
  qkNorm: boolean;
  /** Keys of config.json that not all families have. */
  keys(config: ModelConfig): Record<string, unknown>;
  /** How GGUF files hold it, its architecture named as the family; left out where none are read. */
  gguf?: {
    /** Whether rows of q and k are stored in the order of the first rotary code, pairs next to each other. */
    permuted: boolean;
  };
};
