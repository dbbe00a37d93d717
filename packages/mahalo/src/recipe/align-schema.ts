/** The align block of a recipe: MAH-DPO, or one of the methods that it is compared with. */
import { z } from "zod";
import { type PairLossName, pairLosses } from "../train/losses.ts";
import type { MethodField } from "../train/methods/method.ts";
import { type AlignMethod, alignMethod, alignMethods } from "../train/methods/registry.ts";
import { trainingSchema } from "./training-schema.ts";

/** Why a method needs a field, and why a field has no meaning for a method that does not read it. */
const fieldFaults: [MethodField, { needs?: (method: AlignMethod) => string; meaningless?: string }][] = [
  ["models", { needs: (method) => `${method} merges aligned models` }],
  [
    "objective",
    {
      needs: (method) => `${method} trains one head on one objective`,
      meaningless: ", which trains on all objectives' pairs",
    },
  ],
  ["rewards", { needs: (method) => `${method} needs a reward for each objective that it weighs` }],
  ["weights", { meaningless: "; objectives have a weight of their own" }],
  ["conflict", { meaningless: ", which trains no weights that objectives share" }],
];

/** Multi-objective alignment. */
export const alignSchema = trainingSchema
  .extend({
    method: z
      .enum(alignMethods)
      .default("mah-dpo")
      .describe(alignMethods.map((name) => `${name}: ${alignMethod(name).summary}`).join(" ")),
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
    const { method, weights } = align;
    const { fields } = alignMethod(method);
    for (const [
      field,
      { needs = (name: AlignMethod) => `${name} needs it`, meaningless = "" },
    ] of fieldFaults) {
      const given = align[field] !== undefined;
      if (!given && fields[field] === "needed") fail(field, `is missing; ${needs(method)}`);
      if (given && fields[field] === undefined) fail(field, `has no meaning for ${method}${meaningless}`);
    }
    if (align.loss === "ipo" && align.smoothing > 0)
      fail("smoothing", "is a form of the sigmoid loss; ipo has none");
    if (weights !== undefined && Object.values(weights).every((weight) => weight === 0))
      fail("weights", "needs at least one weight above 0");
  });

/** The align block, defaults filled in. */
export type AlignOptions = z.output<typeof alignSchema>;
