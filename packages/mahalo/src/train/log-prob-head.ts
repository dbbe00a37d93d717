/** What is read off a batch's hidden states and what its gradients do to them; by default, log-probabilities. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../core/need.ts";
import { predictors } from "../data/tokens/packing.ts";
import type { Heads } from "../model/heads/heads.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { type HeadPassOptions, headPass } from "./head-pass.ts";
import type { LossHead, TaskRow } from "./task.ts";

// Shapes: N positions of all completions that one head is read at, D hidden.

/** What the trainer needs of a model; a reward model has no output heads. */
export type TrainedModel = { backbone: Backbone; heads?: Heads | undefined };

/** Reads the log-probabilities of each completion's tokens under one head. */
export const logProbHead = (head: Parameter, options: HeadPassOptions = {}): LossHead => ({
  width: 1,
  positions: (_row, packed, completion) => predictors(packed, completion),
  forward: (hidden_ND, completions) => {
    const targets = completions.flatMap(({ row, index }) => element(row.completions, index, "completion"));
    const { logps, backward } = headPass(hidden_ND, head, Int32Array.from(targets), options);
    return { values: logps, backward };
  },
});

/** Log-probabilities under the heads that `weightOf` names, one for each head. */
export const logProbHeads = (
  weightOf: (row: TaskRow) => Parameter,
  options: HeadPassOptions = {},
): ((row: TaskRow) => LossHead) => {
  const lossHeads = new Map<Parameter, LossHead>();
  return (row) => {
    const head = weightOf(row);
    const lossHead = lossHeads.get(head) ?? logProbHead(head, options);
    lossHeads.set(head, lossHead);
    return lossHead;
  };
};

/** The output head of a row's objective; the base head where it has none. */
export const objectiveHead =
  ({ heads }: TrainedModel) =>
  ({ objective }: TaskRow): Parameter => {
    if (heads === undefined) {
      throw new MahaloError("E_INTERNAL", "a model without output heads has no log-probabilities", {
        exitStatus: 1,
      });
    }
    return objective === undefined ? heads.base : heads.get(objective);
  };
