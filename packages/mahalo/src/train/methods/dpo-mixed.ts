/** DPO on all objectives' pairs at once. */
import type { AlignMethodSpec } from "./method.ts";

/** One head that sees the batches of MAH-DPO. */
export const dpoMixed: AlignMethodSpec = {
  summary: "one head, on the same batches of all objectives' pairs.",
  fields: { conflict: "optional" },
  heads: "base",
};
