/** mahalo tune: which weights reach a target and are best on another objective, by what a run has measured. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { MahaloError } from "@mahalo/torch";
import type { Command } from "commander";
import { formatMix } from "../evaluate/mixes.ts";
import { formatNumber } from "../evaluate/report/scale.ts";
import { readResults } from "../evaluate/results.ts";
import { parseTarget, type Tuned, type TunedMix, tune } from "../evaluate/tune.ts";
import { type CommonOptions, collect, command, type Io, outputOf, Unmet, usage } from "./command.ts";

/** The results of a run, given its folder or one inside it, such as that of its model. */
const resultsPath = (given: string): string => {
  const file = "results.json";
  if (given.endsWith(".json")) return given;
  // runs/NAME/align/model is two folders down. A relative path may stand inside it, and says nothing of what is above.
  for (let folder = resolve(given), depth = 0; depth < 3; folder = dirname(folder), depth++) {
    if (existsSync(join(folder, file))) return join(folder, file);
  }
  throw new MahaloError("E_TUNE", `${given}: no results.json here or in the run above`, {
    hint: "name a run's folder, or the model inside it, once the recipe has been evaluated",
  });
};

const inWords = ({ mix, results, between }: TunedMix): string => {
  const lines = Object.entries(results).map(
    ([name, { mean, low, high }]) =>
      `  ${name}  ${formatNumber(mean)}  (${formatNumber(low)} to ${formatNumber(high)})`,
  );
  const from = between.length === 1 ? "measured" : `between ${between.join(" and ")}; not measured itself`;
  return [`--mix ${formatMix(mix)}`, `  ${from}`, ...lines].join("\n");
};

const asText = ({ reached, best, sure, missed, cautious }: Tuned, targets: number): string => {
  if (targets === 0) return `${inWords(best)}\n`;
  if (!reached) {
    const by = missed.map((target) => `${target.objective} by ${formatNumber(target.by)}`).join(", ");
    return `no measured mix reaches this; the nearest misses ${by}:\n${inWords(best)}\n`;
  }
  const safer =
    cautious === undefined
      ? "no mix reaches the targets with its whole 95% intervals"
      : `with the whole 95% intervals:\n${inWords(cautious)}`;
  return `${inWords(best)}\n${sure ? "  the targets hold even at the low ends of the intervals" : `  within the uncertainty; ${safer}`}\n`;
};

/** Solves for the mix on a run's measured front. */
export const tuneCommand = (io: Io): Command =>
  command({
    name: "tune",
    summary: "Find the weights that reach a target and are best on another objective.",
    examples: [
      ['mahalo tune runs/math --target "accuracy>=0.6" --maximize engagement', "from the sweep of the run"],
      [
        'mahalo tune runs/math/align/model --target "accuracy>=60%" --maximize engagement --json',
        "the model inside it",
      ],
    ],
  })
    .argument("<model>", "folder of an evaluated run, or of the model inside it")
    .option(
      "--target <bound>",
      "lowest result of an objective, such as accuracy>=0.6; may be given several times",
      collect,
    )
    .option("--maximize <objective>", "objective to make as good as possible")
    .action(
      async (
        model: string,
        { target = [], maximize, ...common }: CommonOptions & { target?: string[]; maximize?: string },
      ) => {
        if (maximize === undefined) throw usage("--maximize: is missing");
        const path = resultsPath(model);
        const { sweep } = await readResults(path);
        const tuned = tune(sweep?.points ?? [], target.map(parseTarget), maximize);
        outputOf(io, common).result(tuned, () => asText(tuned, target.length));
        if (!tuned.reached) throw new Unmet();
      },
    );
