/** A further objective's head on an aligned model, of which all else stays as it is. */
import type { AlignMethodSpec } from "./method.ts";

/** Heads that are there answer over the same backbone, so none of it is trained. */
export const addHead: AlignMethodSpec = {
  summary: "heads for objectives without one in the recipe's model; the rest of the model stays unchanged.",
  fields: {},
  heads: "missing",
};
