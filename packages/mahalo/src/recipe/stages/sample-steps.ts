/** What the run's own reward models say of each step of the answers that the report shows. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { formatOrigin, Problems } from "../../data/rows/problems.ts";
import type { Sample } from "../../evaluate/results.ts";
import { loadRewardModel, type RewardModel } from "../../model/reward/reward-model.ts";
import type { ScorableRow } from "../../scoring/scorable-rows.ts";
import { scoreRows } from "../../scoring/score-rows.ts";
import type { StageContext } from "../engine/stage.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFolder } from "./training.ts";

type Reply = Sample["replies"][number];

const placeOf = (prompt: number, reply: number): { file: string; line: number } => ({
  file: `sample ${prompt}`,
  line: reply,
});

/** Adds one objective's scores to all replies that can be scored. */
const scoredBy = (
  model: RewardModel,
  objective: string,
  samples: readonly Sample[],
  { recipe, signal }: StageContext<Recipe>,
): Sample[] => {
  const rows = samples.flatMap(({ prompt, replies }, index) =>
    replies.flatMap(({ response }, reply): ScorableRow[] =>
      response.trim() === "" ? [] : [{ form: "response", prompt, response, origin: placeOf(index, reply) }],
    ),
  );
  const problems = new Problems({ maxBadShare: 1 });
  const scored = scoreRows(model, rows, { objective, chat: recipe.data.chat, problems, signal });
  const steps = new Map(
    scored.flatMap((row) =>
      "steps" in row ? [[row.row, row.steps.map(({ text, score }) => ({ text, score }))] as const] : [],
    ),
  );
  return samples.map((sample, place) => ({
    ...sample,
    replies: sample.replies.map((reply, index): Reply => {
      const scoredSteps = steps.get(formatOrigin(placeOf(place, index)));
      return scoredSteps === undefined
        ? reply
        : { ...reply, steps: { ...reply.steps, [objective]: scoredSteps } };
    }),
  }));
};

/** The samples with the scores of their steps by every reward model of the run; as they are where it has none. */
export const withStepScores = async (
  context: StageContext<Recipe>,
  samples: readonly Sample[],
): Promise<Sample[]> => {
  const { recipe, folderOf, signal } = context;
  const rewards = folderOf("reward");
  let withSteps = [...samples];
  if (rewards === undefined || recipe.reward === false || samples.length === 0) return withSteps;
  const objectives = Object.keys(recipe.objectives);
  const names = recipe.reward.unified === false ? objectives : ["unified"];
  for (const name of names) {
    const folder = modelFolder(join(rewards, name));
    if (!existsSync(folder)) continue;
    throwIfAborted(signal, "evaluating", resumes);
    const model = await loadRewardModel(folder);
    try {
      for (const objective of objectives)
        if (model.rewards.objectives.includes(objective))
          withSteps = scoredBy(model, objective, withSteps, context);
    } finally {
      model.dispose();
    }
  }
  return withSteps;
};
