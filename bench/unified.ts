/**
 * The unified reward model beside the specialised ones, on rows that neither run has trained on.
 *
 *   npx tsx bench/unified.ts --runs runs/math,runs/values,runs/tutoring --unified runs/unified \
 *     --pairs helpful=values/helpful,harmless=values/harmless,tutorAccuracy=tutoring/accuracy \
 *     --steps accuracy=math/accuracy,tutorEngagement=tutoring/engagement,nextTurn=tutoring/nextTurn
 *
 * Pairs are those that both recipes hold out, steps the other run's held-out labels, which the unified recipe names as its
 * own. One JSON line an objective: accuracy of pairs or area under the curve of steps, and the difference, each with its
 * bootstrap interval over prompts.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { describeError, MahaloError } from "@mahalo/torch";
import { bootstrapInterval } from "../packages/mahalo/src/core/bootstrap.ts";
import { areaUnderCurve } from "../packages/mahalo/src/core/label-metrics.ts";
import { mean } from "../packages/mahalo/src/core/mean.ts";
import { rng } from "../packages/mahalo/src/core/random.ts";
import { Problems } from "../packages/mahalo/src/data/rows/problems.ts";
import { type PreferenceRow, promptKey } from "../packages/mahalo/src/data/rows/rows.ts";
import { loadRewardModel } from "../packages/mahalo/src/model/reward/reward-model.ts";
import { computeDType } from "../packages/mahalo/src/model/transformer/precision.ts";
import { loadRecipe } from "../packages/mahalo/src/recipe/load.ts";
import { collectRows } from "../packages/mahalo/src/recipe/stages/collect-rows.ts";
import { loadScorable, type ScorableRow } from "../packages/mahalo/src/scoring/scorable-rows.ts";
import { type ScoredRow, scoreRows } from "../packages/mahalo/src/scoring/score-rows.ts";

/** An objective of the unified model, and where the specialised one of it is. */
type Named = { unified: string; run: string; objective: string };

/** What is observed of one prompt's rows: margins of pairs, or scores and labels of steps, of both models. */
type Observed = { margins: [number, number][]; steps: { label: boolean; scores: [number, number] }[] };

const parseNames = (text: string | undefined): Named[] =>
  (text ?? "")
    .split(",")
    .filter((part) => part !== "")
    .map((part) => {
      const [, unified, run, objective] = /^([\w-]+)=([\w.-]+)\/([\w-]+)$/.exec(part) ?? [];
      if (unified === undefined || run === undefined || objective === undefined)
        throw new MahaloError("E_BENCH_OPTION", `"${part}" is not of the form unified=run/objective`);
      return { unified, run, objective };
    });

const heldOutPairs = async (run: string, objective: string): Promise<PreferenceRow[]> => {
  const { recipe } = await loadRecipe(join(run, "recipe.yaml"));
  const { heldOut } = await collectRows(recipe, new Problems({ maxBadShare: 1 }));
  return heldOut.filter((row) => row.objective === objective);
};

/** Pairs that both runs hold out. */
const sharedPairs = async (unified: string, run: string, names: Named): Promise<ScorableRow[]> => {
  const key = ({ prompt, chosen }: PreferenceRow): string => `${promptKey(prompt)}\n${chosen}`;
  const keys = new Set((await heldOutPairs(run, names.objective)).map(key));
  const shared = (await heldOutPairs(unified, names.unified)).filter((row) => keys.has(key(row)));
  return shared.map(({ prompt, chosen, rejected, origin }) => ({
    form: "pair",
    prompt,
    chosen,
    rejected,
    origin,
  }));
};

const heldOutSteps = async (run: string, objective: string): Promise<ScorableRow[]> => {
  const rows = await loadScorable({ path: join(run, "relabel", "held-out.jsonl") });
  return rows.filter((row) => row.objective === objective);
};

const scored = async (
  folder: string,
  rows: readonly ScorableRow[],
  objective: string,
): Promise<ScoredRow[]> => {
  const model = await loadRewardModel(folder, { compute: computeDType("auto") });
  try {
    return scoreRows(model, rows, { objective, problems: new Problems({ maxBadShare: 1 }) });
  } finally {
    model.dispose();
  }
};

const last = (side: object): number => ("last" in side ? Number(side.last) : Number.NaN);

/** Both models' scores by prompt; rows that one of them could not read are left out. */
const observe = (unified: readonly ScoredRow[], apart: readonly ScoredRow[], above: number): Observed[] => {
  const others = new Map(apart.map((row) => [row.row, row]));
  const prompts = new Map<string, Observed>();
  for (const row of unified) {
    const other = others.get(row.row);
    if (other === undefined) continue;
    const key = promptKey(row.prompt);
    const observed = prompts.get(key) ?? { margins: [], steps: [] };
    prompts.set(key, observed);
    if ("chosen" in row && "chosen" in other) {
      observed.margins.push([
        last(row.chosen) - last(row.rejected),
        last(other.chosen) - last(other.rejected),
      ]);
    } else if ("steps" in row && "steps" in other) {
      for (const [index, { label, score }] of row.steps.entries()) {
        if (label === undefined) continue;
        observed.steps.push({
          label: label > above,
          scores: [score, other.steps[index]?.score ?? Number.NaN],
        });
      }
    }
  }
  return [...prompts.values()];
};

const figure = (prompts: readonly Observed[], which: 0 | 1): number | undefined => {
  const margins = prompts.flatMap((prompt) => prompt.margins);
  if (margins.length > 0) return mean(margins.map((both) => Number(both[which] > 0)));
  const steps = prompts.flatMap((prompt) => prompt.steps);
  return areaUnderCurve(
    steps.map(({ scores }) => scores[which]),
    steps.map(({ label }) => label),
  );
};

const compare = (names: Named, what: string, prompts: readonly Observed[]): void => {
  const round = (value: number | undefined): number | null =>
    value === undefined ? null : Number(value.toFixed(3));
  const told = (of: (some: readonly Observed[]) => number | undefined) => {
    const [low, high] = bootstrapInterval(prompts, of, rng(0, "unified", names.unified)) ?? [];
    return [round(of(prompts)), round(low), round(high)];
  };
  const difference = (some: readonly Observed[]): number | undefined => {
    const [unified, apart] = [figure(some, 0), figure(some, 1)];
    return unified === undefined || apart === undefined ? undefined : unified - apart;
  };
  const line = {
    bench: "unified",
    objective: names.unified,
    what,
    prompts: prompts.length,
    rows: prompts.reduce((sum, { margins, steps }) => sum + margins.length + steps.length, 0),
    unified: told((some) => figure(some, 0)),
    specialised: told((some) => figure(some, 1)),
    difference: told(difference),
    how: "value, and the ends of its 95% bootstrap interval over prompts",
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

const main = async (args: string[]): Promise<void> => {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args,
    options: { runs: text, unified: text, pairs: text, steps: text, help: { type: "boolean" } },
  });
  if (values.help || values.unified === undefined) {
    process.stdout.write(
      "Usage: npx tsx bench/unified.ts --runs FOLDERS --unified RUN [--pairs UNIFIED=RUN/OBJECTIVE,...] [--steps ...]\n",
    );
    return;
  }
  const { unified } = values;
  const folders = new Map((values.runs ?? "").split(",").map((folder) => [basename(folder), folder]));
  const runOf = ({ run }: Named): string => {
    const folder = folders.get(run);
    if (folder !== undefined && existsSync(folder)) return folder;
    throw new MahaloError("E_BENCH_OPTION", `--runs names no folder of the run "${run}"`);
  };
  const both = async (
    names: Named,
    rows: readonly ScorableRow[],
    what: string,
    above: number,
  ): Promise<void> => {
    const apart = join(runOf(names), "reward", names.objective, "model");
    const unifiedRows = await scored(join(unified, "reward", "unified", "model"), rows, names.unified);
    compare(names, what, observe(unifiedRows, await scored(apart, rows, names.objective), above));
  };
  for (const names of parseNames(values.pairs)) {
    await both(names, await sharedPairs(unified, runOf(names), names), "pairs ranked right", 0);
  }
  for (const names of parseNames(values.steps)) {
    await both(
      names,
      await heldOutSteps(runOf(names), names.objective),
      "area under the curve of steps",
      0.5,
    );
  }
};

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
});
