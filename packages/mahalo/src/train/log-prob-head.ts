/** What is read off a batch's hidden states and what its gradients do to them; by default, log-probabilities. */
import { ops, scope } from "@mahalo/torch";
import { bug, element } from "../core/need.ts";
import { predictors } from "../data/tokens/packing.ts";
import type { Heads, Mix } from "../model/heads/heads.ts";
import type { Backbone } from "../model/transformer/backbone.ts";
import { type HeadPassOptions, type HeadWeight, headPass } from "./head-pass.ts";
import type { LossHead, TaskRow } from "./task.ts";

// Shapes: N positions of all completions that one head is read at, D hidden.

/** What the trainer needs of a model; a reward model has no output heads. */
export type TrainedModel = { backbone: Backbone; heads?: Heads | undefined };

/**
 * Reads the log-probabilities of each completion's tokens under one head.
 *
 * @param weightOf the head's weight when it is applied
 * @param mix of the adapters beneath it; default: off
 */
export const logProbHead = (
  weightOf: () => HeadWeight,
  { mix, ...options }: HeadPassOptions & Pick<LossHead, "mix"> = {},
): LossHead => ({
  width: 1,
  mix,
  positions: (_row, packed, completion) => predictors(packed, completion),
  forward: (hidden_ND, completions) => {
    const targets = completions.flatMap(({ row, index }) => element(row.completions, index, "completion"));
    const { logps, backward } = headPass(hidden_ND, weightOf(), Int32Array.from(targets), options);
    return { values: logps, backward };
  },
});

/** Log-probabilities under the base head, with all adapters off: those of the reference policy. */
export const baseHead = (model: TrainedModel, options: HeadPassOptions = {}): LossHead =>
  logProbHead(() => headsIn(model).base, options);

/** Log-probabilities under each row's mix, else under its objective's own head, else under the base head. */
export const rowHeads = (
  model: TrainedModel,
  options: HeadPassOptions = {},
): ((row: TaskRow) => LossHead) => {
  const base = baseHead(model, options);
  const byMix = new Map<string, LossHead>();
  return ({ objective, mix = objective === undefined ? undefined : { [objective]: 1 } }) => {
    if (mix === undefined) return base;
    const key = JSON.stringify(mix);
    const head = byMix.get(key) ?? logProbHead(() => mixedWeight(headsIn(model), mix), { ...options, mix });
    byMix.set(key, head);
    return head;
  };
};

const headsIn = ({ heads }: TrainedModel): Heads =>
  heads ?? bug("a model without output heads has no log-probabilities");

/** The merged head of a mix; its gradient is shared out by the weights: d(loss)/d(W_k) = w_k d(loss)/d(W). */
const mixedWeight = (heads: Heads, mix: Mix): HeadWeight => {
  const weighed = Object.entries(mix).filter(([, weight]) => weight > 0);
  const [first] = weighed;
  if (first !== undefined && weighed.length === 1) {
    const head = heads.head(first[0]);
    if ("value" in head) return head;
  }
  return {
    value: heads.mixFloat(mix).to(heads.base.value.dtype),
    accumulate: (fresh) => {
      for (const [name, weight] of weighed)
        scope(() => heads.accumulate(name, weight === 1 ? fresh : ops.mulScalar(fresh, weight)));
    },
  };
};
