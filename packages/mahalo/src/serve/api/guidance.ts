/** What a request says of guidance: which of the server's scores, with which weights, and how to search. */
import { z } from "zod";
import { freeName } from "../../core/names.ts";
import { didYouMean } from "../../core/suggest.ts";
import { stepBoundarySchema } from "../../data/tokens/steps.ts";
import { normalizations } from "../../search/options.ts";
import { choiceOf, choices, sideBySide, strategies } from "../../search/strategies/registry.ts";
import type { Guidance } from "../engine/protocol.ts";
import { badField } from "../http/api-error.ts";
import type { Bounds } from "../options.ts";

/** Schema of the field `guidance`. */
export const guidanceSchema = (bounds: Bounds) =>
  z.strictObject({
    guides: z.record(freeName, z.number()).default({}),
    search: strategies.schema(() => "How to search.").default("step"),
    candidates: z.int().min(1).max(bounds.maxCandidates).default(5),
    width: z.int().min(1).max(bounds.maxCandidates).default(4),
    step: stepBoundarySchema.prefault("blank-line"),
    max_steps: z.int().min(1).max(1000).default(20),
    max_step_tokens: z.int().min(1).max(bounds.maxTokens).default(bounds.maxTokens),
    normalize: z.enum(normalizations).default("raw"),
    choose: choices.schema().optional(),
  });

/** The field once checked. */
export type GuidanceField = z.output<ReturnType<typeof guidanceSchema>>;

/** Candidates that a search has at a time: those of all its branches. */
const width = ({ search: strategy, candidates, width }: GuidanceField): number =>
  sideBySide({ strategy, candidates, width });

/**
 * The guidance of a job.
 *
 * @param served names of the server's scores
 * @throws ApiError 400 naming the field
 */
export const guidanceOf = (field: GuidanceField, served: readonly string[], bounds: Bounds): Guidance => {
  const names = Object.keys(field.guides);
  const unknown = names.find((name) => !served.includes(name));
  if (unknown !== undefined)
    throw badField(
      `guidance.guides.${unknown}`,
      served.length === 0
        ? "nothing guides here: the server was started without --guide"
        : `is no guide of this server. ${didYouMean(unknown, served)}`,
    );
  if (width(field) > bounds.maxCandidates)
    throw badField(
      "guidance.width",
      `${width(field)} candidates at a time are more than the ${bounds.maxCandidates} of one request`,
    );
  const {
    search: strategy,
    candidates,
    width: branches,
    step,
    max_steps,
    max_step_tokens,
    normalize,
    choose,
  } = field;
  if (names.length === 0 && choiceOf(strategy, choose).scored)
    throw badField(
      "guidance.guides",
      `${strategy} needs at least one guide to choose by`,
      "missing_required_parameter",
    );
  const search = {
    strategy,
    candidates,
    width: branches,
    step,
    maxSteps: max_steps,
    maxStepTokens: max_step_tokens,
    normalize,
  };
  return { guides: field.guides, search: choose === undefined ? search : { ...search, choose } };
};

/** How many times over a guided answer's tokens are generated. */
export const effortOf = (field: GuidanceField | undefined): number =>
  field === undefined ? 1 : width(field);
