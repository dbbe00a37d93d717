/** mahalo run: go from a recipe to a steerable model and its report. */
import type { Command } from "commander";
import { loadRecipe } from "../recipe/load.ts";
import { describeRun, runRecipe } from "../recipe/run.ts";
import { type CommonOptions, collect, command, type Io, outputOf } from "./command.ts";

type RunOptions = CommonOptions & {
  set?: string[];
  until?: string;
  redo?: string;
  ignoreMemory?: boolean;
  verify?: boolean;
};

/** Runs a recipe: makes what is stale, keeps what is fresh, goes on with what was cut short. */
export const runCommand = (io: Io): Command =>
  command({
    name: "run",
    summary: "Run a recipe: data, sft, align, evaluate, report; only stale stages run again.",
    examples: [
      ["mahalo run recipes/quickstart.yaml", "from nothing to a report"],
      ["mahalo run recipes/values.yaml --set align.beta=0.2", "with another setting; sft is kept"],
      ["mahalo run recipes/values.yaml --until sft", "end after a stage"],
      ["mahalo run recipes/values.yaml --redo evaluate", "run a fresh stage again"],
      ["mahalo run recipes/values.yaml --verify", "after a disk failure: run again what was damaged"],
    ],
  })
    .argument("<recipe>", "YAML file")
    .option("--set <field=value>", "override a field, for example align.beta=0.2; may be repeated", collect)
    .option("--until <stage>", "end after this stage")
    .option("--redo <stage>", "run this stage and all after it again")
    .option("--verify", "read every file, to find damage that did not change its size and time")
    .option("--ignore-memory", "start even if a stage needs more memory than there is")
    .action(async (file: string, options: RunOptions) => {
      const output = outputOf(io, options);
      const { recipe } = await loadRecipe(file, options.set);
      const outcome = await runRecipe(recipe, {
        until: options.until,
        redo: options.redo,
        ignoreMemory: options.ignoreMemory,
        verify: options.verify,
        signal: io.signal,
        log: output.note,
      });
      output.result(outcome, () => describeRun(outcome));
    });
