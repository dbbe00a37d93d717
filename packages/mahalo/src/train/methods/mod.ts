/** MOD: the weighted sum of aligned models' logits. */
import type { AlignMethodSpec } from "./method.ts";

/** Source: Shi et al. 2024 (multi-objective decoding). */
export const mod: AlignMethodSpec = {
  summary:
    "no training: the weighted sum of aligned models' logits at every token, for every mix of the sweep.",
  fields: { models: "needed" },
  merges: "logits",
};
