/** Best of n on held-out rollouts: the answers are there already, so choosing among them costs one pass of scoring. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { readJsonFile } from "../../core/json.ts";
import { element } from "../../core/need.ts";
import { rng } from "../../core/random.ts";
import { Problems } from "../../data/rows/problems.ts";
import { bestOf, type Candidate } from "../../evaluate/best-of.ts";
import type { BestOf } from "../../evaluate/results.ts";
import { judgesAnswers } from "../../judges/registry.ts";
import { loadRewardModel, type RewardModel } from "../../model/reward/reward-model.ts";
import { allRollouts, type Rollout, type RolloutRow } from "../../rollout/file.ts";
import { answerSteps, answerText } from "../../rollout/text.ts";
import { type ScoredResponse, scoreSteps } from "../../scoring/score.ts";
import { encodeScored } from "../../scoring/score-text.ts";
import { votesOf } from "../../search/votes.ts";
import type { StageContext } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";
import { rolloutFile } from "./rollout.ts";
import { modelFolder } from "./training.ts";

type Scored = { rollout: Rollout & { score: number }; text: ScoredResponse | undefined };

/** Sampled whole answers of a row that a verdict is known of. */
const samplesOf = ({ rollouts }: RolloutRow): Scored["rollout"][] =>
  rollouts.flatMap((rollout) =>
    rollout.from === 0 && rollout.finish !== "recorded" && rollout.score !== null
      ? [{ ...rollout, score: rollout.score }]
      : [],
  );

/** What a reward model says of the samples of held-out rows. */
const candidatesOf = (
  model: RewardModel,
  objective: string,
  rows: readonly RolloutRow[],
  { recipe, signal, log }: StageContext<Recipe>,
): Candidate[][] => {
  const problems = new Problems({ maxBadShare: 1 });
  const step = problems.step("best of n");
  const prompts = rows.map((row) => {
    const samples = samplesOf(row).map((rollout): Scored => {
      step.see(row);
      const steps = answerSteps(row, rollout);
      const text =
        steps === undefined || steps.length === 0
          ? undefined
          : step.guard(row.origin, () =>
              encodeScored(model, row.prompt, steps, { objective, chat: recipe.data.chat }),
            );
      return { rollout, text };
    });
    return { row, samples };
  });
  const scores = scoreSteps(
    model,
    prompts.flatMap(({ samples }) => samples.flatMap(({ text }) => text ?? [])),
    { signal },
  );
  if (problems.count > 0) log(problems.summary());
  const judge = recipe.objectives[objective]?.judge;
  const voted = judge !== undefined && judgesAnswers(judge, `objectives.${objective}.judge`);
  let next = 0;
  return prompts.map(({ row, samples }) => {
    const votes = voted ? votesOf(samples.map(({ rollout }) => answerText(row, rollout))) : [];
    return samples.map(({ rollout: { score }, text }, index) => ({
      score,
      steps: text === undefined ? [] : element(scores, next++),
      vote: votes[index],
    }));
  });
};

/** Best of n for every objective with a reward model of steps and several held-out answers a prompt. */
export const bestOfRollouts = async (context: StageContext<Recipe>): Promise<BestOf[]> => {
  const { recipe, folderOf, signal } = context;
  const [rollouts, rewards] = [folderOf("rollout"), folderOf("reward")];
  if (rollouts === undefined || rewards === undefined || recipe.reward === false) return [];
  const { unified } = recipe.reward;
  const results: BestOf[] = [];
  for (const [objective, { dialogues }] of Object.entries(recipe.objectives)) {
    const file = rolloutFile(rollouts, objective, "held-out");
    const name = unified === false ? objective : "unified";
    const folder = modelFolder(join(rewards, name));
    if (dialogues !== undefined || !existsSync(file) || !existsSync(folder)) continue;
    const rows = (await allRollouts(file)).filter((row) => samplesOf(row).length > 1);
    if (rows.length === 0) continue;
    throwIfAborted(signal, "evaluating", resumes);
    const model = await loadRewardModel(folder);
    try {
      const prompts = candidatesOf(model, objective, rows, context);
      results.push({ objective, model: name, ...bestOf(prompts, rng(recipe.seed, "best-of", objective)) });
    } finally {
      model.dispose();
    }
  }
  return results;
};

/** Held-out metrics of the run's reward models. */
export const rewardMetricsOf = async ({
  folderOf,
}: StageContext<Recipe>): Promise<Record<string, Record<string, number>> | undefined> => {
  const folder = folderOf("reward");
  if (folder === undefined) return undefined;
  return readJsonFile(join(folder, "metrics.json"), z.record(z.string(), z.record(z.string(), z.number())));
};
