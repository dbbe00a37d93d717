/** What the one trainer needs to know of a task: rows with branches, what is read off them, and slopes of what was read. */
import type { Tensor } from "@mahalo/torch";
import type { Branch, PackedRow, UnpackedRow } from "../data/tokens/packing.ts";
import type { Metrics } from "./metrics.ts";

// Shapes: N positions of all branches that one reader reads, D hidden.

/** A row of a batch: a prompt with the branches that share it. */
export type TaskRow = UnpackedRow & {
  /** Objective whose head reads this row; undefined for the model's base head. */
  objective: string | undefined;
  /** Number that the task knows the row by. */
  index: number;
};

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

/** What was read off one branch: the log-probabilities of its tokens in nats, unless the task has readers of its own. */
export type BranchValues = Float32Array;

/** Log-probabilities of the tokens of one branch, in nats. */
export type BranchLogProbs = BranchValues;

/** What a task makes of what was read off one row. */
export type RowOutcome<R> = {
  /** d(batch loss)/d(value) of each branch: one number for all its values where they share it, as a sum's terms do. */
  slopes: readonly (number | Float32Array)[];
  /** Kept for the metrics of the step. */
  record: R;
};

/** State of a task between steps. */
export type TaskState = {
  /** What a checkpoint writes, as JSON has it. */
  save(): unknown;
  /** Takes up what {@link save} gave. @throws MahaloError where it does not fit this task */
  load(saved: unknown): void;
};

/**
 * A task that the trainer can train: it names rows, turns what is read off them into slopes, and records into metrics.
 *
 * All numbers of a step are known before its first pass, so that slopes are exact whatever the division into passes.
 */
export type Task<R> = {
  name: string;
  /** Optimiser steps in all. */
  steps: number;
  /** Rows of a step; the same for the same step, whatever came before. */
  rows(step: number): readonly TaskRow[];
  /** Who reads a row. By default its own head's log-probabilities of its branches' tokens. */
  readerOf?: (row: TaskRow) => Reader;
  /** Judges one row among the rows of its step. */
  outcome(row: TaskRow, values: readonly BranchValues[], step: readonly TaskRow[]): RowOutcome<R>;
  metrics(records: readonly R[]): Metrics;
  /**
   * Called with a step's records, of a forward without gradients, before any slope is asked for: for losses whose slopes
   * depend on the whole step, or on all steps so far. A task without it saves that forward.
   */
  prepare?(records: readonly R[]): void;
  /** What the task learns from step to step, as plain data; checkpoints keep it. */
  state?: TaskState;
  /** Held-out rows, measured without training; empty for none. */
  heldOut: readonly TaskRow[];
};
