/** What the one trainer needs to know of a task: rows with branches, the head of each, and slopes from log-probabilities. */
import type { UnpackedRow } from "../data/packing.ts";
import type { Metrics } from "./metrics.ts";

/** A row of a batch: a prompt with the branches that share it. */
export type TaskRow = UnpackedRow & {
  /** Objective whose head reads this row; undefined for the model's base head. */
  objective: string | undefined;
  /** Number that the task knows the row by. */
  index: number;
};

/** Log-probabilities of the tokens of one branch, in nats. */
export type BranchLogProbs = Float32Array;

/** What a task makes of one row's log-probabilities. */
export type RowOutcome<R> = {
  /** d(batch loss)/d(logp) of each token of each branch: one number a branch, since a sum's terms share their slope. */
  slopes: readonly number[];
  /** Kept for the metrics of the step. */
  record: R;
};

/**
 * A task that the trainer can train: it names rows, turns their log-probabilities into slopes, and records into metrics.
 *
 * All numbers of a step are known before its first pass, so that slopes are exact whatever the division into passes.
 */
export type Task<R> = {
  name: string;
  /** Optimiser steps in all. */
  steps: number;
  /** Rows of a step; the same for the same step, whatever came before. */
  rows(step: number): readonly TaskRow[];
  /** Judges one row among the rows of its step. */
  outcome(row: TaskRow, logps: readonly BranchLogProbs[], step: readonly TaskRow[]): RowOutcome<R>;
  metrics(records: readonly R[]): Metrics;
  /** Held-out rows, measured without training; empty for none. */
  heldOut: readonly TaskRow[];
};
