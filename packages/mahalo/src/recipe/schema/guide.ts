/** The guide block of a recipe: guided search by the recipe's own reward models, beside the same policies unguided. */
import { z } from "zod";
import { samplingSchema } from "../../decode/sampling.ts";
import { searchSchema } from "../../search/options.ts";

/** Policies that may be guided. */
export const guidedPolicies = ["base", "sft", "aligned"] as const;

/** What is guided, by what, and how. */
export const guideSchema = z.strictObject({
  prompts: z.int().positive().default(24).describe("Held-out prompts answered each time."),
  policies: z
    .array(z.enum(guidedPolicies))
    .min(1)
    .default([...guidedPolicies])
    .describe(
      "Policies to guide: base model, fine-tuned model, aligned model; default: those that the recipe makes.",
    ),
  mixes: z
    .array(z.record(z.string(), z.number().nonnegative()))
    .min(1)
    .optional()
    .describe("Mixes of the aligned model's heads. Default: equal weights."),
  weights: z
    .array(z.record(z.string(), z.number()))
    .min(1)
    .optional()
    .describe("Weights of the reward models, by objective. Default: each alone, and all with equal weights."),
  search: searchSchema.prefault({}),
  sampling: samplingSchema.prefault({ temperature: 1 }),
  maxNewTokens: z.int().positive().default(128).describe("Maximum length of an answer, in tokens."),
});

/** The guide block, defaults filled in. */
export type GuideOptions = z.output<typeof guideSchema>;
