/** What is read off a batch's hidden states and what its slopes do to them; by default, log-probabilities. */
import { MahaloError, type Tensor } from "@mahalo/torch";
import { element } from "../core/need.ts";
import { type Branch, type PackedRow, predictors } from "../data/packing.ts";
import type { Backbone } from "../model/backbone.ts";
import type { Heads } from "../model/heads.ts";
import type { Parameter } from "../model/parameters.ts";
import { type HeadPassOptions, headPass } from "./head-pass.ts";
import type { TaskRow } from "./task.ts";

// Shapes: N positions of all branches that one reader reads, D hidden.

/** What the trainer needs of a model; a reward model has no output heads. */
export type TrainedModel = { backbone: Backbone; heads?: Heads | undefined };

/** Values read off hidden states, and what to call once their slopes are known. */
export type Reading = {
  /** The values of each position, in order. */
  values: Float32Array;
  /**
   * Adds to the gradients of what the reader trains and returns d(loss)/d(hidden), [N, D], from d(loss)/d(value) of each
   * value. May be called once.
   */
  backward(slopes: Float32Array): Tensor;
};

/** Reads all rows that it is named for; rows of one reader are read together. */
export type Reader = {
  /** Values read at each position. */
  width: number;
  /** Offsets, into a batch's tokens, of the hidden states that are read of one branch of a row. */
  positions(row: TaskRow, packed: PackedRow, branch: Branch, index: number): ArrayLike<number>;
  /** Reads the positions of branches, which are named in the order of `hidden_ND`. */
  read(hidden_ND: Tensor, branches: readonly { row: TaskRow; index: number }[]): Reading;
};

/** Reads the log-probabilities of each branch's tokens under one head. */
export const logProbReader = (head: Parameter, options: HeadPassOptions = {}): Reader => ({
  width: 1,
  positions: (_row, packed, branch) => predictors(packed, branch),
  read: (hidden_ND, branches) => {
    const targets = branches.flatMap(({ row, index }) => element(row.branches, index, "branch"));
    const { logps, backward } = headPass(hidden_ND, head, Int32Array.from(targets), options);
    return { values: logps, backward };
  },
});

/** Readers of log-probabilities under the heads that `headOf` names, one for each head. */
export const logProbReaders = (
  headOf: (row: TaskRow) => Parameter,
  options: HeadPassOptions = {},
): ((row: TaskRow) => Reader) => {
  const readers = new Map<Parameter, Reader>();
  return (row) => {
    const head = headOf(row);
    const reader = readers.get(head) ?? logProbReader(head, options);
    readers.set(head, reader);
    return reader;
  };
};

/** The output head of a row's objective; the base head where it has none. */
export const ownHead =
  ({ heads }: TrainedModel) =>
  ({ objective }: TaskRow): Parameter => {
    if (heads === undefined) {
      throw new MahaloError("E_INTERNAL", "a model without output heads has no log-probabilities", {
        exitStatus: 1,
      });
    }
    return objective === undefined ? heads.base : heads.get(objective);
  };
