/** What a guided search may be told: strategy, candidates, steps and limits, with the method's defaults. */
import { z } from "zod";
import { aggregateNames } from "../core/aggregate.ts";
import { checkValue } from "../core/json.ts";
import { stepBoundarySchema } from "../data/tokens/steps.ts";
import { choices, strategies } from "./strategies/registry.ts";
import type { SearchTree } from "./tree.ts";

/** How scores become comparable among the candidates they compete with, before they are weighed. */
export const normalizations = ["raw", "z-score", "rank"] as const;

/** The settings of a search; defaults are those of the method (section 4). */
export const searchSchema = z.strictObject({
  strategy: strategies
    .schema((all) => `${all.map(([name, { summary }]) => `${name} ${summary}`).join(", ")}.`)
    .default("step"),
  candidates: z
    .int()
    .positive()
    .default(5)
    .describe(
      "Candidates per step; for best-of-n and the votes whole answers; for beam and dvts per branch.",
    ),
  width: z.int().positive().default(4).describe("Branches that beam keeps; subtrees for dvts."),
  step: stepBoundarySchema.prefault("blank-line"),
  maxSteps: z.int().positive().default(20).describe("Maximum length of an answer, in steps."),
  maxStepTokens: z
    .int()
    .positive()
    .default(512)
    .describe("Maximum length of a step, in tokens; it is cut there."),
  aggregate: z
    .enum(aggregateNames)
    .default("last")
    .describe(
      "How the scores of a path's steps become the path's score; use last for scores of whole prefixes.",
    ),
  normalize: z
    .enum(normalizations)
    .default("raw")
    .describe("How scores become comparable among competing candidates before they are weighed."),
  choose: choices
    .schema()
    .optional()
    .describe(
      "How the final answer is chosen: the best one, or by a vote on what the answers state, plain or weighted by their scores. Default: the strategy's own rule.",
    ),
  boxed: z.boolean().default(true).describe("A whole \\boxed{} answer ends the response with its step."),
  badScores: z
    .enum(["fail", "drop"])
    .default("fail")
    .describe("What happens to a candidate without a finite score: an error, or it is left out."),
  batchSize: z.int().positive().default(32).describe("Candidates decoded side by side."),
});

/** Checked settings. */
export type SearchOptions = z.output<typeof searchSchema>;

/** Settings as a caller gives them. */
export type SearchInput = z.input<typeof searchSchema>;

/** Settings with defaults filled in. @throws MahaloError E_SEARCH_OPTIONS naming the field */
export const searchOptionsOf = (input: SearchInput = {}): SearchOptions =>
  checkValue(input, searchSchema, "search", { code: "E_SEARCH_OPTIONS" });

/** Whether a search carries one path from step to step, so that the text of each step is certain at once. */
export const carriesOnePath = (input: SearchInput | undefined): boolean =>
  strategies.get(searchOptionsOf(input).strategy).onePath === true;

/** Settings as traces and results record them: none that is not set. */
export const recordedSettings = ({ choose, ...rest }: SearchOptions): SearchTree["settings"] =>
  choose === undefined ? { ...rest } : { ...rest, choose };
