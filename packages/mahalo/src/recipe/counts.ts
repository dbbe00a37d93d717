/** How many rows a recipe's stages work on: as they were counted, or bounded by limits before they can be read. */
import { lookUp, need } from "../core/need.ts";
import { generateRows } from "../data/generators/registry.ts";
import { headKinds } from "../model/reward/head-kinds/registry.ts";
import type { RewardCounts } from "./estimate.ts";
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
import type { DataCounts } from "./work.ts";

/** What is counted of rows: by the data stage, by reading them now, or by limits. */
export type RowCounts = Pick<DataSummary, "objectives" | "examples">;

/** Counts of the data, and of what each objective has to train on and to roll out. */
export type Counted = DataCounts & {
  pairsOf: ReadonlyMap<string, number>;
  heldOutOf: ReadonlyMap<string, number>;
  /** Labelled responses of files. */
  stepsOf: ReadonlyMap<string, number>;
  /** Prompts or dialogues that are rolled out. */
  toRollOut: ReadonlyMap<string, number>;
};

/** Rows of sources, at most. */
const limitOf = (sources: readonly RowSource[]): number =>
  sources.reduce((sum, { limit = Number.NaN }) => sum + limit, 0);

/** Tokens of a row, at most. */
const longestTokens = ({ data }: Recipe): { prompt: number; response: number } => {
  const prompt = Math.min(data.maxPromptTokens, data.maxTokens / 2);
  return { prompt, response: data.maxTokens - prompt };
};

/** Upper bounds out of limits and generators; NaN for what a file without a limit holds, and all that rests on it. */
export const boundedRows = (recipe: Recipe): RowCounts => {
  const { data, seed, sft } = recipe;
  const meanTokens = longestTokens(recipe);
  const sides = (train: number) => ({ train, heldOut: Math.min(train * data.heldOut, data.maxHeldOut) });
  const objectives = Object.entries(recipe.objectives).map(([name, options]) => {
    const { generator, prompts, dialogues, steps } = options;
    const generated = (): number => {
      const { name: kind, ...rest } = generator ?? { name: "" };
      const { train } = generateRows(kind, rest, seed, `objectives.${name}.generator`);
      return train.filter(({ objective }) => objective === name).length;
    };
    const pairs = generator === undefined ? limitOf(sourceList(pairSource(options))) : generated();
    const toRollOut = limitOf(sourceList(prompts ?? dialogues));
    return [
      name,
      { ...sides(pairs), toRollOut, steps: sides(limitOf(sourceList(steps))), meanTokens },
    ] as const;
  });
  const chosen = learnsChosen(sft) ? objectives.reduce((sum, [, { train }]) => sum + train, 0) : 0;
  const examples = chosen + limitOf(exampleSources(sft).map(({ source }) => source));
  return { objectives: Object.fromEntries(objectives), examples: { ...sides(examples), meanTokens } };
};

/** Counts behind all costs; of pairs that are still to be made, the most there can be. */
export const countsOf = (recipe: Recipe, { objectives, examples }: RowCounts): Counted => {
  const toRollOut = new Map(
    rolledOut(recipe.objectives).map((name) => {
      // Rows to roll out are named only where there are any.
      const { toRollOut: rows = 0 } = need(objectives[name], "an objective's counts");
      return [name, rows];
    }),
  );
  const all = Object.entries(objectives).map(([name, { train, heldOut, meanTokens }]) => {
    const made = madePairs(need(recipe.objectives[name], "an objective"));
    if (made === undefined) return { name, train, heldOut, meanTokens };
    const from = need(rolloutsOf(recipe.objectives, name), "rollouts to make pairs of");
    // Of answers that are not there yet no more is known than how long they may be.
    const { maxNewTokens } = rolloutBlock(need(recipe.objectives[from], "an objective"));
    const tokens = { prompt: examples.meanTokens.prompt, response: Math.min(maxNewTokens, 128) };
    return { name, train: train + made.perPrompt * lookUp(toRollOut, from), heldOut, meanTokens: tokens };
  });
  const pairs = all.reduce((sum, { train }) => sum + train, 0);
  const weighted = (part: "prompt" | "response"): number =>
    all.reduce((sum, { train, meanTokens }) => sum + train * meanTokens[part], 0) / pairs;
  const exampleTokens = examples.train === 0 ? longestTokens(recipe) : examples.meanTokens;
  const tokens = pairs === 0 ? exampleTokens : { prompt: weighted("prompt"), response: weighted("response") };
  return {
    pairs,
    objectives: all.filter(({ train }) => train > 0).length,
    examples: examples.train,
    exampleTokens,
    heldOutExamples: examples.heldOut,
    heldOutPairs: all.reduce((sum, { heldOut }) => sum + heldOut, 0),
    promptTokens: tokens.prompt,
    responseTokens: tokens.response,
    pairsOf: new Map(all.map(({ name, train }) => [name, train])),
    heldOutOf: new Map(all.map(({ name, heldOut }) => [name, heldOut])),
    stepsOf: new Map(Object.entries(objectives).map(([name, { steps }]) => [name, steps?.train ?? 0])),
    toRollOut,
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
 * or there are no steps.
 */
export const rewardCounts = (recipe: Recipe, { pairsOf, stepsOf, toRollOut }: Counted): RewardCounts => {
  const { reward, objectives } = recipe;
  const counts = { steps: 0, pairs: 0 };
  if (reward === false) return counts;
  for (const [name, objective] of Object.entries(objectives)) {
    const from = rolloutsOf(objectives, name) ?? "";
    const source = objectives[from];
    const made =
      objective.relabel === undefined || source === undefined
        ? 0
        : lookUp(toRollOut, from) * labelledRows(source, objective.relabel);
    const steps = lookUp(stepsOf, name) + made;
    const kind = headKindOf({ ...recipe, reward }, reward, name);
    const compares =
      reward.unified !== "prompt" && kind !== "by labels" && headKinds.get(kind).steps === undefined;
    if (steps === 0 || compares) counts.pairs += lookUp(pairsOf, name);
    else counts.steps += steps;
  }
  return counts;
};
