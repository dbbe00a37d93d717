/** Logits of rows under more mixes than heads are merged for: every objective's head once for all rows, weighted by row. */
import { MahaloError, ops, type Tensor, tensor } from "@mahalo/torch";
import { linear } from "../core/products.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { weightIn } from "../model/heads/mix-weight.ts";

// Shapes: R rows, D hidden, V vocabulary.

/** Whether each objective's head reads these hidden states by itself; heads of several models do so only merged. */
export const canWeigh = ({ heads }: Pick<LanguageModel, "heads">, hidden_RD: Tensor): boolean =>
  heads.parameters().every(({ value }) => value.size(1) === hidden_RD.size(1));

/**
 * Logits [R, V] of rows that each have their own mix, in float32: sum_k w_rk (W_k h_r).
 *
 * On the CPU heads are merged block by block while they are multiplied, so that a row's logits are those of its merged
 * head bit for bit; elsewhere each objective's logits are weighted, which is the same up to rounding. Either costs about as
 * much as there are objectives with any weight, where whole merged heads would push each other out of memory at each step.
 *
 * @param mixes normalised weights, row by row
 */
export const weightedLogits = (
  { heads, backbone: { kernels } }: Pick<LanguageModel, "heads" | "backbone">,
  hidden_RD: Tensor,
  mixes: readonly Mix[],
): Tensor => {
  const { objectives } = heads;
  const weightsOf = (objective: string): Float32Array =>
    Float32Array.from(mixes, (mix) => weightIn(mix, objective));
  if (mixes.some((mix) => objectives.every((objective) => weightIn(mix, objective) === 0))) {
    throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0");
  }
  if (kernels.rowwise !== undefined) {
    const weights_RK = ops.stack(
      objectives.map((objective) => tensor(weightsOf(objective))),
      1,
    );
    const sources = objectives
      .map((objective) => heads.get(objective))
      .map(({ master, value }) => master ?? value);
    return ops.mixedLinear(
      hidden_RD,
      sources,
      weights_RK,
      heads.base.value.dtype === "bfloat16",
      heads.quantized,
    );
  }
  let sum_RV: Tensor | undefined;
  for (const objective of objectives) {
    const weights = weightsOf(objective);
    if (weights.every((weight) => weight === 0)) continue;
    const logits_RV = linear(hidden_RD, heads.get(objective).value).to("float32");
    const weighted_RV = logits_RV.mul(tensor(weights, { device: hidden_RD.device }).unsqueeze(1));
    sum_RV = sum_RV === undefined ? weighted_RV : ops.add_(sum_RV, weighted_RV);
  }
  if (sum_RV === undefined) throw new MahaloError("E_MIX_SUM", "mix: the weights sum to 0");
  return sum_RV;
};
