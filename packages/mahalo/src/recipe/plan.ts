/** The plan of a run: each stage, why it would run, and a rough estimate of time and memory. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { formatBytes, formatDuration } from "../core/format.ts";
import { element } from "../core/need.ts";
import { type GemmRates, measureGemm } from "../core/speed.ts";
import { openModelSource } from "../model/folder/source.ts";
import { sideBySide } from "../search/strategies/registry.ts";
import { boundedCounts, type Counted, measuredCounts, rewardCounts, rolloutCounts } from "./counts.ts";
import { inspectStages, type StageState } from "./engine/stage.ts";
import {
  alignCost,
  type Cost,
  decodesOf,
  evaluateCost,
  type ModelShape,
  rewardCost,
  rolloutCost,
  sftCost,
  soupCost,
} from "./estimate.ts";
import { alignCounts, evaluateCounts } from "./method-counts.ts";
import { pipeline } from "./pipeline.ts";
import { runFolder } from "./run-folder.ts";
import { rolloutBlock } from "./schema/objective.ts";
import type { ObjectiveOptions, Recipe } from "./schema/schema.ts";
import { readSummary } from "./stages/data-files.ts";

/** One stage of a plan. */
export type PlannedStage = {
  name: string;
  state: StageState["state"];
  reasons: string[];
  /** Estimate of its cost if it runs; undefined where it cannot be told yet. */
  cost: Cost | undefined;
};

/** A plan. */
export type Plan = {
  name: string;
  folder: string;
  stages: PlannedStage[];
  /** Where the counts come from: the data stage's rows, or the recipe's limits as an upper bound. */
  counts: "measured" | "at most" | "unknown";
  /** Measured rates of matrix products, in operations a second. */
  gemm: GemmRates;
  /** Sum over the stages that would run, and the largest of their peaks. */
  total: Cost;
};

/** The recipe's model: its sizes, and the objectives that it has heads for. */
type Known = { shape: ModelShape; objectives: readonly string[] };

const openKnown = async ({ model, revision }: Recipe): Promise<Known | undefined> => {
  try {
    const { config, objectives = [] } = await openModelSource(
      model,
      revision === undefined ? {} : { revision },
    );
    return { shape: config, objectives };
  } catch (error) {
    if (error instanceof MahaloError && error.code === "E_HUB_OFFLINE") return undefined;
    throw error;
  }
};

const costOf = (
  name: string,
  recipe: Recipe,
  { shape: model, objectives }: Known,
  data: Counted,
  rates: GemmRates,
  rolled: Map<string, number> | undefined,
): Cost | undefined => {
  if (name === "rollout") {
    if (rolled === undefined) return undefined;
    return [...rolled].reduce<Cost>(
      (sum, [objective, prompts]) => {
        const options = recipe.objectives[objective] as ObjectiveOptions;
        const block = rolloutBlock(options);
        const cost = rolloutCost(
          block,
          // A bound counts held-out prompts in.
          prompts + (data.measured ? block.heldOut : 0),
          options.dialogues !== undefined,
          model,
          data,
          rates,
        );
        return { seconds: sum.seconds + cost.seconds, bytes: Math.max(sum.bytes, cost.bytes) };
      },
      { seconds: 0, bytes: 0 },
    );
  }
  if (name === "sft" && recipe.sft !== false) return sftCost(recipe.sft, model, data, rates);
  if (name === "reward" && recipe.reward !== false) {
    const rows = rewardCounts(recipe, data, rolled);
    return rows === undefined ? undefined : rewardCost(recipe.reward, rows, model, data, rates);
  }
  if (name === "align" && recipe.align !== false) {
    const counts = alignCounts(recipe, data, objectives);
    return counts === undefined ? soupCost(model) : alignCost(recipe.align, counts, model, data, rates);
  }
  if (name === "evaluate") {
    return evaluateCost(recipe.evaluate, evaluateCounts(recipe, objectives), model, data, rates);
  }
  if (name === "guide" && recipe.guide !== undefined) {
    const { guide } = recipe;
    // By default each reward model alone, all of them, and nothing; a search decodes its candidates side by side.
    const guidances = 1 + (guide.weights?.length ?? Object.keys(recipe.objectives).length + 1);
    const policies = guide.policies.length - 1 + (guide.mixes?.length ?? 1);
    const rows = sideBySide(guide.search);
    const { maxNewTokens, prompts } = guide;
    const answers = { maxNewTokens, batchSize: rows, prompts: prompts * rows };
    return evaluateCost(answers, decodesOf(policies * guidances, data.objectives), model, data, rates);
  }
  // Reading, encoding and writing take seconds; they are shown as nothing next to the rest.
  return { seconds: 0, bytes: 0 };
};

/** What is known of a recipe's costs: where its stages stand, its counts, and what a stage would cost under a recipe. */
export type Costs = {
  states: StageState[];
  counts: Counted | undefined;
  /** Cost of a stage, were it run as this recipe says; undefined where it cannot be told yet. */
  costOf: (name: string, recipe: Recipe) => Cost | undefined;
};

/** Looks at a recipe's stages, data and model without running or fetching anything. */
export const openCosts = async (recipe: Recipe, rates: GemmRates): Promise<Costs> => {
  const folder = runFolder(recipe);
  const states = await inspectStages(pipeline.items, recipe, { folder, seed: recipe.seed });
  const fresh = states.find(({ name }) => name === "data")?.state === "fresh";
  const known = states.every(({ name, key }) => name !== "data" || key !== undefined);
  const summary = fresh ? await readSummary(join(folder, "data")) : undefined;
  const rolled = rolloutCounts(recipe, summary);
  const counts =
    summary === undefined || rolled === undefined
      ? boundedCounts(recipe, rolled)
      : measuredCounts(recipe, summary, rolled);
  const opened = known ? await openKnown(recipe) : undefined;
  return {
    states,
    counts,
    costOf: (name, given) =>
      counts === undefined || opened === undefined
        ? undefined
        : costOf(name, given, opened, counts, rates, rolled),
  };
};

/**
 * Plans a recipe without running or fetching anything.
 *
 * @param rates measured rates; default: measured now, which takes a third of a second.
 * @throws MahaloError for sources that cannot be.
 */
export const planRecipe = async (recipe: Recipe, rates: GemmRates = measureGemm()): Promise<Plan> => {
  const { states, counts, costOf: cost } = await openCosts(recipe, rates);
  const stages = states.map(
    ({ name, state, reasons }): PlannedStage => ({ name, state, reasons, cost: cost(name, recipe) }),
  );
  const due = stages.filter(({ state }) => state !== "fresh");
  return {
    name: recipe.name,
    folder: runFolder(recipe),
    stages,
    counts: counts === undefined ? "unknown" : counts.measured ? "measured" : "at most",
    gemm: rates,
    total: {
      seconds: due.reduce((sum, { cost }) => sum + (cost?.seconds ?? 0), 0),
      bytes: Math.max(0, ...due.map(({ cost }) => cost?.bytes ?? 0)),
    },
  };
};

const words: Record<StageState["state"], string> = {
  fresh: "fresh",
  stale: "stale",
  resumable: "goes on",
  new: "new",
};

const describeCost = (stage: PlannedStage, bound: string): string => {
  if (stage.state === "fresh") return "";
  if (stage.cost === undefined) return "cost unknown until the data stage has run";
  if (stage.cost.seconds === 0) return "seconds";
  return `${bound}${formatDuration(stage.cost.seconds)}, ${formatBytes(stage.cost.bytes)}`;
};

/** A plan as text, a line a stage. */
export const describePlan = (plan: Plan): string => {
  const bound = plan.counts === "at most" ? "at most about " : "about ";
  const rows = plan.stages.map((stage) => [
    stage.name,
    words[stage.state],
    describeCost(stage, bound),
    stage.reasons.join("; "),
  ]);
  const widest = (column: number): number => Math.max(...rows.map((row) => element(row, column).length));
  // The reasons come last, and need no room kept for them.
  const widths = [widest(0), widest(1), widest(2), 0];
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(element(widths, column)))
      .join("  ")
      .trimEnd(),
  );
  const { f32, bf16 } = plan.gemm;
  const unknown = plan.stages.some(({ state, cost }) => state !== "fresh" && cost === undefined);
  const total =
    plan.total.seconds > 0
      ? `${bound}${formatDuration(plan.total.seconds)}, ${formatBytes(plan.total.bytes)} at the peak`
      : "nothing long";
  return [
    `${plan.name} in ${plan.folder}`,
    ...table,
    `to do: ${unknown ? "not known yet" : total} (matrix products: ${Math.round(f32 / 1e9)} GF/s f32, ${Math.round(bf16 / 1e9)} GF/s bf16; where nothing else runs)`,
    "",
  ].join("\n");
};
