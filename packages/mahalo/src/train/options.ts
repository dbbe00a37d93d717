/** What every training stage can be told; the recipe's training block has this form. */
import { adamW, type OptimizerOptions, rmsProp, sgd, type UpdateRule } from "@mahalo/torch";
import type { AdapterModule } from "../model/transformer/map-adapters.ts";
import type { ConflictOptions } from "./analysis/conflict.ts";

/** Low-rank adapters, one for each objective. */
export type AdapterOptions = {
  /** Rank of an objective's update of one linear map. */
  rank: number;
  /** Updates are scaled by alpha / rank. */
  alpha: number;
  /** Number of last layers that are adapted. Default: all. */
  lastLayers?: number | undefined;
  modules: readonly AdapterModule[];
  /** One more adapter that all objectives train and every mix has. */
  shared: boolean;
};

/** Options of a training run, with nothing left out. */
export type TrainOptions = {
  learningRate: number;
  /** Learning rate of heads. Default: `learningRate`. */
  headLearningRate?: number | undefined;
  optimizer: keyof typeof optimizerRules;
  weightDecay: number;
  schedule: "constant" | "linear" | "cosine";
  /** Linear warm-up: below 1 a share of all steps, otherwise a number of steps. */
  warmup: number;
  /** Tokens of one forward and backward pass. */
  maxTokensPerMicrobatch: number;
  /** Gradients are clipped to this global norm; 0 never clips. */
  maxGradNorm: number;
  /** What trains beside the heads: all of the backbone, nothing (`heads`), its last layers, low-rank updates, or adapters. */
  train:
    | "full"
    | "heads"
    | { lastLayers: number }
    | { lora: { rank: number; alpha: number } }
    | { adapters: AdapterOptions };
  /**
   * Compute once for each row what frozen layers give: all of them under `heads`, those below under `lastLayers`. Default true.
   */
  cacheHidden?: boolean | undefined;
  checkpointing: boolean;
  /** Steps between measurements on held-out rows; 0 measures at the end, never leaves them out. */
  evaluateEvery: number | "never";
  /** Steps between checkpoints. */
  saveEvery: number;
  /** What is done about objectives whose gradients of the shared weights point apart. Default: nothing. */
  conflict?: ConflictOptions | undefined;
};

/** Update rules by name. RMSprop smooths with 0.99, PyTorch's default, which the method's reference uses. */
export const optimizerRules = {
  adamw: (weightDecay: number): UpdateRule => adamW({ weightDecay }),
  rmsprop: (weightDecay: number): UpdateRule => rmsProp({ weightDecay }),
  sgd: (weightDecay: number): UpdateRule => sgd({ weightDecay }),
} as const;

/** Norms and biases are never decayed, as is customary. */
export const decays: NonNullable<OptimizerOptions["decays"]> = (name) => {
  // A head or adapter is named after its objective, which may be called "unbiased".
  if (/^(heads|adapters|shared)\./.test(name)) return true;
  if (name.startsWith("rewards.")) return !name.endsWith(".bias");
  return !/norm|bias/i.test(name);
};

/** Steps of warm-up. */
export const warmupSteps = (warmup: number, steps: number): number =>
  warmup < 1 ? Math.floor(warmup * steps) : Math.min(Math.floor(warmup), steps);
