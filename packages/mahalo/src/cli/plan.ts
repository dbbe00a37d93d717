/** mahalo plan: show what a run would do, how long it would take and how much memory, without doing it. */
import type { Command } from "commander";
import { loadRecipe } from "../recipe/load.ts";
import { describePlan, planRecipe } from "../recipe/plan.ts";
import { thisMachine } from "../recipe/speeds.ts";
import { type CommonOptions, collect, command, type Io, outputOf } from "./command.ts";

/** Shows the stages of a recipe, what is stale and why, and an estimate. */
export const planCommand = (io: Io): Command =>
  command({
    name: "plan",
    summary: "Show a recipe's stages, what is stale and why, and the time and memory that they would take.",
    examples: [
      ["mahalo plan recipes/values.yaml", "before a run"],
      ["mahalo plan recipes/values.yaml --set align.epochs=3", "what another setting would cost"],
      ["mahalo plan recipes/values.yaml --measure", "after the machine has changed"],
    ],
  })
    .argument("<recipe>", "YAML file")
    .option("--set <field=value>", "override a field; may be repeated", collect)
    .option("--measure", "measure this machine's speed again, which is kept from the first plan on")
    .action(async (file: string, options: CommonOptions & { set?: string[]; measure?: boolean }) => {
      const output = outputOf(io, options);
      const { recipe } = await loadRecipe(file, options.set);
      const plan = await planRecipe(recipe, thisMachine({ again: options.measure }));
      output.result(plan, () => describePlan(plan));
    });
