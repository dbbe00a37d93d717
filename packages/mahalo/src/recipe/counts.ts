/** How many rows a recipe's stages work on: counted by the data stage, or bounded by limits before it has run. */
import { generateRows } from "../data/generators/registry.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import type { DataCounts, RewardCounts } from "./estimate.ts";
import {
  madePairs,
  pairSource,
  rolledOut,
  rolloutBlock,
  rolloutsOf,
  sourceList,
} from "./schema/objective.ts";
import type { RelabelBlock } from "./schema/rollout.ts";
import type { ObjectiveOptions, Recipe, RowSource } from "./schema/schema.ts";
import { exampleSources, learnsChosen } from "./schema/training.ts";
import type { DataSummary } from "./stages/data-files.ts";
import { headKindOf } from "./stages/reward-rows.ts";

/** Counts of the data, and of what each objective has to train on; a bound where the data stage has not run. */
export type Counted = DataCounts & {
  measured: boolean;
  pairsOf: ReadonlyMap<string, number>;
  heldOutOf: ReadonlyMap<string, number>;
  /** Labelled responses of files; undefined while a file without a limit has not been read. */
  stepsOf: ReadonlyMap<string, number | undefined>;
};

/** Counts of a data stage that has run; of pairs that are still to be made, the most there can be. */
export const measuredCounts = (
  recipe: Recipe,
  summary: DataSummary,
  rolled: Map<string, number>,
): Counted => {
  const { objectives, examples } = summary;
  const all = Object.entries(objectives).map(([name, { train, heldOut, meanTokens }]) => {
    const made = madePairCount(recipe, name, rolled);
    // Of answers that are not there yet no more is known than how long they may be.
    const block = recipe.objectives[rolloutsOf(recipe.objectives, name) ?? ""];
    const longest = block === undefined ? 0 : rolloutBlock(block).maxNewTokens;
    const tokens =
      made > 0 ? { prompt: examples.meanTokens.prompt, response: Math.min(longest, 128) } : meanTokens;
    return { name, train: train + made, heldOut, meanTokens: tokens };
  });
  const pairs = all.reduce((sum, { train }) => sum + train, 0);
  const weighted = (part: "prompt" | "response"): number =>
    all.reduce((sum, { train, meanTokens }) => sum + train * meanTokens[part], 0) / Math.max(1, pairs);
  return {
    pairs,
    objectives: all.filter(({ train }) => train > 0).length,
    examples: examples.train,
    heldOutPairs: all.reduce((sum, { heldOut }) => sum + heldOut, 0),
    promptTokens: weighted("prompt"),
    responseTokens: weighted("response"),
    measured: true,
    pairsOf: new Map(all.map(({ name, train }) => [name, train])),
    heldOutOf: new Map(all.map(({ name, heldOut }) => [name, heldOut])),
    stepsOf: new Map(Object.entries(objectives).map(([name, { steps }]) => [name, steps?.train ?? 0])),
  };
};

/** Rows of sources, at most; undefined while a file without a limit has not been read. */
const limitOf = (sources: readonly RowSource[]): number | undefined =>
  sources.reduce<number | undefined>(
    (sum, { limit }) => (sum === undefined || limit === undefined ? undefined : sum + limit),
    0,
  );

/** Prompts of an objective to roll out, at most; undefined as in {@link limitOf}. */
const promptLimit = ({ prompts, dialogues }: ObjectiveOptions): number | undefined =>
  limitOf(sourceList(prompts ?? dialogues));

/** Rows to roll out by objective: counted by the data stage, or bounded by the limits of sources. */
export const rolloutCounts = (
  recipe: Recipe,
  summary: DataSummary | undefined,
): Map<string, number> | undefined => {
  const counts = new Map<string, number>();
  for (const name of rolledOut(recipe.objectives)) {
    const objective = recipe.objectives[name] as ObjectiveOptions;
    // Default: the data stage names no rows to roll out where there are none.
    const known = summary === undefined ? promptLimit(objective) : (summary.objectives[name]?.toRollOut ?? 0);
    if (known === undefined) return undefined;
    counts.set(name, known);
  }
  return counts;
};

/** Pairs that will be made for an objective, at most. */
const madePairCount = (recipe: Recipe, name: string, rolled: Map<string, number>): number => {
  const objective = recipe.objectives[name];
  const made = objective === undefined ? undefined : madePairs(objective);
  return made === undefined
    ? 0
    : made.perPrompt * (rolled.get(rolloutsOf(recipe.objectives, name) ?? "") ?? 0);
};

/** Examples of files to fine-tune on, at most; undefined as in {@link limitOf}. */
const exampleLimit = ({ sft }: Recipe): number | undefined =>
  limitOf(exampleSources(sft).map(({ source }) => source));

/** Upper bounds out of limits and generators; undefined while a file without a limit has not been read. */
export const boundedCounts = (
  recipe: Recipe,
  rolled: Map<string, number> | undefined,
): Counted | undefined => {
  const { data, objectives } = recipe;
  const pairsOf = new Map<string, number>();
  let known = 0;
  for (const [objective, options] of Object.entries(objectives)) {
    const { generator } = options;
    const pairs = pairSource(options);
    if (generator !== undefined) {
      const { name, ...rest } = generator;
      const { train } = generateRows(name, rest, recipe.seed, `objectives.${objective}.generator`);
      const own = train.filter((row) => row.objective === objective).length;
      pairsOf.set(objective, own);
      known += own;
    } else if (pairs !== undefined) {
      if (pairs.limit === undefined) return undefined;
      pairsOf.set(objective, pairs.limit);
      known += pairs.limit;
    } else if (madePairs(options) !== undefined) {
      if (rolled === undefined) return undefined;
      pairsOf.set(objective, madePairCount(recipe, objective, rolled));
    }
  }
  const examples = exampleLimit(recipe);
  if (examples === undefined) return undefined;
  const sizes = [...pairsOf.values()];
  const pairs = sizes.reduce((sum, size) => sum + size, 0);
  const heldOutOf = new Map(
    [...pairsOf].map(([name, size]) => [name, Math.min(size * data.heldOut, data.maxHeldOut)]),
  );
  const promptTokens = Math.min(data.maxPromptTokens, data.maxTokens / 2);
  return {
    pairs,
    objectives: sizes.length,
    examples: examples + (learnsChosen(recipe.sft) ? known : 0),
    heldOutPairs: [...heldOutOf.values()].reduce((sum, size) => sum + size, 0),
    promptTokens,
    responseTokens: data.maxTokens - promptTokens,
    measured: false,
    pairsOf,
    heldOutOf,
    stepsOf: new Map(
      Object.entries(objectives).map(([name, { steps }]) => [name, limitOf(sourceList(steps))]),
    ),
  };
};

/** Turns of a dialogue that get a label, where they have not been counted. */
const usualTurns = 4;

/** Labelled rows out of the rollouts of one prompt or dialogue, at most. */
const labelledRows = (source: ObjectiveOptions, { samples: taken }: RelabelBlock): number => {
  if (source.dialogues !== undefined) return usualTurns;
  const { samples, from } = rolloutBlock(source);
  if (taken === "all") return samples + 1;
  return taken === "auto" && from === "prompt" ? samples : 1;
};

/**
 * Rows that reward models learn from, at most: labelled steps of files and of rollouts, and pairs where a head compares
 * or there are no steps; undefined where they are not known.
 */
export const rewardCounts = (
  { reward, ...recipe }: Recipe,
  { pairsOf, stepsOf }: Counted,
  rolled: ReadonlyMap<string, number> | undefined,
): RewardCounts | undefined => {
  const counts = { steps: 0, pairs: 0 };
  if (reward === false) return counts;
  const { objectives } = recipe;
  for (const [name, objective] of Object.entries(objectives)) {
    const from = rolloutsOf(objectives, name) ?? "";
    const source = objectives[from];
    const made =
      objective.relabel === undefined || source === undefined
        ? 0
        : (rolled?.get(from) ?? Number.NaN) * labelledRows(source, objective.relabel);
    const steps = (stepsOf.get(name) ?? Number.NaN) + made;
    if (Number.isNaN(steps)) return undefined;
    const kind = headKindOf({ ...recipe, reward }, reward, name);
    const compares =
      reward.unified !== "prompt" && kind !== "by labels" && headKinds.get(kind).steps === undefined;
    if (steps === 0 || compares) counts.pairs += pairsOf.get(name) ?? 0;
    else counts.steps += steps;
  }
  return counts;
};
