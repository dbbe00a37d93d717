/** mahalo/train: the trainer, its tasks and losses, reward models and what recipes say of training. */

export type { ComputeDType, Parameter } from "../model/parameters.ts";
export type { HeadSpec, RewardHead, RewardHeads } from "../model/reward-heads.ts";
export { type RewardLoadOptions, saveRewardModel } from "../model/reward-model.ts";
export { namedPrompt } from "../model/reward-prompt.ts";
export { soupModel } from "../model/soup.ts";
export { type AlignOptions, alignSchema } from "../recipe/align-schema.ts";
export { type Schedule, scheduleRows } from "../recipe/stages/training.ts";
export { type SftOptions, sftSchema } from "../recipe/training-schema.ts";
export {
  type PairLogProbs,
  type PairLoss,
  type PairLossOptions,
  type PairOutcome,
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
export { selectTrained, type TrainContext, train } from "../train/trainer.ts";
