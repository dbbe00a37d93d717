/** mahalo as a library: what programs use, room by room; everything else is inner and may change. */

export { describeError, MahaloError, setThreads } from "@mahalo/torch";
// Errors and display.
export { type AggregateName, type Aggregates, aggregateScores } from "./core/aggregate.ts";
export { type Diagnosis, diagnose } from "./core/doctor.ts";
export { silenceProgress } from "./core/progress.ts";
// Data: files to checked rows, rows to token ids, ids to batches.
export { type Balance, type BalanceOptions, balancedBatches } from "./data/balance.ts";
export type { ChatTemplate } from "./data/chat-template.ts";
export type { TextCodec } from "./data/codec.ts";
export {
  type Encoded,
  type EncodedExample,
  type EncodedPair,
  type EncodedSteps,
  type EncodeOptions,
  encodeExamples,
  encodePairs,
  encodePrompt,
  encodeSteps,
} from "./data/encode.ts";
export { formats } from "./data/formats.ts";
export {
  loadExamples,
  loadPreferences,
  loadPrompts,
  loadSteps,
  locateRows,
  type RowFile,
  type RowSource,
} from "./data/load.ts";
export { type Origin, Problems, type Reason } from "./data/problems.ts";
export type { ExampleRow, Message, PreferenceRow, Prompt, PromptRow, Role } from "./data/rows.ts";
export { limitRows, type SplitOptions, splitRows } from "./data/split.ts";
export { parseStepRow, type StepRow } from "./data/step-rows.ts";
export { endsOfTexts, type StepBoundary, StepScanner, stepEnds, stepTexts } from "./data/steps.ts";
// Decode: requests to answers, token by token.
export { Conversation, type ConversationOptions } from "./decode/conversation.ts";
export { type DecodeOptions, decode, type Guide } from "./decode/decode.ts";
export { cachedDecoder, type Decoder, type DecoderOptions, uncachedDecoder } from "./decode/decoder.ts";
export { Engine, type EngineOptions, Job } from "./decode/engine.ts";
export type { DecodeEvent, DoneEvent, StepEvent, TokenEvent } from "./decode/events.ts";
export { type GenerateEvent, type GenerateOptions, generate, generateAll } from "./decode/generate.ts";
export { type JointModel, jointModel } from "./decode/joint-model.ts";
export type { MixPhase, MixPlan } from "./decode/mix-schedule.ts";
export type { Completion, Finish, GenerateRequest } from "./decode/request.ts";
export { type Sampling, type SamplingInput, samplingFor } from "./decode/sampling.ts";
export { drawTree } from "./decode/search/draw.ts";
export type { SearchInput } from "./decode/search/options.ts";
export type { ScoredStep, Scorer, StepScores } from "./decode/search/scorer.ts";
export {
  type SearchEvent,
  type SearchRequest,
  type SearchTools,
  search,
  searchAnswer,
} from "./decode/search/search.ts";
export { readTraces, writeTraces } from "./decode/search/trace-file.ts";
export type { SearchNode, SearchTree } from "./decode/search/tree.ts";
// Evaluate: sweeps, intervals, results.
export { distinct, klOfSamples, winRates } from "./evaluate/answer-metrics.ts";
export { type CompareOptions, compareRuns } from "./evaluate/compare.ts";
export { type Comparison, readComparison } from "./evaluate/comparison.ts";
export {
  coverage,
  dominates,
  frontOf,
  hypervolume,
  interference,
  leastRegret,
  regrets,
} from "./evaluate/front.ts";
export { bootstrapMean, type Estimate, wilson } from "./evaluate/intervals.ts";
export { mixGrid } from "./evaluate/mixes.ts";
export { type Results, readResults } from "./evaluate/results.ts";
export { overSeeds, pairedOverSeeds } from "./evaluate/seeds.ts";
export { type Policy, runSweep, type SweepOptions, type SweepOutcome } from "./evaluate/sweep.ts";
export { parseTarget, type Tuned, tune } from "./evaluate/tune.ts";
export type { HeadKind } from "./model/head-kinds/registry.ts";
export { Heads, type Mix, normalizeMix, parseMix } from "./model/heads.ts";
export { type LanguageModel, type LoadOptions, loadModel } from "./model/load.ts";
// Model: load, heads and mixes, save, export.
export type { ModelConfig } from "./model/model-config.ts";
export type { ComputeDType, Parameter } from "./model/parameters.ts";
export { computeDType, type Precision } from "./model/precision.ts";
export type { HeadSpec, RewardHead, RewardHeads } from "./model/reward-heads.ts";
export {
  loadRewardModel,
  type RewardLoadOptions,
  type RewardModel,
  saveRewardModel,
} from "./model/reward-model.ts";
export { namedPrompt } from "./model/reward-prompt.ts";
export { exportMix, type SaveOptions, saveModel } from "./model/save.ts";
export { soupModel } from "./model/soup.ts";
// Recipe: a whole pipeline from one file.
export { type AlignOptions, alignSchema } from "./recipe/align-schema.ts";
export { type LoadedRecipe, loadRecipe, parseRecipe } from "./recipe/load.ts";
export { type Plan, planRecipe } from "./recipe/plan.ts";
export { type RunOutcome, type RunRecipeOptions, runRecipe } from "./recipe/run.ts";
export { type Recipe, type RecipeInput, recipeSchema } from "./recipe/schema.ts";
export { type Schedule, scheduleRows } from "./recipe/stages/training.ts";
export { type SftOptions, sftSchema } from "./recipe/training-schema.ts";
// Reward: rollouts, and labels and pairs made of them.
export { type Continuer, modelContinuer } from "./reward/continuer.ts";
export {
  type EndpointContinuerOptions,
  type EndpointRolloutOptions,
  endpointContinuer,
  endpointContinuerSchema,
} from "./reward/endpoint-continuer.ts";
// Reward: judges.
export { makeJudge } from "./reward/judges/registry.ts";
export type { Judge, JudgedItem, Verdict } from "./reward/judges/types.ts";
export { rejudgeRollouts } from "./reward/rejudge.ts";
export { type Ending, hardLabels, hindsightTarget, monteCarloValue } from "./reward/relabel.ts";
export { type RelabelledRow, relabelOptionsOf, relabelRows, stepwiseLine } from "./reward/relabel-rows.ts";
export { boundaryContinuer, rollOutDialogues, rollOutRows } from "./reward/roll-out.ts";
export type { RolloutSummary } from "./reward/rollout.ts";
export { allRollouts, type Rollout, type RolloutRow, readRollouts } from "./reward/rollout-file.ts";
export { type MadePair, pairLine, pairsFromRollouts, rolloutPairOptionsOf } from "./reward/rollout-pairs.ts";
export { type RunningScorer, type RunningScorerOptions, runningScorer } from "./reward/running-scorer.ts";
export { loadScorable, parseScorable, type ScorableRow } from "./reward/scorable-rows.ts";
export { type ScoredResponse, type ScoreStepsOptions, scoreSteps } from "./reward/score.ts";
export { type ScoreMetrics, scoreMetrics } from "./reward/score-metrics.ts";
export { judgeRows, type ScoredRow, scoreRows } from "./reward/score-rows.ts";
export { encodeScored, type ScoreTextOptions } from "./reward/score-text.ts";
export { openGuides, parseGuides } from "./reward/scorers/guides.ts";
export { judgeScorer } from "./reward/scorers/judge-scorer.ts";
export { type ModelScorerOptions, modelScorer } from "./reward/scorers/model-scorer.ts";
export { severalScorers } from "./reward/scorers/several-scorers.ts";
// Reward: scoring.
export { unitScore } from "./reward/unit-score.ts";
export { votesOf } from "./reward/votes.ts";
// Train: one trainer, tasks and losses.
export {
  type PairLogProbs,
  type PairLoss,
  type PairLossName,
  type PairLossOptions,
  type PairOutcome,
  pairLoss,
} from "./train/losses.ts";
export { type ModpoOptions, modpo } from "./train/methods/modpo.ts";
export { rankBy, scalarized } from "./train/methods/scalarize.ts";
export type { Metrics } from "./train/metrics.ts";
export type { TrainOptions } from "./train/options.ts";
export { type PreferenceTaskOptions, preferenceTask, type ReferencePair } from "./train/preference.ts";
export { cachedReference, computeReference } from "./train/reference.ts";
export { type LabelledSteps, type RewardRow, type RewardTaskOptions, rewardTask } from "./train/reward.ts";
export { objectiveMetrics, type RewardRecord, rewardMetrics } from "./train/reward-metrics.ts";
export { type SftTaskOptions, sftTask } from "./train/sft.ts";
export type { Task, TaskRow } from "./train/task.ts";
export { selectTrained, type TrainContext, train } from "./train/trainer.ts";
