/** One forward pass over rows of any task, and the backward pass that its slopes ask for. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import { type PackedBatch, packRows } from "../data/packing.ts";
import { packedAttention } from "../model/attention.ts";
import type { LanguageModel } from "../model/load.ts";
import type { Parameter } from "../model/parameters.ts";
import { batchTokens } from "../model/tokens.ts";
import type { HeadPassOptions } from "./head-pass.ts";
import { HiddenCache } from "./hidden-cache.ts";
import { logProbReaders, ownHead, type Reader, type Reading, type TrainedModel } from "./reader.ts";
import type { BranchLogProbs, BranchValues, RowOutcome, TaskRow } from "./task.ts";

// Shapes: T tokens of a batch, N positions of one reader, D hidden.

/** How passes are divided; results do not depend on it but for rounding. */
export type PassOptions = HeadPassOptions & {
  /** Tokens of one pass. */
  tokensPerPass: number;
  /** Recompute activations on the way back. */
  checkpointing?: boolean;
};

/** What is read, and where hidden states come from. */
export type ReadOptions = {
  /** Who reads a row. Default: its own head's log-probabilities of its branches' tokens. */
  readerOf?: ((row: TaskRow) => Reader) | undefined;
  /** Hidden states of a frozen backbone, computed once for each row. Default: computed in every pass. */
  hidden?: HiddenCache | undefined;
};

/** The branches of a batch that one reader reads. */
type Group = {
  reader: Reader;
  /** Offsets of the hidden states that are read. */
  positions: number[];
  /** Where each branch's positions lie among them. */
  spans: { row: TaskRow; member: number; index: number; start: number; length: number }[];
};

/** Groups a batch's branches by their reader: own head, own positions. */
const byReader = (
  batch: PackedBatch,
  rows: readonly TaskRow[],
  readerOf: (row: TaskRow) => Reader,
): Group[] => {
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
};

/** Runs `visit` on each packed batch of the rows, with the rows that it holds. */
const eachBatch = (
  rows: readonly TaskRow[],
  tokensPerPass: number,
  visit: (batch: PackedBatch, members: readonly number[]) => void,
): void => {
  for (const { batch, members } of packRows(rows, tokensPerPass)) scope(() => visit(batch, members));
};

const pick = <T>(list: readonly T[], members: readonly number[]): T[] =>
  members.map((member) => element(list, member, "row"));

/** What the readers read, by row and branch. */
const spread = (groups: readonly Group[], readings: readonly Reading[], rows: number): BranchValues[][] => {
  const values: BranchValues[][] = Array.from({ length: rows }, () => []);
  for (const [{ reader, spans }, reading] of zip(groups, readings)) {
    for (const { member, index, start, length } of spans) {
      const own = element(values, member, "row");
      own[index] = reading.values.subarray(start * reader.width, (start + length) * reader.width);
    }
  }
  return values;
};

const int64 = (positions: readonly number[]): Tensor =>
  tensor(Int32Array.from(positions), { dtype: "int64" });

/** Hidden states [N, D] that a group reads: of this pass, or kept from an earlier one. */
const hiddenOf = ({ reader, positions, spans }: Group, from: Tensor | HiddenCache): Tensor =>
  from instanceof HiddenCache ? from.of(reader, spans) : from.indexSelect(0, int64(positions));

/** What every reader reads of every branch, without gradients; in the order of the rows. */
export const measure = (
  model: TrainedModel,
  rows: readonly TaskRow[],
  options: PassOptions & ReadOptions & { onPass?: (rows: number) => void },
): BranchValues[][] => {
  const readerOf = options.readerOf ?? logProbReaders(ownHead(model), options);
  const result: BranchValues[][] = rows.map(() => []);
  noGrad(() =>
    eachBatch(rows, options.tokensPerPass, (batch, members) => {
      const own = pick(rows, members);
      const hidden = options.hidden ?? model.backbone.forward(batchTokens(batch), packedAttention(batch));
      const groups = byReader(batch, own, readerOf);
      const readings = groups.map((group) => group.reader.read(hiddenOf(group, hidden), group.spans));
      for (const [member, values] of zip(members, spread(groups, readings, own.length)))
        result[member] = values;
      options.onPass?.(own.length);
    }),
  );
  return result;
};

/** Log-probabilities of every branch's tokens, without gradients; in the order of the rows. */
export const logProbs = (
  model: LanguageModel,
  rows: readonly TaskRow[],
  options: PassOptions & { headOf?: (row: TaskRow) => Parameter; onPass?: (rows: number) => void },
): BranchLogProbs[][] =>
  measure(model, rows, { ...options, readerOf: logProbReaders(options.headOf ?? ownHead(model), options) });

/** The slope of every value of a group. */
const slopesOfGroup = (
  { reader, spans, positions }: Group,
  slopes: readonly RowOutcome<unknown>["slopes"][],
): Float32Array => {
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
};

/**
 * Forward and backward over the rows of a step: gradients are added to the parameters' float32 gradients.
 *
 * A reader sees its own rows' positions only; the backbone gets one gradient, d(loss)/d(hidden), made of the readers' own.
 * Slopes come from `slopesOf` once what was read off a row is known. With kept hidden states the backbone gets none.
 */
export const trainPass = (
  model: TrainedModel,
  rows: readonly TaskRow[],
  slopesOf: (row: TaskRow, values: readonly BranchValues[]) => RowOutcome<unknown>["slopes"],
  options: PassOptions & ReadOptions & { trained: readonly Parameter[] },
): void => {
  const readerOf = options.readerOf ?? logProbReaders(ownHead(model), options);
  eachBatch(rows, options.tokensPerPass, (batch, members) => {
    const own = pick(rows, members);
    const groups = byReader(batch, own, readerOf);
    /** Reads, asks for slopes, and gives every group's gradient of its hidden states to `add`. */
    const readBack = (
      hidden: Tensor | HiddenCache,
      add: (group: Group, gradient_ND: Tensor) => void,
    ): void => {
      const readings = groups.map((group) => group.reader.read(hiddenOf(group, hidden), group.spans));
      const slopes = zip(own, spread(groups, readings, own.length)).map(([row, values]) =>
        slopesOf(row, values),
      );
      for (const [group, reading] of zip(groups, readings)) {
        noGrad(() => scope(() => add(group, reading.backward(slopesOfGroup(group, slopes)))));
      }
    };
    if (options.hidden !== undefined) readBack(options.hidden, () => undefined);
    else {
      const pass = model.backbone.train(batchTokens(batch), packedAttention(batch), {
        checkpoint: options.checkpointing ?? false,
      });
      const hidden_TD = pass.hidden_TD.detach();
      const gradient_TD = noGrad(() => ops.zerosLike(hidden_TD));
      // The prompt's last position predicts the first token of every branch, so its rows add up.
      readBack(hidden_TD, ({ positions }, gradient_ND) =>
        ops.indexAdd_(gradient_TD, 0, int64(positions), gradient_ND),
      );
      pass.backward(gradient_TD);
    }
    for (const one of options.trained) one.collect();
  });
};
