/** The blocks of an objective that makes its own labels and pairs: rollout, relabel, and pairs out of rollouts. */
import { z } from "zod";
import { stepBoundarySchema } from "../../data/tokens/steps.ts";
import { samplingShape } from "../../decode/sampling.ts";
import { endpointGeneratorSchema } from "../../rollout/endpoint-generator.ts";
import { rolloutPairsSchema } from "../../rollout/pairs.ts";
import { relabelOptionsSchema } from "../../rollout/relabel.ts";
import { rolloutOrigins } from "../../rollout/rollout.ts";
import { judgeSchema } from "./registered.ts";

// Endpoints have no common name for a repetition penalty.
const { repetitionPenalty: _, ...sampling } = samplingShape(1);

/** How answers are made to an objective's prompts, by the fine-tuned model or by an endpoint. */
export const rolloutSchema = z.strictObject({
  samples: z.int().positive().default(8).describe("Answers from each prefix."),
  step: stepBoundarySchema.prefault("blank-line"),
  from: z
    .enum(rolloutOrigins)
    .default("auto")
    .describe(
      "Where answers begin: at the prompt, at every step of the recorded response, or both; auto: at the steps of the recorded response if there is one.",
    ),
  ...sampling,
  maxNewTokens: z.int().positive().default(128).describe("Maximum length of an answer, in tokens."),
  heldOut: z
    .int()
    .nonnegative()
    .default(32)
    .describe("Held-out prompts that are also rolled out, to measure reward models and pairs with."),
  simulate: z
    .enum(["none", "missing", "all"])
    .default("none")
    .describe("For dialogues, which of the user's replies the model simulates."),
  persona: z.string().optional().describe("Who the simulated user is; its system message."),
  batchSize: z
    .int()
    .positive()
    .default(64)
    .describe("Answers between two writes to the file; a killed run loses at most these."),
  parallel: z
    .int()
    .positive()
    .default(16)
    .describe("Answers generated side by side; for an endpoint, its concurrency decides."),
  endpoint: endpointGeneratorSchema
    .optional()
    .describe("An OpenAI-compatible endpoint that makes the answers, instead of the fine-tuned model."),
});

/** How steps are labelled out of rollouts. */
export const relabelSchema = relabelOptionsSchema.extend({
  judge: judgeSchema
    .optional()
    .describe("Judge of steps, for target: judge and quality: judge. Default: the objective's."),
});

/** Pairs out of rollouts. */
export const madePairsSchema = rolloutPairsSchema.extend({
  from: z
    .string()
    .min(1)
    .describe(
      "rollout: from this objective's rollouts; or the name of another objective, whose rollouts this objective's judge judges again.",
    ),
  perPrompt: z.int().positive().default(4).describe("Maximum number of pairs per prompt."),
});

/** The rollout block, defaults filled in. */
export type RolloutBlock = z.output<typeof rolloutSchema>;
/** The relabel block, defaults filled in. */
export type RelabelBlock = z.output<typeof relabelSchema>;
/** Pairs out of rollouts, defaults filled in. */
export type MadePairsBlock = z.output<typeof madePairsSchema>;
