/** DPO on one objective. */
import type { AlignMethodSpec } from "./method.ts";

/** Source: Rafailov et al. 2023. */
export const dpo: AlignMethodSpec = {
  summary: "one head, on the pairs of one objective.",
  fields: { objective: "needed" },
  heads: "base",
};
