/** Qwen 3, the dense models. */
import type { ModelFamily } from "./family.ts";

export const qwen3: ModelFamily = {
  className: "Qwen3",
  defaults: {
    ropeTheta: 10_000,
    maxPositions: 32_768,
    tieEmbeddings: false,
    headDim: 128,
    maxWindowLayers: 28,
  },
  biases: (attentionBias) => ({ qkvBias: attentionBias, outputBias: attentionBias }),
  qkNorm: true,
  keys: ({ qkvBias }) => ({ attention_bias: qkvBias }),
  gguf: { permuted: false },
};
