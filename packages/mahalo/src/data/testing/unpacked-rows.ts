/** Batches the slow way, each branch alone with its prompt: what packed batches are held against. */
import { type PackedBatch, packRows, type UnpackedRow } from "../tokens/packing.ts";

/** Every branch as a batch of one row with one branch, its prompt repeated; the same numbers must come out of it. */
export function unpackedRows(
  rows: readonly UnpackedRow[],
): { batch: PackedBatch; row: number; branch: number }[] {
  return rows.flatMap(({ prompt, branches }, row) =>
    branches.flatMap((ids, branch) =>
      packRows([{ prompt, branches: [ids] }], 1).map(({ batch }) => ({ batch, row, branch })),
    ),
  );
}
