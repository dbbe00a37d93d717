/** Rewards of encoded pairs by other models: what dpo-scalarized and modpo weigh objectives by. */
import { MahaloError } from "@mahalo/torch";
import { element, zip } from "../../core/need.ts";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { loadRewardModel } from "../../model/reward/reward-model.ts";
import { namedPrompt } from "../../model/reward/reward-prompt.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import { scoreSteps } from "../../scoring/score.ts";
import type { RewardMargins } from "../../train/methods/scalarize.ts";
import type { ReferencePair } from "../../train/preference.ts";
import { cachedReference } from "../../train/reference.ts";
import type { StageContext } from "../engine/stage.ts";
import type { AlignOptions, Recipe } from "../schema/schema.ts";
import { modelHash } from "../sources.ts";

/** What rewards are measured against. */
export type RewardsOptions = {
  align: AlignOptions;
  policy: LanguageModel;
  /** The reference's log-probabilities of the pairs. */
  reference: readonly ReferencePair[];
  context: StageContext<Recipe>;
};

const sameTokens = (
  where: string,
  reward: ReadonlyMap<string, string>,
  policy: ReadonlyMap<string, string>,
): void => {
  const [theirs, ours] = [reward, policy].map((files) => files.get("tokenizer.json"));
  if (theirs === undefined || ours === undefined || theirs === ours) return;
  throw new MahaloError("E_REWARD_TOKENS", `${where}: has a different tokenizer from the aligned model`, {
    hint: "pairs are rewarded as tokens; name a model of the same family",
  });
};

/** The model of a folder; undefined for a reward model, which does not generate text. */
const languageModel = async (name: string, { align }: RewardsOptions): Promise<LanguageModel | undefined> => {
  try {
    return await loadModel(name, { compute: computeDType(align.precision) });
  } catch (error) {
    if (error instanceof MahaloError && error.code === "E_MODEL_IS_REWARD") return undefined;
    throw error;
  }
};

/** β (log π_j - log π_ref) of the chosen response less that of the rejected one: DPO's implicit reward. */
const implicitGaps = async (
  where: string,
  name: string,
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  { align, policy, reference, context }: RewardsOptions,
): Promise<number[]> => {
  try {
    if (model.heads.objectives.length > 0) {
      throw new MahaloError("E_REWARD_MODEL", `${where}: ${name} has a head for each objective`, {
        hint: "name a model with one head (align.method: dpo), or export the objective's head with mahalo export --mix",
      });
    }
    sameTokens(where, model.files, policy.files);
    const logps = await cachedReference(model, pairs, {
      maxTokensPerMicrobatch: align.maxTokensPerMicrobatch,
      folder: context.cache,
      policy: await modelHash(name),
      signal: context.signal,
    });
    return zip(logps, reference).map(([{ chosen, rejected }, before]) => {
      return align.beta * (chosen - before.chosen - (rejected - before.rejected));
    });
  } finally {
    model.dispose();
  }
};

/** What a reward model says behind the last token of each response. */
const scoredGaps = async (
  where: string,
  name: string,
  objective: string,
  pairs: readonly EncodedPair[],
  { align, policy, context }: RewardsOptions,
): Promise<number[]> => {
  const model = await loadRewardModel(name, { compute: computeDType(align.precision) });
  try {
    sameTokens(where, model.files, policy.files);
    const [only, ...more] = model.rewards.objectives;
    const asked = only !== undefined && more.length === 0 ? only : objective;
    const responses = pairs.flatMap(({ prompt, chosen, rejected }) =>
      [chosen, rejected].map((response) => ({
        prompt: namedPrompt(model, asked, prompt),
        response,
        ends: [response.length],
        objective: asked,
      })),
    );
    const { maxTokensPerMicrobatch } = align;
    const scores = scoreSteps(model, responses, { maxTokensPerMicrobatch, signal: context.signal });
    const score = (index: number): number => element(element(scores, index, "response"), 0);
    return pairs.map((_, index) => score(2 * index) - score(2 * index + 1));
  } finally {
    model.dispose();
  }
};

/**
 * r_j(chosen) - r_j(rejected) of every pair for every objective that has a weight, by the models of `align.rewards`: a
 * reward model's score of the whole response, or the implicit reward β (log π_j - log π_ref) of an aligned model.
 *
 * @throws MahaloError E_REWARD_MODEL for a model of several heads; E_REWARD_TOKENS for one with another tokenizer
 */
export const pairRewards = async (
  pairs: readonly EncodedPair[],
  weights: ReadonlyMap<string, number>,
  options: RewardsOptions,
): Promise<RewardMargins> => {
  const rewardMargins = new Map<string, readonly number[]>();
  for (const [objective, name] of Object.entries(options.align.rewards ?? {})) {
    if ((weights.get(objective) ?? 0) === 0) continue;
    const where = `align.rewards.${objective}`;
    const aligned = await languageModel(name, options);
    rewardMargins.set(
      objective,
      aligned === undefined
        ? await scoredGaps(where, name, objective, pairs, options)
        : await implicitGaps(where, name, aligned, pairs, options),
    );
  }
  return rewardMargins;
};
