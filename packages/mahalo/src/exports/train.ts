/** mahalo/train: the trainer, its tasks and losses, reward models and what recipes say of training. */

export { soupModel } from "../model/heads/soup.ts";
export type { HeadSpec, RewardHead, RewardHeads } from "../model/reward/reward-heads.ts";
export { type RewardLoadOptions, saveRewardModel } from "../model/reward/reward-model.ts";
export { namedPrompt } from "../model/reward/reward-prompt.ts";
export type { ComputeDType, Parameter } from "../model/transformer/parameters.ts";
export { type AlignOptions, alignSchema } from "../recipe/schema/align.ts";
export { type SftOptions, sftSchema } from "../recipe/schema/training.ts";
export { type Schedule, scheduleRows } from "../recipe/stages/training.ts";
export { interiorMixes } from "../train/interior-mixes.ts";
export {
  type PairLogProbs,
  type PairLoss,
  type PairLossOptions,
  type PairLossResult,
  pairLoss,
} from "../train/losses.ts";
export { type ModpoOptions, modpo } from "../train/methods/modpo.ts";
export { rankBy, scalarized } from "../train/methods/scalarize.ts";
export type { Metrics } from "../train/metrics.ts";
export type { TrainOptions } from "../train/options.ts";
export { type PreferenceTaskOptions, preferenceTask, type ReferencePair } from "../train/preference.ts";
export { cachedReference, computeReference } from "../train/reference.ts";
export { type LabelledSteps, type RewardRow, type RewardTaskOptions, rewardTask } from "../train/reward.ts";
export { objectiveMetrics, type RewardRecord, rewardMetrics } from "../train/reward-metrics.ts";
export { type SftTaskOptions, sftTask } from "../train/sft.ts";
export type { Task, TaskRow } from "../train/task.ts";
export { setTrainable, type TrainContext, train } from "../train/trainer.ts";
