/** mahalo/judges: rollouts, verdicts, labels and pairs made of them, and reward models as scorers. */

export { type AggregateName, type Aggregates, aggregateScores } from "../core/aggregate.ts";
export { type Continuer, modelContinuer } from "../reward/continuer.ts";
export {
  type EndpointContinuerOptions,
  type EndpointRolloutOptions,
  endpointContinuer,
  endpointContinuerSchema,
} from "../reward/endpoint-continuer.ts";
export { judgeRows } from "../reward/judges/judge-rows.ts";
export { rejudgeRollouts } from "../reward/rejudge.ts";
export { type Ending, hardLabels, hindsightTarget, monteCarloValue } from "../reward/relabel.ts";
export { type RelabelledRow, relabelOptionsOf, relabelRows, stepwiseLine } from "../reward/relabel-rows.ts";
export { boundaryContinuer, rollOutDialogues, rollOutRows } from "../reward/roll-out.ts";
export type { RolloutSummary } from "../reward/rollout.ts";
export { allRollouts, type Rollout, type RolloutRow, readRollouts } from "../reward/rollout-file.ts";
export { type MadePair, pairLine, pairsFromRollouts, rolloutPairOptionsOf } from "../reward/rollout-pairs.ts";
export { type RunningScorer, type RunningScorerOptions, runningScorer } from "../reward/running-scorer.ts";
export { loadScorable, parseScorable, type ScorableRow } from "../reward/scorable-rows.ts";
export { type ScoredResponse, type ScoreStepsOptions, scoreSteps } from "../reward/score.ts";
export { type ScoreMetrics, scoreMetrics } from "../reward/score-metrics.ts";
export { type ScoredRow, scoreRows } from "../reward/score-rows.ts";
export { encodeScored, type ScoreTextOptions } from "../reward/score-text.ts";
export { openGuides, parseGuides } from "../reward/scorers/guides.ts";
export { judgeScorer } from "../reward/scorers/judge-scorer.ts";
export { type ModelScorerOptions, modelScorer } from "../reward/scorers/model-scorer.ts";
export { severalScorers } from "../reward/scorers/several-scorers.ts";
export { unitScore } from "../reward/unit-score.ts";
export { votesOf } from "../reward/votes.ts";
