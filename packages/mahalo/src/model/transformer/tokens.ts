/** A packed batch as the tokens that the backbone takes. */
import { tensor } from "@mahalo/torch";
import type { PackedBatch } from "../../data/tokens/packing.ts";
import type { Tokens } from "./backbone.ts";

/** Ids and positions of a batch as tensors; they belong to the caller's scope. */
export const batchTokens = ({ ids, positions }: PackedBatch, device = "cpu"): Tokens => ({
  ids_T: tensor(ids, { dtype: "int64", device }),
  positions_T: tensor(positions, { dtype: "int64", device }),
  lastPosition: positions.reduce((last, position) => Math.max(last, position), 0),
});
