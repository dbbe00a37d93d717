/** The reward block of a recipe: which reward models are trained, with which heads, and how. */
import { z } from "zod";
import { stepBoundarySchema } from "../../data/tokens/steps.ts";
import { headKinds } from "../../model/reward/head-kinds/registry.ts";
import { trainingSchema } from "./training.ts";

/** Reward models out of labelled steps and pairs. */
export const rewardSchema = trainingSchema.extend({
  heads: z
    .record(z.string(), headKinds.schema())
    .default({})
    .describe(
      "Kind of head by objective; `unified` is the head that objectives named in the prompt share. Default: value for rollouts' targets, hard for dialogues and hard labels, bradley-terry for pairs; for steps from a file hard if all labels are 0 or 1, else value.",
    ),
  unified: z
    .union([z.literal(false), z.enum(["prompt", "heads"])])
    .default(false)
    .describe(
      "false: a model for each objective; prompt: one model and head, the objective named in the prompt; heads: one model, a head for each.",
    ),
  boundary: stepBoundarySchema
    .optional()
    .describe("What ends a step when the model scores plain text. Default: as in the rollouts."),
  aboveShare: z
    .number()
    .min(0)
    .max(1)
    .default(0.85)
    .describe("For hard heads: targets above this share of their row's largest are class 1."),
  learningRate: z.number().positive().default(1e-5).describe("Learning rate at the end of warm-up."),
  train: z
    .union([z.literal("frozen"), ...trainingSchema.shape.train.unwrap().options])
    .default("full")
    .describe(
      "What of the backbone is trained: nothing (frozen), the last layers, low-rank updates, or all.",
    ),
});

/** The reward block, defaults filled in. */
export type RewardOptions = z.output<typeof rewardSchema>;
