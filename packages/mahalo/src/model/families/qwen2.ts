/** Qwen 2 and 2.5. */
import type { ModelFamily } from "./family.ts";

export const qwen2: ModelFamily = {
  className: "Qwen2",
  defaults: { ropeTheta: 10_000, maxPositions: 32_768, tieEmbeddings: false, maxWindowLayers: 28 },
  // Its class has these biases always and knows no key for them.
  biases: () => ({ qkvBias: true, outputBias: false }),
  qkNorm: false,
  keys: () => ({ use_sliding_window: false }),
  gguf: { permuted: false },
};
