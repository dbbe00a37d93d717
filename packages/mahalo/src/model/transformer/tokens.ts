/** A packed batch as the tokens that the backbone takes. */
import { tensor } from "@mahalo/torch";
import { zip } from "../../core/need.ts";
import { type PackedBatch, rowLength } from "../../data/tokens/packing.ts";
import type { Backbone, Tokens } from "./backbone.ts";

/** The tokens of a batch for a backbone, each row's with the gains of its normalised mix. */
export const mixedTokens = (
  batch: PackedBatch,
  mixes: readonly (Readonly<Record<string, number>> | undefined)[],
  { adapters }: Backbone,
): Tokens => {
  const parts = zip(batch.rows, mixes).map(([row, mix]) => ({ length: rowLength(row), mix }));
  return { ...batchTokens(batch), gains_TS: adapters?.gains(parts) };
};

/** Ids and positions of a batch as tensors; they belong to the caller's scope. */
export const batchTokens = ({ ids, positions }: PackedBatch, device = "cpu"): Tokens => ({
  ids_T: tensor(ids, { dtype: "int64", device }),
  positions_T: tensor(positions, { dtype: "int64", device }),
  lastPosition: positions.reduce((last, position) => Math.max(last, position), 0),
});
