/** The stages a recipe goes through, in order. */
import { MahaloError } from "@mahalo/torch";
import type { z } from "zod";
import { resumes, throwIfAborted } from "../core/interrupt.ts";
import { checkParts } from "../core/parts.ts";
import { Registry } from "../core/registry.ts";
import { generateAll } from "../decode/generate.ts";
import type { Stage, StageContext } from "./engine/stage.ts";
import { type Recipe, recipeKeys, stageBlocks } from "./schema/schema.ts";
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
  const { maxNewTokens, temperature, topK, topP, minP, batchSize } = decoding;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = decoding;
  const penalties = { repetitionPenalty, frequencyPenalty, presencePenalty };
  const completions = await generateAll(
    model,
    prompts.map((ids, index) => ({
      ids,
      mix,
      sampling: { temperature, topK, topP, minP, ...penalties },
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

/** Names in a run's folder, and keys of recipes, that no stage may take. */
const reservedNames: readonly string[] = ["cache", "lock", "stale", ...recipeKeys];

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
export const addStage = <Options>(added: AddedStage<Options>): void => {
  checkParts(pipeline, added?.name, added, {
    name: "string",
    version: "string",
    after: "string",
    dependencies: "list",
    options: "object",
    run: "function",
    sources: "function?",
  });
  const { options, after, run, ...stage } = added;
  const { name } = stage;
  if (!/^[A-Za-z][\w-]*$/.test(name) || reservedNames.includes(name))
    pipeline.refuse(
      name,
      "the name is taken by a key of recipes or a file of runs, or is not letters, digits, '_' and '-'",
    );
  if (!pipeline.has(after)) pipeline.refuse(name, `is to run after "${after}", which is not a stage`);
  const before = pipeline.names.slice(0, pipeline.names.indexOf(after) + 1);
  for (const dependency of stage.dependencies)
    if (!before.includes(dependency))
      pipeline.refuse(name, `depends on "${dependency}", which is not a stage that runs before it`);
  const blockOf = (recipe: Recipe): unknown => Object.entries(recipe).find(([key]) => key === name)?.[1];
  pipeline.add(
    name,
    {
      ...stage,
      skipped: (recipe) => blockOf(recipe) === undefined,
      inputs: blockOf,
      run: async (context) => {
        // What its schema has made of the block stands in the recipe already; its type is the schema's.
        const block = blockOf(context.recipe) as Options;
        try {
          await run({ ...context, options: block });
        } catch (error) {
          throwIfAborted(context.signal, `running ${name}`, resumes);
          if (error instanceof MahaloError) throw error;
          const reason = error instanceof Error ? error.message : String(error);
          throw new MahaloError("E_EXTENSION", `stage "${name}": ${reason.split("\n")[0]}`, {
            cause: error,
            exitStatus: 1,
            hint: "the stage's own program failed; MAHALO_DEBUG=1 shows where",
          });
        }
      },
    },
    { after },
  );
  stageBlocks.add(name, options);
};
