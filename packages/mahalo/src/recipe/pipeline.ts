/** The stages a recipe goes through, in order. */
import type { z } from "zod";
import { Registry } from "../core/registry.ts";
import { generateAll } from "../decode/generate.ts";
import type { Stage, StageContext } from "./engine/stage.ts";
import { type Recipe, stageBlocks } from "./schema/schema.ts";
import { alignStage } from "./stages/align.ts";
import { dataStage } from "./stages/data.ts";
import { type Answer, evaluateStage } from "./stages/evaluate.ts";
import { guideStage } from "./stages/guide.ts";
import { pairsStage } from "./stages/pairs.ts";
import { relabelStage } from "./stages/relabel.ts";
import { reportStage } from "./stages/report.ts";
import { rewardStage } from "./stages/reward.ts";
import { rolloutStage } from "./stages/rollout.ts";
import { sftStage } from "./stages/sft.ts";

/** Answers the prompts of the sweep with the decoder. */
const answer: Answer = async (model, prompts, { mix, decoding, seed, signal, onAnswer, decoder }) => {
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, batchSize } = decoding;
  const completions = await generateAll(
    model,
    prompts.map((ids, index) => ({
      ids,
      mix,
      sampling: { temperature, topK, topP, minP, repetitionPenalty },
      seed: seed + index,
      maxNewTokens,
    })),
    { batchSize, signal, onCompletion: onAnswer, decoder },
  );
  return completions.map(({ text }) => text);
};

/** data → sft → rollout → relabel → pairs → reward → align → evaluate → guide → report; each left out where no objective needs it. */
export const pipeline = new Registry<Stage<Recipe>>("stage", {
  data: dataStage,
  sft: sftStage,
  rollout: rolloutStage,
  relabel: relabelStage,
  pairs: pairsStage,
  reward: rewardStage,
  align: alignStage,
  evaluate: evaluateStage(answer),
  guide: guideStage,
  report: reportStage,
});

/** A stage that a program adds: the recipes that give it a block run it. */
export type AddedStage<Options> = Pick<Stage<Recipe>, "name" | "version" | "dependencies" | "sources"> & {
  /** Schema of its block in the recipe, which stands under the stage's name. */
  options: z.ZodType<Options>;
  /** The stage behind which it runs; before all that depend on it. */
  after: string;
  run(context: StageContext<Recipe> & { options: Options }): Promise<void>;
};

/**
 * Adds a stage, for a program. Its outputs are kept until its block, a stage or a file that it reads, or its version
 * changes.
 *
 * @throws MahaloError E_REGISTRY
 */
export const addStage = <Options>({ options, after, run, ...stage }: AddedStage<Options>): void => {
  const blockOf = (recipe: Recipe): unknown =>
    Object.entries(recipe).find(([key]) => key === stage.name)?.[1];
  stageBlocks.add(stage.name, options);
  pipeline.add(
    stage.name,
    {
      ...stage,
      skipped: (recipe) => blockOf(recipe) === undefined,
      inputs: blockOf,
      // Read again by its own schema, which is what gives it its type.
      run: (context) => run({ ...context, options: options.parse(blockOf(context.recipe)) }),
    },
    { after },
  );
};
