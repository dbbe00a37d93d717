/** Llama 2 and 3, SmolLM and TinyLlama. */
import type { ModelFamily } from "./family.ts";

export const llama: ModelFamily = {
  className: "Llama",
  defaults: { ropeTheta: 10_000, maxPositions: 2048, tieEmbeddings: false, maxWindowLayers: 0 },
  biases: (attentionBias) => ({ qkvBias: attentionBias, outputBias: attentionBias }),
  qkNorm: false,
  keys: ({ qkvBias }) => ({ attention_bias: qkvBias }),
  gguf: { permuted: true },
};
