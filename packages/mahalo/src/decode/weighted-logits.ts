/** Logits of rows under more mixes than heads are merged for: every objective's head once for all rows, weighted by row. */
import { MahaloError, ops, type Tensor, tensor } from "@mahalo/torch";
import type { Mix } from "../model/heads.ts";
import type { LanguageModel } from "../model/load.ts";

// Shapes: R rows, D hidden, V vocabulary.

/** Whether each objective's head reads these hidden states by itself; heads of several models do so only merged. */
export const canWeigh = ({ heads }: Pick<LanguageModel, "heads">, hidden_RD: Tensor): boolean =>
  heads.parameters().every(({ value }) => value.size(1) === hidden_RD.size(1));

/**
 * Logits [R, V] of rows that each have their own mix, in float32: sum_k w_rk (W_k h_r).
 *
 * Equal to those of merged heads up to rounding. Costs as many products as there are objectives with any weight, where
 * merging a head for every row would read and write all of them for each.
 *
 * @param mixes normalised weights, row by row
 */
export const weightedLogits = (
  { heads, backbone: { kernels } }: Pick<LanguageModel, "heads" | "backbone">,
  hidden_RD: Tensor,
  mixes: readonly Mix[],
): Tensor => {
  const { fewRows } = kernels;
  let sum_RV: Tensor | undefined;
  for (const objective of heads.objectives) {
    const weights = Float32Array.from(mixes, (mix) => mix[objective] ?? 0);
    if (weights.every((weight) => weight === 0)) continue;
    const weight = heads.get(objective).value;
    const logits_RV =
      fewRows !== undefined && hidden_RD.size(0) <= fewRows.most
        ? fewRows.linear(hidden_RD, { weight, bias: null, int8: undefined })
        : ops.linear(hidden_RD, weight).to("float32");
    const weighted_RV = logits_RV.mul(tensor(weights, { device: hidden_RD.device }).unsqueeze(1));
    sum_RV = sum_RV === undefined ? weighted_RV : ops.add_(sum_RV, weighted_RV);
  }
  if (sum_RV === undefined) throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0");
  return sum_RV;
};
