/** The stages a recipe goes through, in order. */
import { generateAll } from "../decode/generate.ts";
import type { Recipe } from "./schema.ts";
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
import type { Stage } from "./stages.ts";

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
export const pipeline: readonly Stage<Recipe>[] = [
  dataStage,
  sftStage,
  rolloutStage,
  relabelStage,
  pairsStage,
  rewardStage,
  alignStage,
  evaluateStage(answer),
  guideStage,
  reportStage,
];
