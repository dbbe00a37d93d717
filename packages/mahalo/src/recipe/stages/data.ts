/** The data stage: rows of every objective, read, limited, split by prompt, and turned into tokens. */
import { canonicalJson } from "../../core/json.ts";
import { stream } from "../../core/random.ts";
import { type EncodeOptions, encodeExamples, encodePairs } from "../../data/encode.ts";
import { generateRows } from "../../data/generators/registry.ts";
import type { Generated } from "../../data/generators/types.ts";
import { loadExamples, loadPreferences, locateRows } from "../../data/load.ts";
import { Problems } from "../../data/problems.ts";
import {
  chosenExample,
  type ExampleRow,
  type PreferenceRow,
  promptKey,
  promptMessages,
} from "../../data/rows.ts";
import { limitRows, splitRows } from "../../data/split.ts";
import { openModelSource } from "../../model/source.ts";
import type { ObjectiveOptions, Recipe } from "../schema.ts";
import { modelFiles, rowSourceFiles, sourceInputs } from "../sources.ts";
import type { Stage } from "../stages.ts";
import { type DataSummary, type Dataset, type HeldOutPrompt, writeDataset } from "./data-files.ts";

/** Rows of all objectives in text form, on both sides of the split. */
export type TextRows = { train: PreferenceRow[]; heldOut: PreferenceRow[]; prompts: HeldOutPrompt[] };

type Named = [name: string, objective: ObjectiveOptions];

/** Rows of the objectives that read files. The split is made over all of them at once, since they may share prompts. */
const fromFiles = async (
  recipe: Recipe,
  objectives: readonly Named[],
  problems: Problems,
): Promise<TextRows> => {
  const rows: PreferenceRow[] = [];
  for (const [name, { pairs }] of objectives) {
    if (pairs === undefined) continue;
    const all = await loadPreferences(await locateRows(pairs), name, { problems });
    rows.push(...limitRows(all, pairs.limit, recipe.seed));
  }
  const { train, heldOut } = splitRows(rows, { seed: recipe.seed, ...recipe.data });
  const prompts = heldOut.map(({ objective, prompt, origin }) => ({
    objective,
    prompt: promptMessages(prompt),
    origin,
  }));
  return { train, heldOut, prompts };
};

/** Rows of the objectives that name generators; objectives with equal options share one set of problems. */
const fromGenerators = (recipe: Recipe, objectives: readonly Named[]): TextRows => {
  const made = new Map<string, Generated>();
  const rows: TextRows = { train: [], heldOut: [], prompts: [] };
  for (const [objective, { generator }] of objectives) {
    if (generator === undefined) continue;
    const { name, ...options } = generator;
    const key = canonicalJson(generator);
    const known = made.get(key);
    const generated = known ?? generateRows(name, options, recipe.seed, `objectives.${objective}.generator`);
    made.set(key, generated);
    const own = <Row extends { objective: string }>(all: readonly Row[]): Row[] =>
      all.filter((row) => row.objective === objective);
    rows.train.push(...own(generated.train));
    rows.heldOut.push(...own(generated.heldOut).slice(0, recipe.data.maxHeldOut));
    if (known === undefined)
      rows.prompts.push(...generated.problems.map((problem) => ({ objective, ...problem })));
  }
  return rows;
};

/** Held-out prompts without repetition, in an order drawn by the seed so that any first n are a fair sample. */
const drawPrompts = (prompts: readonly HeldOutPrompt[], seed: number): HeldOutPrompt[] => {
  const distinct = new Map(prompts.map((one) => [promptKey(one.prompt), one]));
  return stream(seed, "data", "prompts").shuffle([...distinct.values()]);
};

/**
 * Reads or generates the rows of all objectives and splits them.
 *
 * @throws MahaloError what loading, generating and splitting throw.
 */
export const collectRows = async (recipe: Recipe, problems: Problems): Promise<TextRows> => {
  const objectives = Object.entries(recipe.objectives);
  const files = await fromFiles(recipe, objectives, problems);
  const generated = fromGenerators(recipe, objectives);
  return {
    train: [...files.train, ...generated.train],
    heldOut: [...files.heldOut, ...generated.heldOut],
    prompts: drawPrompts([...files.prompts, ...generated.prompts], recipe.seed),
  };
};

/** Chosen responses as examples; one that several pairs share is learnt once. */
const chosenOf = (rows: readonly PreferenceRow[]): ExampleRow[] => [
  ...new Map(
    rows.map((row) => [JSON.stringify([promptKey(row.prompt), row.chosen]), chosenExample(row)]),
  ).values(),
];

const collectExamples = async (
  recipe: Recipe,
  rows: TextRows,
  problems: Problems,
): Promise<{ train: ExampleRow[]; heldOut: ExampleRow[] }> => {
  if (recipe.sft === false) return { train: [], heldOut: [] };
  if (recipe.sft.from === "chosen") return { train: chosenOf(rows.train), heldOut: chosenOf(rows.heldOut) };
  const all = limitRows(
    await loadExamples(await locateRows(recipe.sft.from), "sft", { problems }),
    recipe.sft.from.limit,
    recipe.seed,
  );
  return splitRows(all, { seed: recipe.seed, ...recipe.data });
};

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

const summarize = (
  dataset: Dataset,
  objectives: readonly string[],
  problems: Problems,
  cut: Pick<DataSummary, "cutPrompts" | "cutResponses">,
): DataSummary => {
  const { seen, bad, reasons, skipped } = problems.toJSON();
  const of = (name: string): DataSummary["objectives"][string] => {
    const train = dataset.train.filter(({ objective }) => objective === name);
    return {
      train: train.length,
      heldOut: dataset.heldOut.filter(({ objective }) => objective === name).length,
      meanTokens: {
        prompt: mean(train.map(({ prompt }) => prompt.length)),
        response: mean(train.flatMap(({ chosen, rejected }) => [chosen.length, rejected.length])),
      },
    };
  };
  return {
    objectives: Object.fromEntries(objectives.map((name) => [name, of(name)])),
    examples: {
      train: dataset.examples.length,
      heldOut: dataset.heldOutExamples.length,
      meanTokens: {
        prompt: mean(dataset.examples.map(({ prompt }) => prompt.length)),
        response: mean(dataset.examples.map(({ response }) => response.length)),
      },
    },
    prompts: dataset.prompts.length,
    ...cut,
    rows: { seen, bad, reasons, skipped },
  };
};

/**
 * Turns the rows of a recipe into the dataset that training and evaluation read.
 *
 * @throws MahaloError E_DATA_TOO_MANY_BAD and what {@link collectRows} throws.
 */
export const buildDataset = async (
  recipe: Recipe,
  encoding: Pick<EncodeOptions, "codec" | "template">,
): Promise<{ dataset: Dataset; summary: DataSummary; problems: Problems }> => {
  const { maxBadShare, maxPromptTokens, maxTokens, chat } = recipe.data;
  const problems = new Problems({ maxBadShare });
  const rows = await collectRows(recipe, problems);
  const examples = await collectExamples(recipe, rows, problems);
  const options: EncodeOptions = { ...encoding, chat, maxPromptTokens, maxTokens };
  const encoded = [
    encodePairs(rows.train, options, problems),
    encodePairs(rows.heldOut, options, problems),
  ] as const;
  // A row whose pair was refused was counted then; its chosen side is not counted again.
  const quiet =
    recipe.sft !== false && recipe.sft.from === "chosen" ? new Problems({ maxBadShare: 1 }) : problems;
  const learnt = [
    encodeExamples(examples.train, options, quiet),
    encodeExamples(examples.heldOut, options, quiet),
  ] as const;
  const dataset: Dataset = {
    train: encoded[0].rows,
    heldOut: encoded[1].rows,
    examples: learnt[0].rows,
    heldOutExamples: learnt[1].rows,
    prompts: rows.prompts,
  };
  const cut = {
    cutPrompts: encoded[0].cutPrompts + encoded[1].cutPrompts,
    cutResponses: encoded[0].cutResponses + encoded[1].cutResponses,
  };
  return { dataset, summary: summarize(dataset, Object.keys(recipe.objectives), problems, cut), problems };
};

/** Reads or generates rows, splits and encodes them. */
export const dataStage: Stage<Recipe> = {
  name: "data",
  version: "1",
  dependencies: [],
  inputs: ({ data, objectives, sft }) => ({
    data,
    objectives: Object.fromEntries(
      Object.entries(objectives).map(([name, { pairs, generator }]) => [
        name,
        pairs === undefined ? { generator: JSON.stringify(generator) } : sourceInputs(pairs),
      ]),
    ),
    examples: sft === false ? "none" : sft.from === "chosen" ? "chosen" : sourceInputs(sft.from),
  }),
  sources: ({ model, revision, objectives, sft }) => [
    modelFiles(model, revision),
    ...Object.entries(objectives).flatMap(([name, { pairs }]) =>
      pairs === undefined ? [] : [rowSourceFiles(`objectives.${name}.pairs`, pairs)],
    ),
    ...(sft === false || sft.from === "chosen" ? [] : [rowSourceFiles("sft.from", sft.from)]),
  ],
  run: async ({ recipe, folder, log }) => {
    const { codec, template } = await openModelSource(
      recipe.model,
      recipe.revision === undefined ? {} : { revision: recipe.revision },
    );
    const { dataset, summary, problems } = await buildDataset(recipe, { codec, template });
    await writeDataset(folder, dataset, summary);
    if (problems.count > 0) log(problems.summary());
    for (const [name, counts] of Object.entries(summary.objectives)) {
      log(`data: ${name}: ${counts.train} pairs to train on, ${counts.heldOut} held out`);
    }
  },
};
