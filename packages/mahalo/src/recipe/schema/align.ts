/** The align block of a recipe: MAH-DPO, or one of the methods that it is compared with. */
import { z } from "zod";
import { type AdapterModule, adapterModules } from "../../model/transformer/map-adapters.ts";
import { defaultLoss, pairLosses, unreadOption } from "../../train/losses.ts";
import type { MethodField } from "../../train/methods/method.ts";
import { alignMethods } from "../../train/methods/registry.ts";
import { trainingSchema } from "./training.ts";

/** Why a method needs a field, and why a field has no meaning for a method that does not read it. */
const fieldFaults: [MethodField, { needs?: (method: string) => string; meaningless?: string }][] = [
  ["models", { needs: (method) => `${method} merges aligned models` }],
  [
    "objective",
    {
      needs: (method) => `${method} trains one head on one objective`,
      meaningless: ", which trains on all objectives' pairs",
    },
  ],
  ["rewards", { needs: (method) => `${method} needs a reward for each objective that it weighs` }],
  ["weights", { meaningless: "; use the objectives' own weights" }],
  ["conflict", { meaningless: ", which trains no weights that objectives share" }],
];

const moduleNames = Object.keys(adapterModules) as AdapterModule[];

const adapterSchema = z.strictObject({
  rank: z.int().positive().default(16).describe("Rank of an objective's update of one linear layer."),
  alpha: z.number().positive().default(32).describe("Updates are scaled by alpha / rank."),
  lastLayers: z.int().positive().optional().describe("Adapt only the last n layers. Default: all."),
  modules: z
    .array(z.enum(moduleNames))
    .min(1)
    .refine((names) => new Set(names).size === names.length, "a module is named twice")
    .default(moduleNames)
    .describe("The linear layers that are adapted."),
  shared: z
    .boolean()
    .default(false)
    .describe("One more adapter that all objectives train and every mix has."),
});

const blockSchema = trainingSchema
  .extend({
    method: alignMethods
      .schema((methods) => methods.map(([name, { summary }]) => `${name}: ${summary}`).join(" "))
      .default("mah-dpo"),
    objective: z
      .string()
      .optional()
      .describe("The objective whose pairs dpo trains on; modpo takes all objectives' pairs without one."),
    weights: z
      .record(z.string(), z.number().nonnegative())
      .optional()
      .describe(
        "Weights over objectives of dpo-scalarized and modpo, and of the soup that is saved; scaled to sum to 1. Default: equal.",
      ),
    rewards: z
      .record(z.string(), z.string().min(1))
      .optional()
      .describe(
        "Rewards of dpo-scalarized and modpo by objective: the folder of a reward model, or of a model with one head aligned to the objective.",
      ),
    loss: pairLosses
      .schema(
        (losses) =>
          `Preference loss. ${losses.map(([name, { summary }]) => `${name}: ${summary}.`).join(" ")}`,
      )
      .default(defaultLoss),
    beta: z
      .number()
      .positive()
      .default(0.1)
      .describe(
        "How strongly the policy is kept close to the reference; for simpo, the scale of its rewards, 2 by default.",
      ),
    gamma: z
      .number()
      .nonnegative()
      .optional()
      .describe("For simpo: the target margin between rewards. Default: 0.5."),
    smoothing: z
      .number()
      .min(0)
      .lt(0.5)
      .default(0)
      .describe("Label smoothing: the assumed share of pairs with swapped labels."),
    referenceFree: z
      .boolean()
      .default(false)
      .describe("Leave the reference's log-probabilities out of the loss."),
    headNoise: z
      .number()
      .nonnegative()
      .default(0.001)
      .describe("Standard deviation of the noise that makes the heads differ."),
    models: z
      .record(z.string(), z.string().min(1))
      .refine((models) => Object.keys(models).length > 0, { error: "needs at least one model" })
      .optional()
      .describe("For soup and mod: for each objective, the folder of a model with one head."),
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
          .describe("Remove from each objective's gradient the part that points against another's (PCGrad)."),
      })
      .optional()
      .describe(
        "Measure and reduce conflicts between objectives in the shared weights. Needs memory for each objective.",
      ),
    heads: z
      .strictObject({
        rank: z.int().positive().default(16).describe("Rank of a head's update of the model's own head."),
      })
      .optional()
      .describe(
        "Train each head as a low-rank update of the model's own head, for large vocabularies. Default: full heads.",
      ),
    interiorMixes: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe(
        "Share of the training that reads pairs under mixes drawn evenly from all mixes, in place of their objective alone; the loss of a pair is then weighed by its objective's part.",
      ),
    headLearningRate: z
      .number()
      .positive()
      .optional()
      .describe("Learning rate of the heads. Default: learningRate, which all else has."),
    train: z
      .union([
        z.literal("heads"),
        ...trainingSchema.shape.train.unwrap().options,
        z.strictObject({ adapters: adapterSchema }),
      ])
      .default("full")
      .describe(
        "What is trained beside the heads: nothing (heads), all weights, the last layers, low-rank updates that become part of the weights (lora), or a low-rank adapter for each objective, mixed by the same weights as the heads (adapters).",
      ),
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
    const { method, weights, loss } = align;
    const { fields, losses } = alignMethods.get(method);
    for (const [field, { needs = (name: string) => `${name} needs it`, meaningless = "" }] of fieldFaults) {
      const given = align[field] !== undefined;
      if (!given && fields[field] === "needed") fail(field, `is missing; ${needs(method)}`);
      if (given && fields[field] === undefined) fail(field, `has no meaning for ${method}${meaningless}`);
    }
    const { train } = align;
    const apart =
      train === "heads"
        ? "train: heads"
        : typeof train === "object" && "adapters" in train && !train.adapters.shared
          ? "adapters without a shared one"
          : undefined;
    if (apart !== undefined && align.conflict !== undefined)
      fail("conflict", `has no meaning for ${apart}, where objectives share no weights that are trained`);
    const { heads } = alignMethods.get(method);
    if (
      typeof align.train === "object" &&
      "adapters" in align.train &&
      heads !== "each" &&
      heads !== "missing"
    )
      fail(
        "train",
        `adapters have no meaning for ${method}, which trains no head for each objective; use lora`,
      );
    if (align.heads !== undefined && heads !== "each" && heads !== "missing")
      fail("heads", `has no meaning for ${method}, which trains no head for each objective`);
    if (align.interiorMixes > 0 && heads !== "each")
      fail(
        "interiorMixes",
        `has no meaning for ${method}, which does not train heads for all objectives at once`,
      );
    const unread = unreadOption(loss, align);
    if (unread !== undefined) fail(unread.option, unread.message);
    if (losses !== undefined && loss !== defaultLoss)
      fail("loss", `has no meaning for ${method}, which has its own`);
    if (weights !== undefined && Object.values(weights).every((weight) => weight === 0))
      fail("weights", "needs at least one weight above 0");
  });

type Block = z.input<typeof blockSchema>;

/** A block that names a loss and no beta gets the loss's own; what is no such block is left to the schema. */
const withOwnBeta = (given: Block): Block => {
  const named = z.looseObject({ loss: pairLosses.schema(), beta: z.undefined().optional() }).safeParse(given);
  return named.success ? { ...given, beta: pairLosses.get(named.data.loss).beta } : given;
};

/** Multi-objective alignment. */
export const alignSchema = z.pipe(z.transform(withOwnBeta), blockSchema);

/** The align block, defaults filled in. */
export type AlignOptions = z.output<typeof alignSchema>;
