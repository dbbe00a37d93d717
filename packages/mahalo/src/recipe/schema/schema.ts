/** The schema of a recipe: every key, its default and what it does; the source of the checks and of the editors' schema. */
import { z } from "zod";
import { isFreeName } from "../../core/names.ts";
import { lateSchema, Registry } from "../../core/registry.ts";
import { didYouMean } from "../../core/suggest.ts";
import { generators } from "../../data/generators/registry.ts";
import { samplingShape } from "../../decode/sampling.ts";
import { alignMethods } from "../../train/methods/registry.ts";
import { alignSchema } from "./align.ts";
import { guideSchema } from "./guide.ts";
import { hasPairs, madePairs, type ObjectiveOptions, objectiveSchema, pairSource } from "./objective.ts";
import { rewardSchema } from "./reward.ts";
import { sourceSchema } from "./source.ts";
import { learnsChosen, sftSchema } from "./training.ts";

export { type AlignOptions, alignSchema } from "./align.ts";
export { type ObjectiveOptions, objectiveSchema } from "./objective.ts";
export { type RowSource, sourceSchema } from "./source.ts";
export {
  type SftOptions,
  sftSchema,
  type TrainingOptions,
  trainingSchema,
} from "./training.ts";

/** How rows become tokens, and which are held out. */
export const dataSchema = z
  .strictObject({
    maxPromptTokens: z
      .int()
      .positive()
      .default(512)
      .describe(
        "Longer prompts lose whole turns, the oldest first; the last turn loses words only if that is not enough.",
      ),
    maxTokens: z
      .int()
      .positive()
      .default(1024)
      .describe("Responses are cut from the right so that prompt and response fit."),
    chat: z
      .boolean()
      .default(true)
      .describe("A plain prompt becomes a user message in the model's chat template."),
    heldOut: z
      .number()
      .min(0)
      .lt(1)
      .default(0.1)
      .describe("Share of prompts kept from training, with all their rows."),
    maxHeldOut: z
      .int()
      .nonnegative()
      .default(256)
      .describe("Maximum number of held-out pairs per objective."),
    maxBadShare: z
      .number()
      .min(0)
      .max(1)
      .default(0.05)
      .describe("Largest share of unusable rows; above it the run stops and lists them."),
  })
  .superRefine((data, context) => {
    if (data.maxPromptTokens >= data.maxTokens) {
      context.addIssue({
        code: "custom",
        path: ["maxPromptTokens"],
        message: `must be below maxTokens (${data.maxTokens}), or no response token is left`,
      });
    }
  });

/** A mix by hand: objective to weight; weights are normalised to sum 1. */
const mixSchema = z.record(z.string(), z.number().nonnegative());

/** What is measured, on how much, and how answers are sampled. */
export const evaluateSchema = z.strictObject({
  mixes: z
    .union([z.int().min(1).max(101), z.array(mixSchema).min(1)])
    .default(5)
    .describe(
      "Number of mixes of a sweep, which after the objectives' ends looks where results change most; or a list of mixes.",
    ),
  prompts: z.int().nonnegative().default(100).describe("Held-out prompts answered under every mix."),
  from: z
    .union([z.literal("heldOut"), sourceSchema])
    .default("heldOut")
    .describe("Where those prompts come from: the held-out rows, or a file of prompt rows."),
  maxNewTokens: z.int().positive().default(128).describe("Maximum length of an answer, in tokens."),
  ...samplingShape(),
  batchSize: z.int().positive().default(16).describe("Answers generated side by side."),
  prompted: z
    .boolean()
    .optional()
    .describe("Also answer with the base model under a system message that states each mix's weights."),
  baseline: z
    .boolean()
    .default(true)
    .describe("Also answer with the fine-tuned model that align began with."),
  samples: z
    .int()
    .nonnegative()
    .default(8)
    .describe("Prompts whose answers the report shows under every mix."),
  pairAccuracy: z
    .boolean()
    .default(true)
    .describe("Measure every head on every objective's held-out pairs, against SFT."),
  kl: z
    .boolean()
    .default(true)
    .describe("Measure how far each policy is from the model that align began with, along its answers."),
});

/** Blocks of stages that programs add, each under its stage's name. */
export const stageBlocks = new Registry<z.ZodType>("recipe block", {});

/** Objectives of a recipe: more heads than any machine holds. */
const mostObjectives = 256;

const recipeShape = {
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
      "must be letters, digits, '.', '_' or '-' (it names the run's folder)",
    )
    .describe("Name of the run and of its folder."),
  description: z.string().optional().describe("What the recipe is for, in a sentence."),
  model: z
    .string()
    .min(1)
    .describe("Base model: a packaged name, a folder, a .gguf file, or a hub id (owner/name)."),
  revision: z.string().optional().describe("Revision of a hub model. Default: main."),
  seed: z
    .int()
    .nonnegative()
    .max(2 ** 31 - 1)
    .default(0)
    .describe("Every random stream derives from it."),
  out: z
    .string()
    .min(1)
    .default("runs")
    .describe("Folder that holds the runs; relative to the working directory."),
  objectives: z
    .record(
      z
        .string()
        .regex(
          /^[A-Za-z][A-Za-z0-9_-]{0,63}$/,
          "an objective's name is a letter, then letters, digits, '_' or '-'",
        )
        .refine(isFreeName, "is a name reserved by JavaScript; choose another"),
      objectiveSchema,
    )
    .refine((objectives) => Object.keys(objectives).length > 0, { error: "needs at least one objective" })
    .refine((objectives) => Object.keys(objectives).length <= mostObjectives, {
      error: `has too many; a model has at most ${mostObjectives} heads`,
      abort: true,
    })
    .describe("The objectives by name; each gets its own head."),
  data: dataSchema.prefault({}),
  sft: z
    .union([z.literal(false), sftSchema])
    .prefault({})
    .describe("Fine-tuning on chosen responses before align; false leaves it out."),
  reward: z
    .union([z.literal(false), rewardSchema])
    .default(false)
    .describe("Reward models from labelled steps and pairs; false leaves them out."),
  align: z
    .union([z.literal(false), alignSchema])
    .prefault({})
    .describe("Multi-objective alignment; false leaves it out."),
  evaluate: evaluateSchema.prefault({}),
  guide: guideSchema
    .optional()
    .describe("Guided search by the recipe's reward models, compared with the same policies unguided."),
};

/** Keys of recipes. */
export const recipeKeys: readonly string[] = Object.keys(recipeShape);

const baseSchema = z.strictObject(recipeShape);

/** What no field alone can tell. */
const checkRecipe = (recipe: Recipe, context: z.core.$RefinementCtx): void => {
  const names = Object.keys(recipe.objectives);
  for (const [name, { generator }] of Object.entries(recipe.objectives)) {
    const supported = generator === undefined ? undefined : generators.get(generator.name).objectives;
    if (supported === undefined || supported.includes(name)) continue;
    context.addIssue({
      code: "custom",
      path: ["objectives", name, "generator"],
      message: `${generator?.name} makes no pairs for an objective "${name}". ${didYouMean(name, supported)}`,
      params: { recipe: "unknown-objective" },
    });
  }
  for (const [name, objective] of Object.entries(recipe.objectives)) {
    const from = madePairs(objective)?.from;
    if (from === undefined || from === "rollout") continue;
    const other = recipe.objectives[from];
    const path = ["objectives", name, "pairs", "from"];
    if (other === undefined) {
      context.addIssue({
        code: "custom",
        path,
        message: `unknown objective "${from}". ${didYouMean(from, ["rollout", ...names])}`,
        params: { recipe: "unknown-objective" },
      });
    } else if (from === name || (other.prompts ?? other.dialogues) === undefined) {
      const message = `objective "${from}" has no prompts or dialogues whose rollouts could be shared`;
      context.addIssue({ code: "custom", path, message });
    } else if (other.judge === undefined) {
      const message = "is missing; the rollouts that it shares need a judge";
      context.addIssue({ code: "custom", path: ["objectives", from, "judge"], message });
    }
  }
  for (const [name, objective] of Object.entries(recipe.objectives)) {
    const { prompts, dialogues, steps } = objective;
    if (steps === undefined || recipe.reward !== false || hasPairs(objective)) continue;
    if ((prompts ?? dialogues) !== undefined) continue;
    const message = "are for a reward model, which the recipe leaves out; give it a reward block";
    context.addIssue({ code: "custom", path: ["objectives", name, "steps"], message });
  }
  const all = Object.values(recipe.objectives);
  const begun = all.some((o) => hasPairs(o) || (o.prompts ?? o.dialogues ?? o.steps) !== undefined);
  if (recipe.align !== false && begun && !all.some(hasPairs)) {
    const message = "needs pairs of at least one objective; give some, or set align: false";
    context.addIssue({ code: "custom", path: ["align"], message });
  }
  const anyChosen = all.some((o) => pairSource(o) !== undefined || o.generator !== undefined);
  if (learnsChosen(recipe.sft) && begun && !anyChosen) {
    const message =
      "has no chosen responses before rollouts are made; name a source of examples, or set sft: false";
    context.addIssue({ code: "custom", path: ["sft", "from"], message });
  }
  if (recipe.evaluate.from !== "heldOut" && recipe.evaluate.from.objective !== undefined) {
    const message = "has no meaning for prompts, which belong to no objective";
    context.addIssue({ code: "custom", path: ["evaluate", "from", "objective"], message });
  }
  if (recipe.align !== false) {
    const { objective, weights = {}, rewards = {}, models = {} } = recipe.align;
    const unknown = (name: string, path: (string | number)[]): void => {
      if (names.includes(name)) return;
      const message = `unknown objective "${name}". ${didYouMean(name, names)}`;
      context.addIssue({
        code: "custom",
        path: ["align", ...path],
        message,
        params: { recipe: "unknown-objective" },
      });
    };
    if (objective !== undefined) unknown(objective, ["objective"]);
    for (const name of Object.keys(weights)) unknown(name, ["weights", name]);
    for (const name of Object.keys(rewards)) unknown(name, ["rewards", name]);
    for (const name of Object.keys(models)) unknown(name, ["models", name]);
  }
  const heads = names.filter((name) => hasPairs(recipe.objectives[name] as ObjectiveOptions));
  const adds = recipe.align !== false && alignMethods.get(recipe.align.method).heads === "missing";
  if (adds && recipe.sft !== false) {
    const message = "must be false for add-head, whose backbone stays as it is";
    context.addIssue({ code: "custom", path: ["sft"], message });
  }
  if (Array.isArray(recipe.evaluate.mixes)) {
    for (const [index, mix] of recipe.evaluate.mixes.entries()) {
      const path = ["evaluate", "mixes", index];
      for (const name of Object.keys(mix)) {
        // Of a head that the model brings with it, the recipe may know nothing.
        if (adds || heads.includes(name)) continue;
        context.addIssue({
          code: "custom",
          path: [...path, name],
          message: `unknown objective "${name}". ${didYouMean(name, heads)}`,
          params: { recipe: "unknown-objective" },
        });
      }
      if (Object.values(mix).every((weight) => weight === 0)) {
        context.addIssue({ code: "custom", path, message: "needs at least one weight above 0" });
      }
    }
  }
  for (const name of Object.keys(recipe.reward === false ? {} : recipe.reward.heads)) {
    if (name === "unified" || names.includes(name)) continue;
    context.addIssue({
      code: "custom",
      path: ["reward", "heads", name],
      message: `unknown objective "${name}". ${didYouMean(name, ["unified", ...names])}`,
      params: { recipe: "unknown-objective" },
    });
  }
  if (recipe.guide !== undefined && recipe.reward === false) {
    const message = "needs reward models to guide by; give the recipe a reward block";
    context.addIssue({ code: "custom", path: ["guide"], message });
  }
  for (const [index, weights] of (recipe.guide?.weights ?? []).entries()) {
    for (const name of Object.keys(weights)) {
      if (names.includes(name)) continue;
      context.addIssue({
        code: "custom",
        path: ["guide", "weights", index, name],
        message: `unknown objective "${name}". ${didYouMean(name, names)}`,
        params: { recipe: "unknown-objective" },
      });
    }
  }
  if (recipe.data.heldOut === 0 && recipe.evaluate.pairAccuracy && all.some((o) => o.pairs !== undefined)) {
    context.addIssue({
      code: "custom",
      path: ["data", "heldOut"],
      message: "must be above 0 to measure pair accuracy; raise it or set evaluate.pairAccuracy: false",
    });
  }
};

/** A whole recipe, with the blocks of stages that programs add. */
export const recipeSchema: z.ZodType<Recipe, RecipeInput> = lateSchema(() => {
  const added = Object.fromEntries(
    stageBlocks.names.map((name) => [
      name,
      // A block without content is null in YAML.
      z.preprocess((block) => (block === null ? {} : block), stageBlocks.get(name)).optional(),
    ]),
  );
  return z.strictObject({ ...recipeShape, ...added }).superRefine(checkRecipe);
});

/** A recipe with every default filled in. */
export type Recipe = z.output<typeof baseSchema>;
/** A recipe as it is written. */
export type RecipeInput = z.input<typeof baseSchema>;
/** The evaluation block of a {@link Recipe}. */
export type EvaluateOptions = z.output<typeof evaluateSchema>;
