/** Log-probabilities of a prompt's own tokens, each given those before it: what an answer's tokens are told, for the prompt. */
import { noGrad, scope, type Tensor, tensor } from "@mahalo/torch";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import { promptBatch } from "./kv/cached-attention.ts";
import { type MixPlan, MixSchedule } from "./mix-schedule.ts";
import { type RowLogprobs, tokenLogprobs } from "./token-logprobs.ts";

// Shapes: T tokens, N tokens of one piece, D hidden, V vocabulary.

/** Tokens whose logits are in memory at a time: a vocabulary is large. */
const PIECE = 64;

/** Logits [N, V] of hidden states that are all read under one mix. */
const logitsOf = ({ heads, backbone }: LanguageModel, hidden_ND: Tensor, mix: Mix | undefined): Tensor => {
  if (!heads.lowRank) return heads.logitsUnder(hidden_ND, mix, backbone.kernels);
  const mixes = Array.from({ length: hidden_ND.size(0) }, () => mix ?? {});
  return heads.lowRankLogits(hidden_ND, mixes, backbone.kernels);
};

/**
 * Log-probabilities of a prompt's tokens but the first, which has nothing before it, in one pass over all of it.
 *
 * @param plan the mix; of phases the first
 * @param top how many of the likeliest tokens to tell in each place, none by default
 * @returns one entry for each token from the second on
 * @throws MahaloError E_MIX_* for a wrong mix
 */
export const promptLogprobs = (
  model: LanguageModel,
  ids: readonly number[],
  plan: MixPlan | undefined,
  top = 0,
): RowLogprobs[] => {
  if (ids.length < 2) return [];
  const { backbone, heads } = model;
  const mix = MixSchedule.of(plan, heads.objectives, "request", true)?.at(0, 0);
  return noGrad(() =>
    scope(() => {
      const { device } = backbone.weights.embedding.value;
      const batch = promptBatch([ids]);
      const gained = backbone.adapters === undefined ? undefined : mix;
      const hidden_TD = backbone.forward(
        {
          ids_T: tensor(batch.ids, { dtype: "int64", device }),
          positions_T: tensor(batch.positions, { dtype: "int64", device }),
          lastPosition: ids.length - 1,
          gains_TS: backbone.adapters?.gains([{ length: ids.length, mix: gained }], device),
        },
        packedAttention(batch),
      );
      const told: RowLogprobs[] = [];
      for (let start = 0; start + 1 < ids.length; start += PIECE) {
        const length = Math.min(PIECE, ids.length - 1 - start);
        const next = ids.slice(start + 1, start + 1 + length);
        scope(() => {
          const logits_NV = logitsOf(model, hidden_TD.narrow(0, start, length), mix);
          told.push(
            ...tokenLogprobs(
              logits_NV,
              next,
              next.map(() => top),
            ),
          );
        });
      }
      return told;
    }),
  );
};
