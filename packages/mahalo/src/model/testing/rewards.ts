/** Tiny reward models for tests, and their scores of a sequence token by token. */
import { noGrad, scope } from "@mahalo/torch";
import type { HeadSpec } from "../reward/reward-heads.ts";
import { loadRewardModel, type RewardLoadOptions, type RewardModel } from "../reward/reward-model.ts";
import { packedAttention } from "../transformer/attention.ts";
import { packed, type TinyName, tinyFolder, tokensOf } from "./tiny.ts";

/** One head of each kind. */
export const ALL_KINDS: readonly HeadSpec[] = [
  { name: "accuracy", kind: "value" },
  { name: "clarity", kind: "soft" },
  { name: "engagement", kind: "hard" },
  { name: "helpful", kind: "bradley-terry" },
];

/** A tiny language model with new reward heads, for training. */
export const tinyRewards = (
  name: TinyName,
  heads: readonly HeadSpec[],
  options: RewardLoadOptions = {},
): Promise<RewardModel> => loadRewardModel(tinyFolder(name), { training: true, heads, seed: 5, ...options });

/** Every float32 weight by name, heads included. */
export const rewardWeights = ({ backbone, rewards }: RewardModel): Map<string, Float32Array> =>
  new Map(
    [...backbone.parameters(), ...rewards.parameters()].map((parameter) => [
      parameter.name,
      parameter.float().toFloat32Array(),
    ]),
  );

/** Outputs of one head at every token of a sequence, token after token; no gradients. */
export const outputsOfHead = (
  { backbone, rewards }: RewardModel,
  ids: readonly number[],
  objective?: string,
): Float32Array =>
  noGrad(() =>
    scope(() => {
      const batch = packed([{ prompt: ids.slice(0, -1), completions: [ids.slice(-1)] }]);
      const hidden_TD = backbone.forward(tokensOf(batch), packedAttention(batch));
      return rewards.get(objective).apply(hidden_TD).toFloat32Array();
    }),
  );

/** Scores of one head at every token of a sequence. */
export const scoresOfHead = (model: RewardModel, ids: readonly number[], objective?: string): number[] =>
  model.rewards.get(objective).scores(outputsOfHead(model, ids, objective));
