/** mahalo inspect: show a recipe's rows as tokens, with masks, completions, steps and objectives. */
import { type Command, InvalidArgumentError } from "commander";
import { parseStepBoundary, type StepBoundary } from "../data/tokens/steps.ts";
import { describeInspection, inspectRecipe } from "../recipe/inspect.ts";
import { loadRecipe } from "../recipe/load.ts";
import { type CommonOptions, collect, command, type Io, outputOf } from "./command.ts";

type InspectOptions = CommonOptions & {
  set?: string[];
  rows: number;
  objective?: string;
  sft?: boolean;
  step?: StepBoundary;
};

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("It must be a whole number.");
  return value;
};

/** Shows rows as training will see them. */
export const inspectCommand = (io: Io): Command =>
  command({
    name: "inspect",
    summary: "Show a recipe's rows as tokens, with masks, completions, steps and objectives.",
    examples: [
      ["mahalo inspect recipes/values.yaml", "the first pair, or row of labelled steps, of each objective"],
      ["mahalo inspect recipes/values.yaml --rows 3 --objective harmless", "three pairs of one objective"],
      ["mahalo inspect recipes/values.yaml --sft", "fine-tuning examples instead of pairs"],
      ["mahalo inspect recipes/math.yaml --sft --step line", "where steps end if every line is a step"],
    ],
  })
    .argument("<recipe>", "YAML file")
    .option("--rows <n>", "rows of each objective", count, 1)
    .option("--objective <name>", "only this objective")
    .option("--sft", "examples of sft instead of pairs and labelled steps")
    .option(
      "--step <boundary>",
      "show where this boundary cuts responses without given steps: blank-line, line, sentence, sentence:12 or turn",
      parseStepBoundary,
    )
    .option("--set <field=value>", "override a field; may be repeated", collect)
    .action(async (file: string, { set, rows, objective, sft = false, step, ...common }: InspectOptions) => {
      const { recipe } = await loadRecipe(file, set);
      const part = sft ? "examples" : "pairs";
      const inspection = await inspectRecipe(recipe, { rows, objective, part, step, signal: io.signal });
      outputOf(io, common).result(inspection, () => describeInspection(inspection, io.colour), true);
    });
