/** What is read off a batch's hidden states and what its slopes do to them; by default, log-probabilities. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../core/need.ts";
import { predictors } from "../data/tokens/packing.ts";
import type { Heads } from "../model/heads/heads.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { type HeadPassOptions, headPass } from "./head-pass.ts";
import type { Reader, TaskRow } from "./task.ts";

// Shapes: N positions of all branches that one reader reads, D hidden.

/** What the trainer needs of a model; a reward model has no output heads. */
export type TrainedModel = { backbone: Backbone; heads?: Heads | undefined };

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
