/** Microbatches of a step: packed rows, with what each head reads of them. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import { type PackedBatch, packRows } from "../data/tokens/packing.ts";
import type { Mix } from "../model/heads/heads.ts";
import { HiddenCache } from "./hidden-cache.ts";
import type { CompletionValues, HeadOutput, LossHead, RowLoss, TaskRow } from "./task.ts";

// Shapes: T tokens of a microbatch, N positions of one head, D hidden.

/** The completions of a microbatch that one head reads. */
type Group = {
  head: LossHead;
  /** Offsets of the hidden states that are read. */
  positions: number[];
  /** Where each completion's positions lie among them. */
  spans: { row: TaskRow; member: number; index: number; start: number; length: number }[];
};

/** Rows that go through the model together. */
export type Microbatch = {
  rows: readonly TaskRow[];
  /** Where each row stands among those that were packed. */
  members: readonly number[];
  batch: PackedBatch;
  /** By row: the mix of the head that reads it. */
  mixes: readonly (Mix | undefined)[];
  /** By head, in the order in which rows name them. */
  groups: readonly Group[];
};

/** Groups a batch's completions by their head: own head, own positions. */
function groupByHead(
  batch: PackedBatch,
  rows: readonly TaskRow[],
  headOf: (row: TaskRow) => LossHead,
): Group[] {
  const groups = new Map<LossHead, Group>();
  for (const [member, packed] of batch.rows.entries()) {
    const row = element(rows, member, "the task row of packed row");
    const head = headOf(row);
    const group = groups.get(head) ?? { head, positions: [], spans: [] };
    groups.set(head, group);
    for (const [index, completion] of packed.completions.entries()) {
      const start = group.positions.length;
      for (const position of Array.from(head.positions(row, packed, completion, index)))
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
  headOf: (row: TaskRow) => LossHead,
): Microbatch[] {
  return packRows(rows, tokens).map(({ batch, members }) => {
    const packed = members.map((member) => element(rows, member, "row"));
    const mixes = packed.map((row) => headOf(row).mix);
    return { rows: packed, members, batch, mixes, groups: groupByHead(batch, packed, headOf) };
  });
}

const int64 = (positions: readonly number[]): Tensor =>
  tensor(Int32Array.from(positions), { dtype: "int64" });

/** Every group's output, of hidden states [T, D] of this microbatch or of those that were kept. */
export function forwardHeads({ groups }: Microbatch, hidden: Tensor | HiddenCache): HeadOutput[] {
  return groups.map(({ head, positions, spans }) =>
    head.forward(
      hidden instanceof HiddenCache ? hidden.of(head, spans) : hidden.indexSelect(0, int64(positions)),
      spans,
    ),
  );
}

/** What was read, by row and completion. */
export function valuesOf({ groups, rows }: Microbatch, outputs: readonly HeadOutput[]): CompletionValues[][] {
  const values: CompletionValues[][] = rows.map(() => []);
  for (const [{ head, spans }, output] of zip(groups, outputs)) {
    for (const { member, index, start, length } of spans) {
      const completions = element(values, member, "row");
      completions[index] = output.values.subarray(start * head.width, (start + length) * head.width);
    }
  }
  return values;
}

/** The gradient of every value of a group. */
function gradientsOfGroup(
  { head, spans, positions }: Group,
  gradients: readonly RowLoss<unknown>["gradients"][],
): Float32Array {
  const perValue = new Float32Array(positions.length * head.width);
  for (const { member, index, start, length } of spans) {
    const gradient = element(element(gradients, member, "row"), index, "gradient");
    const [from, to] = [start * head.width, (start + length) * head.width];
    if (typeof gradient === "number") perValue.fill(gradient, from, to);
    else if (gradient.length === to - from) perValue.set(gradient, from);
    else {
      throw new MahaloError("E_INTERNAL", `${gradient.length} gradients for ${to - from} values`, {
        exitStatus: 1,
      });
    }
  }
  return perValue;
}

/**
 * Backward through the heads: adds to their gradients, and to `gradient_TD` each group's d(loss)/d(hidden).
 *
 * The prompt's last position predicts the first token of every completion, so its rows add up.
 *
 * @param gradients by row and completion
 * @param gradient_TD left out for a backbone that takes no gradient
 */
export function backwardHeads(
  { groups }: Microbatch,
  outputs: readonly HeadOutput[],
  gradients: readonly RowLoss<unknown>["gradients"][],
  gradient_TD?: Tensor,
): void {
  for (const [group, output] of zip(groups, outputs)) {
    noGrad(() =>
      scope(() => {
        const gradient_ND = output.backward(gradientsOfGroup(group, gradients));
        if (gradient_TD !== undefined) ops.indexAdd_(gradient_TD, 0, int64(group.positions), gradient_ND);
      }),
    );
  }
}
