/** What the one trainer needs to know of a task: rows with completions, what is read off them, and gradients of what was read. */
import type { Tensor } from "@mahalo/torch";
import type { CompletionSpan, PackedRow, UnpackedRow } from "../data/tokens/packing.ts";
import type { Mix } from "../model/heads/heads.ts";
import type { Metrics } from "./metrics.ts";

// Shapes: N positions of all completions that one head is read at, D hidden.

/** A row of a batch: a prompt with the completions that share it. */
export type TaskRow = UnpackedRow & {
  /** Objective whose head reads this row; undefined for the model's base head. */
  objective: string | undefined;
  /** Normalised mix whose heads and adapters read this row. Default: its objective alone. */
  mix?: Mix | undefined;
  /** Number that the task knows the row by. */
  index: number;
};

/** Values read off hidden states, and what to call once their gradients are known. */
export type HeadOutput = {
  /** The values of each position, in order. */
  values: Float32Array;
  /**
   * Adds to the gradients of what the head trains and returns d(loss)/d(hidden), [N, D], from d(loss)/d(value) of each
   * value. May be called once.
   */
  backward(gradients: Float32Array): Tensor;
};

/** What is applied to hidden states before the loss; rows that name one head go through it together. */
export type LossHead = {
  /** Values read at each position. */
  width: number;
  /** Normalised mix of the objectives' adapters under which the backbone computes its rows. Default: all adapters off. */
  mix?: Mix | undefined;
  /** Offsets, into a batch's tokens, of the hidden states that are read of one completion of a row. */
  positions(row: TaskRow, packed: PackedRow, completion: CompletionSpan, index: number): ArrayLike<number>;
  /** Reads the positions of completions, which are named in the order of `hidden_ND`. */
  forward(hidden_ND: Tensor, completions: readonly { row: TaskRow; index: number }[]): HeadOutput;
};

/** What was read off one completion: the log-probabilities of its tokens in nats, unless the task names heads of its own. */
export type CompletionValues = Float32Array;

/** Log-probabilities of the tokens of one completion, in nats. */
export type CompletionLogProbs = CompletionValues;

/** What a task makes of what was read off one row. */
export type RowLoss<R> = {
  /** d(batch loss)/d(value) of each completion: one number for all its values where they share it, as a sum's terms do. */
  gradients: readonly (number | Float32Array)[];
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
 * A task that the trainer can train: it names rows, turns what is read off them into gradients, and records into metrics.
 *
 * All numbers of a step are known before its first pass, so that gradients are exact whatever the division into passes.
 */
export type Task<R> = {
  name: string;
  /** Optimiser steps in all. */
  steps: number;
  /** Rows of a step; the same for the same step, whatever came before. */
  rows(step: number): readonly TaskRow[];
  /** Who reads a row. By default its own head's log-probabilities of its completions' tokens. */
  headOf?: (row: TaskRow) => LossHead;
  /** Judges one row among the rows of its step. */
  loss(row: TaskRow, values: readonly CompletionValues[], step: readonly TaskRow[]): RowLoss<R>;
  metrics(records: readonly R[]): Metrics;
  /**
   * Called with a step's records, of a forward without gradients, before any gradient is asked for: for losses whose gradients
   * depend on the whole step, or on all steps so far. A task without it saves that forward.
   */
  prepare?(records: readonly R[]): void;
  /** What the task learns from step to step, as plain data; checkpoints keep it. */
  state?: TaskState;
  /** Held-out rows, measured without training; empty for none. */
  heldOut: readonly TaskRow[];
};
