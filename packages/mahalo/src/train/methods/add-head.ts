/** A further objective's head on an aligned model, of which all else stays as it is. */
import type { AlignMethodSpec } from "./method.ts";

/** Heads that are there answer over the same backbone, so none of it is trained. */
export const addHead: AlignMethodSpec = {
  summary:
    "heads for the objectives that the recipe's model has none for; all else of the model stays as it is.",
  fields: {},
  heads: "missing",
};
