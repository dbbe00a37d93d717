/** mahalo inspect: show a recipe's rows as tokens, with masks, branches and objectives. */
import { type Command, InvalidArgumentError } from "commander";
import { describeInspection, inspectRecipe } from "../recipe/inspect.ts";
import { loadRecipe } from "../recipe/load.ts";
import { type CommonOptions, collect, command, type Io, outputOf } from "./command.ts";

type InspectOptions = CommonOptions & { set?: string[]; rows: number; objective?: string; sft?: boolean };

const count = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("It must be a whole number.");
  return value;
};

/** Shows rows as training will see them. */
export const inspectCommand = (io: Io): Command =>
  command({
    name: "inspect",
    summary: "Show a recipe's rows as tokens, with masks, branches and objectives.",
    examples: [
      ["mahalo inspect recipes/values.yaml", "the first pair of each objective"],
      ["mahalo inspect recipes/values.yaml --rows 3 --objective harmless", "three pairs of one objective"],
      ["mahalo inspect recipes/values.yaml --sft", "fine-tuning examples instead of pairs"],
    ],
  })
    .argument("<recipe>", "YAML file")
    .option("--rows <n>", "rows of each objective", count, 1)
    .option("--objective <name>", "only this objective")
    .option("--sft", "examples of sft instead of pairs of align")
    .option("--set <field=value>", "override a field; may be given again", collect)
    .action(async (file: string, { set, rows, objective, sft = false, ...common }: InspectOptions) => {
      const { recipe } = await loadRecipe(file, set);
      const inspection = await inspectRecipe(recipe, { rows, objective, part: sft ? "examples" : "pairs" });
      outputOf(io, common).result(inspection, () => describeInspection(inspection, io.colour));
    });
