/** A tiny reward model with one head of every kind, for tests of scoring. */
import { headKinds } from "../../model/reward/head-kinds/registry.ts";
import { type HeadSpec, newHead, RewardHeads } from "../../model/reward/reward-heads.ts";
import type { RewardModel } from "../../model/reward/reward-model.ts";
import { type TinyName, tinyModel } from "../../model/testing/tiny.ts";

/** One head of every kind, named after it. */
export const everyHead: readonly HeadSpec[] = headKinds.names.map((kind) => ({ name: kind, kind }));

/** A tiny language model's backbone with new reward heads. */
export const tinyRewardModel = async (
  name: TinyName = "tiny-llama",
  heads: readonly HeadSpec[] = everyHead,
): Promise<RewardModel> => {
  const model = await tinyModel(name, { training: false });
  const { config, tokenizer, template, backbone, files } = model;
  const rewards = new RewardHeads(heads.map((spec) => newHead(spec, config.hiddenSize, 1)));
  return {
    config,
    tokenizer,
    template,
    backbone,
    rewards,
    boundary: undefined,
    files,
    dispose: () => {
      model.dispose();
      rewards.dispose();
    },
  };
};
