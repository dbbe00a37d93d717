/** Model soup: the weighted sum of aligned models' weights. */
import type { AlignMethodSpec } from "./method.ts";

/** Source: Ramé et al. 2023 (rewarded soups). */
export const soup: AlignMethodSpec = {
  summary: "no training: the weighted sum of aligned models' weights, for every mix of the sweep.",
  fields: { weights: "optional", models: "needed" },
  merges: "weights",
};
