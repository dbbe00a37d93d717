/** MAH-DPO: one head for each objective over a shared backbone. */
import type { AlignMethodSpec } from "./method.ts";

/** Source: method, section 2. */
export const mahDpo: AlignMethodSpec = {
  summary: "one head per objective, trained on that objective's pairs.",
  fields: { conflict: "optional" },
  heads: "each",
};
