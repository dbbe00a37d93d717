/** What is known of a recipe's costs before it runs: where its stages stand, its counts, and each stage's cost. */
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import type { ModelSource } from "../model/folder/model-source.ts";
import { openModelSource } from "../model/folder/source.ts";
import { sideBySide } from "../search/strategies/registry.ts";
import { boundedRows, type Counted, countsOf, type RowCounts, rewardCounts } from "./counts.ts";
import { inspectStages, type StageState } from "./engine/stage.ts";
import {
  alignCost,
  decodesOf,
  evaluateCost,
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
import { sampleSummary } from "./stages/data.ts";
import { readSummary } from "./stages/data-files.ts";
import type { Cost, Speeds } from "./work.ts";

/** What a stage's cost rests on. */
type Basis = { recipe: Recipe; source: ModelSource; data: Counted };

/** Reading, encoding, judging and writing take seconds. */
const seconds = (): Cost => ({ bytes: 0 });

/** Costs by stage. */
const stageCosts: Readonly<Record<string, (basis: Basis) => Cost | undefined>> = {
  data: seconds,
  sft: ({ recipe: { sft }, source, data }) => (sft === false ? undefined : sftCost(sft, source.config, data)),
  rollout: ({ recipe: { objectives }, source, data }) => {
    const costs = [...data.toRollOut].map(([name, prompts]) => {
      const options = objectives[name] as ObjectiveOptions;
      const block = rolloutBlock(options);
      return rolloutCost(
        block,
        prompts + block.heldOut,
        options.dialogues !== undefined,
        source.config,
        data,
      );
    });
    const works = costs.flatMap(({ work }) => work ?? []);
    const bytes = Math.max(0, ...costs.map((cost) => cost.bytes));
    const all = (speeds: Speeds): number => works.reduce((sum, work) => sum + work.seconds(speeds), 0);
    return { bytes, ...(works[0] === undefined ? {} : { work: { ...works[0], seconds: all } }) };
  },
  relabel: seconds,
  pairs: seconds,
  reward: ({ recipe, source, data }) =>
    recipe.reward === false
      ? undefined
      : rewardCost(recipe.reward, rewardCounts(recipe, data), source.config, data),
  align: ({ recipe, source: { config, objectives = [] }, data }) => {
    if (recipe.align === false) return undefined;
    const counts = alignCounts(recipe, data, objectives);
    return counts === undefined ? soupCost(config) : alignCost(recipe.align, counts, config, data);
  },
  evaluate: ({ recipe, source: { config, objectives }, data }) =>
    evaluateCost(recipe.evaluate, evaluateCounts(recipe, data, objectives ?? []), config, data),
  guide: ({ recipe: { guide, objectives }, source, data }) => {
    if (guide === undefined) return undefined;
    // By default each reward model alone, all of them, and nothing; a search decodes its candidates side by side.
    const guidances = 1 + (guide.weights?.length ?? Object.keys(objectives).length + 1);
    const policies = guide.policies.length - 1 + (guide.mixes?.length ?? 1);
    const rows = sideBySide(guide.search);
    const { maxNewTokens, prompts } = guide;
    const answers = { maxNewTokens, batchSize: rows, prompts: prompts * rows };
    return evaluateCost(answers, decodesOf(policies * guidances, data.objectives), source.config, data);
  },
  report: seconds,
};

/** Whether a stage's cost is known of at all: those that programs add have none. */
export const isEstimated = (stage: string): boolean => Object.hasOwn(stageCosts, stage);

/** Where counts come from: the data stage's rows, all rows read now and some made into tokens, or the recipe's limits. */
export type CountsOrigin = "measured" | "sampled" | "at most" | "unknown";

/** What is known of a recipe's costs: where its stages stand, its counts, and what a stage would cost under a recipe. */
export type Costs = {
  states: StageState[];
  counts: CountsOrigin;
  /** The recipe's model; undefined while it or rows are not on this machine. */
  source: ModelSource | undefined;
  /** Cost of a stage, were it run as this recipe says; undefined where it cannot be told yet. */
  costOf: (name: string, recipe: Recipe) => Cost | undefined;
};

/** What would have to be fetched, or has mistakes that the data stage will tell of, counts as not there. */
const ifReadable = async <T>(
  read: () => Promise<T>,
  excused: (code: string) => boolean,
): Promise<T | undefined> => {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MahaloError && excused(error.code)) return undefined;
    throw error;
  }
};

/** Longest that rows are read for a plan. */
const sampleMilliseconds = 3000;

/**
 * Looks at a recipe's stages, data and model without running or fetching anything.
 *
 * @param options.sample read the rows where the data stage has not run, for a few seconds at most
 */
export const openCosts = async (recipe: Recipe, { sample = false } = {}): Promise<Costs> => {
  const folder = runFolder(recipe);
  const states = await inspectStages(pipeline.items, recipe, { folder, seed: recipe.seed });
  const data = states.find(({ name }) => name === "data");
  const { model, revision } = recipe;
  const source =
    data !== undefined && data.key === undefined
      ? undefined
      : await ifReadable(
          () => openModelSource(model, revision === undefined ? {} : { revision }),
          (code) => code === "E_HUB_OFFLINE",
        );
  const read = async (): Promise<[CountsOrigin, RowCounts]> => {
    if (data?.state === "fresh") return ["measured", await readSummary(join(folder, "data"))];
    const signal = AbortSignal.timeout(sampleMilliseconds);
    const summary =
      sample && source !== undefined
        ? await ifReadable(
            () => sampleSummary(recipe, source, signal),
            (code) => code !== "E_INTERNAL" && (code !== "E_INTERRUPTED" || signal.aborted),
          )
        : undefined;
    return summary === undefined ? ["at most", boundedRows(recipe)] : ["sampled", summary];
  };
  const [origin, rows] = await read();
  const counts = countsOf(recipe, rows);
  return {
    states,
    source,
    counts: source === undefined || Number.isNaN(counts.pairs + counts.examples) ? "unknown" : origin,
    costOf: (name, given) => {
      const cost = source && stageCosts[name]?.({ recipe: given, source, data: counts });
      return cost === undefined || Number.isNaN(cost.bytes) ? undefined : cost;
    },
  };
};
