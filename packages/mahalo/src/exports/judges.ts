/** mahalo/judges: rollouts, verdicts, labels and pairs made of them, and reward models as scorers. */

export { type AggregateName, type Aggregates, aggregateScores } from "../core/aggregate.ts";
export { judgeRows } from "../judges/judge-rows.ts";
export {
  type EndpointGeneratorOptions,
  type EndpointRolloutOptions,
  endpointGenerator,
  endpointGeneratorSchema,
} from "../rollout/endpoint-generator.ts";
export { allRollouts, type Rollout, type RolloutRow, readRollouts } from "../rollout/file.ts";
export { modelGenerator, type RolloutGenerator } from "../rollout/generator.ts";
export type { RolloutSummary } from "../rollout/monte-carlo.ts";
export { type MadePair, pairLine, pairsFromRollouts, rolloutPairOptionsOf } from "../rollout/pairs.ts";
export { rejudgeRollouts } from "../rollout/rejudge.ts";
export { type RelabelledRow, relabelOptionsOf, relabelRows, stepwiseLine } from "../rollout/relabel.ts";
export { boundaryGenerator, rollOutDialogues, rollOutRows } from "../rollout/rollout.ts";
export { type Ending, hardLabels, hindsightTarget, monteCarloValue } from "../rollout/targets.ts";
export {
  type IncrementalScorer,
  type IncrementalScorerOptions,
  incrementalScorer,
} from "../scoring/incremental-scorer.ts";
export { loadScorable, parseScorable, type ScorableRow } from "../scoring/scorable-rows.ts";
export { type ScoredResponse, type ScoreStepsOptions, scoreSteps } from "../scoring/score.ts";
export { type ScoreMetrics, scoreMetrics } from "../scoring/score-metrics.ts";
export { type ScoredRow, scoreRows } from "../scoring/score-rows.ts";
export { encodeScored, type ScoreTextOptions } from "../scoring/score-text.ts";
export { unitScore } from "../scoring/unit-score.ts";
export { openGuides, parseGuides } from "../search/scorers/guides.ts";
export { judgeScorer } from "../search/scorers/judge-scorer.ts";
export { type ModelScorerOptions, modelScorer } from "../search/scorers/model-scorer.ts";
export { severalScorers } from "../search/scorers/several-scorers.ts";
export { votesOf } from "../search/votes.ts";
