/** Batches the slow way, each completion alone with its prompt: what packed batches are held against. */
import { type PackedBatch, packRows, type UnpackedRow } from "../tokens/packing.ts";

/** Every completion as a batch of one row with one completion, its prompt repeated; the same numbers must come out of it. */
export function unpackedRows(
  rows: readonly UnpackedRow[],
): { batch: PackedBatch; row: number; completion: number }[] {
  return rows.flatMap(({ prompt, completions }, row) =>
    completions.flatMap((ids, completion) =>
      packRows([{ prompt, completions: [ids] }], 1).map(({ batch }) => ({ batch, row, completion })),
    ),
  );
}
