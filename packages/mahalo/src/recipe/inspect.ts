/** Shows a recipe's rows as training will see them, without training. */
import { MahaloError } from "@mahalo/torch";
import { didYouMean } from "../core/suggest.ts";
import { visible } from "../core/visible.ts";
import {
  firstOfEach,
  type InspectedRow,
  inspectRows,
  type ObjectiveSummary,
  renderRows,
  renderSummary,
  summarizeRows,
} from "../data/inspect.ts";
import { encodeWatched, stepEncoding } from "../data/tokens/encode.ts";
import type { StepBoundary } from "../data/tokens/steps.ts";
import { openModelSource } from "../model/folder/source.ts";
import type { Recipe } from "./schema/schema.ts";
import { buildDataset } from "./stages/data.ts";

/** Which rows {@link inspectRecipe} shows. */
export type InspectRecipeOptions = {
  /** Rows shown of each objective. Default 1. */
  rows?: number;
  /** Only this objective. Default: all. */
  objective?: string | undefined;
  /** `pairs` of align with the labelled steps of reward models (default), or `examples` of sft. */
  part?: "pairs" | "examples";
  /** Shows where this boundary cuts responses that do not bring their steps. Default: their steps are not shown. */
  step?: StepBoundary | undefined;
  /** Ends the reading. */
  signal?: AbortSignal | undefined;
};

/** Rows of a recipe, counts of all of them, and what could not be used. */
export type Inspection = { rows: InspectedRow[]; objectives: ObjectiveSummary[]; problems: string };

/**
 * Reads, splits and encodes the rows of a recipe and lays out the first training rows of each objective.
 *
 * @throws MahaloError E_RECIPE_UNKNOWN_OBJECTIVE, and what the data stage throws.
 */
export const inspectRecipe = async (
  recipe: Recipe,
  options: InspectRecipeOptions = {},
): Promise<Inspection> => {
  const { rows: each = 1, objective, part = "pairs", step, signal } = options;
  const names = Object.keys(recipe.objectives);
  if (objective !== undefined && !names.includes(objective)) {
    throw new MahaloError("E_RECIPE_UNKNOWN_OBJECTIVE", `--objective ${objective}: unknown objective`, {
      hint: didYouMean(objective, names),
    });
  }
  const { tokenizer, template } = await openModelSource(
    recipe.model,
    recipe.revision === undefined ? {} : { revision: recipe.revision },
  );
  const { dataset, problems } = await buildDataset(recipe, { tokenizer, template }, signal);
  const { chat, maxPromptTokens, maxTokens } = recipe.data;
  const encoding = { tokenizer, template, chat, maxPromptTokens, maxTokens };
  const { steps } = dataset;
  const encodedSteps = () =>
    encodeWatched(stepEncoding(steps, encoding, problems), { total: steps.length, signal });
  const kinds = part === "pairs" ? [dataset.train, await encodedSteps()] : [dataset.examples];
  const wanted = kinds.map((rows) =>
    objective === undefined ? rows : rows.filter((row) => row.objective === objective),
  );
  return {
    rows: wanted.flatMap((rows) => inspectRows(firstOfEach(rows, each), tokenizer, step)),
    objectives: wanted.flatMap((rows) => summarizeRows(rows)),
    problems: problems.summary(),
  };
};

/** An inspection as text. */
export const describeInspection = ({ rows, objectives, problems }: Inspection, colour: boolean): string =>
  [
    renderRows(rows, { colour }),
    visible(renderSummary(objectives)),
    ...(problems === "" ? [] : [visible(problems)]),
    "",
  ].join("\n");
