/** What a model's shape and constants are, whatever file they come from. */

/** How rotary frequencies are stretched for long contexts. */
export type RopeScaling =
  | {
      /** Every position divided by `factor`. */
      type: "linear";
      factor: number;
    }
  | {
      /** Llama 3.1's rule: low frequencies divided by `factor`, high ones kept, a smooth step between. */
      type: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    };

/** Everything the backbone needs to know about a model. Sizes in elements. */
export type ModelConfig = {
  /** Name of its family, as in config.json's `model_type`. */
  family: string;
  vocabSize: number;
  hiddenSize: number;
  /** Width of the MLP between its two projections. */
  intermediateSize: number;
  layers: number;
  /** Query heads. */
  heads: number;
  /** Key and value heads; divides `heads`. */
  kvHeads: number;
  /** Width of one head; `heads * headDim` need not equal `hiddenSize`. */
  headDim: number;
  ropeTheta: number;
  ropeScaling: RopeScaling | undefined;
  rmsNormEps: number;
  /** The output head is the input embedding. */
  tieEmbeddings: boolean;
  /** q, k and v projections have biases. */
  qkvBias: boolean;
  /** The attention's output projection has a bias (Llama and Qwen3 with `attention_bias`). */
  outputBias: boolean;
  /** Queries and keys are RMS-normed a head (Qwen3). */
  qkNorm: boolean;
  /** Positions the model was made for. */
  maxPositions: number;
  bosId: number | undefined;
  /** Ids that end a text, the main one first; empty when the config names none. */
  eosIds: number[];
  padId: number | undefined;
  /** Keys of the file that this type does not hold; written back as they are. */
  extra: Record<string, unknown>;
};
