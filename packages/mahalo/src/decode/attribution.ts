/** Why a token was chosen: each objective's share of its lead over the runner-up, and what each head alone would say. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { weightIn } from "../model/heads/mix-weight.ts";
import { likeliestTokens, type TokenLogprob, tokenLogprobs } from "./token-logprobs.ts";
import { canWeigh, weightedLogits } from "./weighted-logits.ts";

// Shapes: N rows, V vocabulary, D hidden, 2 the chosen token and the runner-up.

/** What one objective's head says of a chosen token. */
export type HeadView = {
  /** Its part of the lead: w_k (l_k[chosen] - l_k[runner-up]), in logits; negative where it would have had the other. */
  share: number;
  /** Log-probability of the chosen token under this head alone. */
  logprob: number;
  /** This head's own first choice. */
  first: TokenLogprob;
};

/** Why one token was chosen. The shares add up to the lead l[chosen] - l[runner-up] of the mixed logits. */
export type Attribution = {
  /** The likeliest other token under the mix. */
  runnerUp: TokenLogprob;
  /** By objective, in the model's order. */
  heads: Readonly<Record<string, HeadView>>;
};

/** One objective's own logits [N, V] of hidden states, in float32. */
const logitsOf = (model: LanguageModel, hidden_ND: Tensor, objective: string): Tensor => {
  const { heads, backbone } = model;
  const alone = Array.from({ length: hidden_ND.size(0) }, () => ({ [objective]: 1 }));
  if (heads.lowRank) return heads.lowRankLogits(hidden_ND, alone, backbone.kernels).to("float32");
  if (canWeigh(model, hidden_ND)) return weightedLogits(model, hidden_ND, alone).to("float32");
  return heads.logitsUnder(hidden_ND, { [objective]: 1 }, backbone.kernels).to("float32");
};

/** The likeliest token of each row beside its chosen one. */
const runnersUp = (logits_NV: Tensor, ids: readonly number[]): TokenLogprob[] =>
  zip(likeliestTokens(logits_NV.logSoftmax(-1), Array(ids.length).fill(2)), ids).map(([tokens, chosen]) =>
    element(
      tokens.filter(({ id }) => id !== chosen),
      0,
      "runner-up",
    ),
  );

/**
 * Explains chosen tokens. Mixing is linear in the logits, l = sum_k w_k l_k, so each head's share is exact, given the hidden
 * state; what adapters do to that state under the mix is no part of it. Bias and penalties of a request are left out.
 *
 * Costs one product with every objective's head, beside the one that chose.
 *
 * @param hidden_ND final hidden states, row n being that of `ids[n]`
 * @param mixes normalised weights, row by row
 */
export const attributions = (
  model: LanguageModel,
  hidden_ND: Tensor,
  mixes: readonly Mix[],
  ids: readonly number[],
): Attribution[] =>
  noGrad(() =>
    scope(() => {
      const { objectives } = model.heads;
      const { device } = hidden_ND;
      const own = objectives.map((name) => ({ name, logits_NV: logitsOf(model, hidden_ND, name) }));
      const weights = (name: string): Tensor =>
        tensor(
          Float32Array.from(mixes, (mix) => weightIn(mix, name)),
          { device },
        ).unsqueeze(1);
      const mixed_NV = own
        .map(({ name, logits_NV }) => logits_NV.mul(weights(name)))
        .reduce((sum, logits_NV) => sum.add(logits_NV));
      const others = runnersUp(mixed_NV, ids);
      const pairs = zip(ids, others).flatMap(([chosen, { id }]) => [chosen, id]);
      const pairs_N2 = tensor(Int32Array.from(pairs), {
        dtype: "int64",
        shape: [ids.length, 2],
        device,
      });
      const views = own.map(({ name, logits_NV }) => {
        const compared = ops.gather(logits_NV, 1, pairs_N2).toFloat32Array();
        const told = tokenLogprobs(logits_NV, ids, Array(ids.length).fill(1));
        return zip(told, mixes).map(([{ logprob, top }, mix], row): [string, HeadView] => {
          const lead = element(compared, 2 * row) - element(compared, 2 * row + 1);
          return [
            name,
            { share: weightIn(mix, name) * lead, logprob, first: element(top, 0, "first choice") },
          ];
        });
      });
      return others.map((runnerUp, row) => ({
        runnerUp,
        heads: Object.fromEntries(views.map((ofHead) => element(ofHead, row, "row"))),
      }));
    }),
  );
