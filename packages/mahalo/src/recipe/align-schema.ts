/** The align block of a recipe: MAH-DPO, or one of the methods that it is compared with. */
import { z } from "zod";
import { type PairLossName, pairLosses } from "../train/losses.ts";
import { trainingSchema } from "./training-schema.ts";

/** How a policy is aligned, and what each method is. */
export const alignMethods = {
  "mah-dpo": "one head an objective, trained on that objective's pairs.",
  dpo: "one head, on the pairs of one objective.",
  "dpo-mixed": "one head, on the same batches of all objectives' pairs.",
  "dpo-scalarized": "one head, on all pairs, ranked anew by the weighted sum of rewards.",
  modpo: "one head for fixed weights, with the other objectives' rewards as margin.",
  soup: "no training: the weighted sum of aligned models' weights, for every mix of the sweep.",
  mod: "no training: the weighted sum of aligned models' logits at every token, for every mix of the sweep.",
  "add-head":
    "heads for the objectives that the recipe's model has none for; all else of the model stays as it is.",
} as const;

/** Name of a method. */
export type AlignMethod = keyof typeof alignMethods;

/** Multi-objective alignment. */
export const alignSchema = trainingSchema
  .extend({
    method: z
      .enum(Object.keys(alignMethods) as AlignMethod[])
      .default("mah-dpo")
      .describe(
        Object.entries(alignMethods)
          .map(([name, text]) => `${name}: ${text}`)
          .join(" "),
      ),
    objective: z
      .string()
      .optional()
      .describe("The objective whose pairs dpo trains on; modpo takes all objectives' pairs without one."),
    weights: z
      .record(z.string(), z.number().nonnegative())
      .optional()
      .describe(
        "Weights over objectives of dpo-scalarized and modpo, and of the soup that is saved; scaled to sum 1. Default: equal.",
      ),
    rewards: z
      .record(z.string(), z.string().min(1))
      .optional()
      .describe(
        "Rewards of dpo-scalarized and modpo by objective: the folder of a reward model, or of a model of one head aligned to the objective.",
      ),
    loss: z
      .enum(Object.keys(pairLosses) as PairLossName[])
      .default("sigmoid")
      .describe("Preference loss of a pair's margin."),
    beta: z.number().positive().default(0.1).describe("How strongly the policy is held to the reference."),
    smoothing: z
      .number()
      .min(0)
      .lt(0.5)
      .default(0)
      .describe("Label smoothing: the share of pairs taken as turned round."),
    referenceFree: z
      .boolean()
      .default(false)
      .describe("Leave the reference's log-probabilities out of the margin."),
    headNoise: z
      .number()
      .nonnegative()
      .default(0.001)
      .describe("Standard deviation of the noise that lets heads part ways."),
    models: z
      .record(z.string(), z.string().min(1))
      .refine((models) => Object.keys(models).length > 0, { error: "needs at least one model" })
      .optional()
      .describe("Of soup and mod: the folder of a model of one head for each objective."),
    conflict: z
      .strictObject({
        every: z
          .int()
          .nonnegative()
          .default(0)
          .describe(
            "Steps between measurements of the cosine of objectives' gradients, by layer; 0 for none.",
          ),
        project: z
          .boolean()
          .default(false)
          .describe("Take out of each objective's gradient what points against another's (PCGrad)."),
      })
      .optional()
      .describe("Measure, and lessen, how objectives pull the shared weights apart. Needs memory for each."),
    optimizer: trainingSchema.shape.optimizer
      .unwrap()
      .default("rmsprop")
      .describe("Optimiser; its state is kept in f32."),
    maxGradNorm: trainingSchema.shape.maxGradNorm
      .unwrap()
      .default(10)
      .describe("Gradients are clipped to this global norm; 0 never clips."),
  })
  .superRefine((align, context) => {
    const fail = (field: string, message: string): void =>
      context.addIssue({ code: "custom", path: [field], message });
    const { method, weights, rewards, objective, models } = align;
    const merged = method === "soup" || method === "mod";
    if (merged !== (models !== undefined))
      fail("models", merged ? `is missing; ${method} merges aligned models` : `has no meaning for ${method}`);
    if (align.loss === "ipo" && align.smoothing > 0)
      fail("smoothing", "is a form of the sigmoid loss; ipo has none");
    if (method === "dpo" && objective === undefined)
      fail("objective", "is missing; dpo trains one head on one objective");
    if (objective !== undefined && method !== "dpo" && method !== "modpo")
      fail("objective", `has no meaning for ${method}, which trains on all objectives' pairs`);
    const rewarded = method === "dpo-scalarized" || method === "modpo";
    if (rewarded && rewards === undefined)
      fail("rewards", `is missing; ${method} needs a reward for each objective that it weighs`);
    if (!rewarded && rewards !== undefined) fail("rewards", `has no meaning for ${method}`);
    if (!rewarded && method !== "soup" && weights !== undefined)
      fail("weights", `has no meaning for ${method}; objectives have a weight of their own`);
    if (align.conflict !== undefined && (merged || method === "dpo" || method === "add-head"))
      fail("conflict", `has no meaning for ${method}, which trains no weights that objectives share`);
    if (weights !== undefined && Object.values(weights).every((weight) => weight === 0))
      fail("weights", "needs at least one weight above 0");
  });

/** The align block, defaults filled in. */
export type AlignOptions = z.output<typeof alignSchema>;
