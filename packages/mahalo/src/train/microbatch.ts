/** Microbatches of a step: packed rows, with what each head reads of them. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import { type PackedBatch, packRows } from "../data/tokens/packing.ts";
import { HiddenCache } from "./hidden-cache.ts";
import type { BranchValues, Reader, Reading, RowOutcome, TaskRow } from "./task.ts";

// Shapes: T tokens of a microbatch, N positions of one reader, D hidden.

/** The branches of a microbatch that one reader reads. */
type Group = {
  reader: Reader;
  /** Offsets of the hidden states that are read. */
  positions: number[];
  /** Where each branch's positions lie among them. */
  spans: { row: TaskRow; member: number; index: number; start: number; length: number }[];
};

/** Rows that go through the model together. */
export type Microbatch = {
  rows: readonly TaskRow[];
  /** Where each row stands among those that were packed. */
  members: readonly number[];
  batch: PackedBatch;
  /** By reader, in the order in which rows name them. */
  groups: readonly Group[];
};

/** Groups a batch's branches by their reader: own head, own positions. */
function groupByReader(
  batch: PackedBatch,
  rows: readonly TaskRow[],
  readerOf: (row: TaskRow) => Reader,
): Group[] {
  const groups = new Map<Reader, Group>();
  for (const [member, packed] of batch.rows.entries()) {
    const row = element(rows, member, "the task row of packed row");
    const reader = readerOf(row);
    const group = groups.get(reader) ?? { reader, positions: [], spans: [] };
    groups.set(reader, group);
    for (const [index, branch] of packed.branches.entries()) {
      const start = group.positions.length;
      for (const position of Array.from(reader.positions(row, packed, branch, index)))
        group.positions.push(position);
      group.spans.push({ row, member, index, start, length: group.positions.length - start });
    }
  }
  return [...groups.values()];
}

/** Packs rows into microbatches of at most `tokens` tokens each; a longer row is one by itself. */
export function microbatches(
  rows: readonly TaskRow[],
  tokens: number,
  readerOf: (row: TaskRow) => Reader,
): Microbatch[] {
  return packRows(rows, tokens).map(({ batch, members }) => {
    const packed = members.map((member) => element(rows, member, "row"));
    return { rows: packed, members, batch, groups: groupByReader(batch, packed, readerOf) };
  });
}

const int64 = (positions: readonly number[]): Tensor =>
  tensor(Int32Array.from(positions), { dtype: "int64" });

/** Every group's reading, of hidden states [T, D] of this microbatch or of those that were kept. */
export function readHeads({ groups }: Microbatch, hidden: Tensor | HiddenCache): Reading[] {
  return groups.map(({ reader, positions, spans }) =>
    reader.read(
      hidden instanceof HiddenCache ? hidden.of(reader, spans) : hidden.indexSelect(0, int64(positions)),
      spans,
    ),
  );
}

/** What was read, by row and branch. */
export function valuesOf({ groups, rows }: Microbatch, readings: readonly Reading[]): BranchValues[][] {
  const values: BranchValues[][] = rows.map(() => []);
  for (const [{ reader, spans }, reading] of zip(groups, readings)) {
    for (const { member, index, start, length } of spans) {
      const branches = element(values, member, "row");
      branches[index] = reading.values.subarray(start * reader.width, (start + length) * reader.width);
    }
  }
  return values;
}

/** The slope of every value of a group. */
function slopesOfGroup(
  { reader, spans, positions }: Group,
  slopes: readonly RowOutcome<unknown>["slopes"][],
): Float32Array {
  const perValue = new Float32Array(positions.length * reader.width);
  for (const { member, index, start, length } of spans) {
    const slope = element(element(slopes, member, "row"), index, "slope");
    const [from, to] = [start * reader.width, (start + length) * reader.width];
    if (typeof slope === "number") perValue.fill(slope, from, to);
    else if (slope.length === to - from) perValue.set(slope, from);
    else {
      throw new MahaloError("E_INTERNAL", `${slope.length} slopes for ${to - from} values`, {
        exitStatus: 1,
      });
    }
  }
  return perValue;
}

/**
 * Backward through the heads: adds to their gradients, and to `gradient_TD` each group's d(loss)/d(hidden).
 *
 * The prompt's last position predicts the first token of every branch, so its rows add up.
 *
 * @param slopes by row and branch
 * @param gradient_TD left out for a backbone that takes no gradient
 */
export function backwardHeads(
  { groups }: Microbatch,
  readings: readonly Reading[],
  slopes: readonly RowOutcome<unknown>["slopes"][],
  gradient_TD?: Tensor,
): void {
  for (const [group, reading] of zip(groups, readings)) {
    noGrad(() =>
      scope(() => {
        const gradient_ND = reading.backward(slopesOfGroup(group, slopes));
        if (gradient_TD !== undefined) ops.indexAdd_(gradient_TD, 0, int64(group.positions), gradient_ND);
      }),
    );
  }
}
