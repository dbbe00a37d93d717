/** The data stage: rows of every objective, read, limited, split by prompt, and turned into tokens. */
import { formatNumberOf } from "../../core/format.ts";
import { Problems } from "../../data/rows/problems.ts";
import type { ExampleRow } from "../../data/rows/rows.ts";
import {
  type EncodedExample,
  type EncodeOptions,
  encodeWatched,
  exampleEncoding,
  pairEncoding,
} from "../../data/tokens/encode.ts";
import { openModelSource } from "../../model/folder/source.ts";
import type { SourceFiles } from "../engine/source-files.ts";
import type { Stage } from "../engine/stage.ts";
import { pairSource, sourceList } from "../schema/objective.ts";
import type { ObjectiveOptions, Recipe, RowSource } from "../schema/schema.ts";
import type { StepSource } from "../schema/source.ts";
import { exampleSources, type SftOptions } from "../schema/training.ts";
import { modelFiles, rowSourceFiles, sourceInputs } from "../sources.ts";
import { collectRows, type Sides, type TextRows } from "./collect-rows.ts";
import { type DataSummary, type Dataset, writeDataset } from "./data-files.ts";

export { collectRows } from "./collect-rows.ts";

const mean = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;

type Encoding = Pick<EncodeOptions, "tokenizer" | "template">;

/** Rows of each kind that are counted; of some of them tokens are known. */
type Counted = Record<
  "train" | "heldOut" | "examples" | "heldOutExamples" | "open" | "dialogues" | "steps" | "heldOutSteps",
  readonly { objective: string }[]
>;

const summarize = (
  counted: Counted,
  encoded: Pick<Dataset, "train" | "examples" | "prompts">,
  objectives: readonly string[],
  problems: Problems,
  cut: Pick<DataSummary, "cutPrompts" | "cutResponses">,
): DataSummary => {
  const { seen, bad, reasons, skipped, notes } = problems.toJSON();
  const of = (name: string): DataSummary["objectives"][string] => {
    const train = encoded.train.filter(({ objective }) => objective === name);
    const count = (rows: readonly { objective: string }[]): number =>
      rows.filter(({ objective }) => objective === name).length;
    const open = count(counted.open) + count(counted.dialogues);
    const steps = { train: count(counted.steps), heldOut: count(counted.heldOutSteps) };
    return {
      train: count(counted.train),
      heldOut: count(counted.heldOut),
      ...(open === 0 ? {} : { toRollOut: open }),
      ...(steps.train + steps.heldOut === 0 ? {} : { steps }),
      meanTokens: {
        prompt: mean(train.map(({ prompt }) => prompt.length)),
        response: mean(train.flatMap(({ chosen, rejected }) => [chosen.length, rejected.length])),
      },
    };
  };
  return {
    objectives: Object.fromEntries(objectives.map((name) => [name, of(name)])),
    examples: {
      train: counted.examples.length,
      heldOut: counted.heldOutExamples.length,
      meanTokens: {
        prompt: mean(encoded.examples.map(({ prompt }) => prompt.length)),
        response: mean(encoded.examples.map(({ response }) => response.length)),
      },
    },
    prompts: encoded.prompts.length,
    ...cut,
    rows: { seen, bad, reasons, skipped, notes },
  };
};

type Cut = Pick<DataSummary, "cutPrompts" | "cutResponses">;

/** Rows as text into rows as tokens. */
const encodeRows = async (
  rows: TextRows,
  recipe: Recipe,
  encoding: Encoding,
  problems: Problems,
  signal: AbortSignal | undefined,
): Promise<{ dataset: Dataset; cut: Cut }> => {
  const { maxPromptTokens, maxTokens, chat } = recipe.data;
  const { tokenizer, template } = encoding;
  const options: EncodeOptions = { tokenizer, template, chat, maxPromptTokens, maxTokens };
  const pairs = (side: "train" | "heldOut") =>
    encodeWatched(pairEncoding(rows[side], options, problems), { total: rows[side].length, signal });
  const encoded = [await pairs("train"), await pairs("heldOut")] as const;
  // A row whose pair was refused was counted then; its chosen side is not counted again.
  const quiet = new Problems({ maxBadShare: 1 });
  const examples = async (all: readonly ExampleRow[], counted: Problems): Promise<EncodedExample[]> =>
    (await encodeWatched(exampleEncoding(all, options, counted), { total: all.length, signal })).rows;
  const learnt = async (side: "train" | "heldOut"): Promise<EncodedExample[]> => [
    ...(await examples(rows.examples[side], problems)),
    ...(await examples(rows.chosen[side], quiet)),
  ];
  const dataset: Dataset = {
    train: encoded[0].rows,
    heldOut: encoded[1].rows,
    examples: await learnt("train"),
    heldOutExamples: await learnt("heldOut"),
    prompts: rows.prompts,
    open: rows.open.train,
    heldOutOpen: rows.open.heldOut,
    dialogues: rows.dialogues.train,
    heldOutDialogues: rows.dialogues.heldOut,
    steps: rows.steps.train,
    heldOutSteps: rows.steps.heldOut,
  };
  const cut = {
    cutPrompts: encoded[0].cutPrompts + encoded[1].cutPrompts,
    cutResponses: encoded[0].cutResponses + encoded[1].cutResponses,
  };
  return { dataset, cut };
};

/**
 * Turns the rows of a recipe into the dataset that training and evaluation read.
 *
 * @throws MahaloError E_DATA_TOO_MANY_BAD, E_INTERRUPTED once `signal` is aborted, and what {@link collectRows} throws.
 */
export const buildDataset = async (
  recipe: Recipe,
  encoding: Encoding,
  signal?: AbortSignal,
): Promise<{ dataset: Dataset; summary: DataSummary; problems: Problems }> => {
  const problems = new Problems({ maxBadShare: recipe.data.maxBadShare });
  const rows = await collectRows(recipe, problems, signal);
  const { dataset, cut } = await encodeRows(rows, recipe, encoding, problems, signal);
  const summary = summarize(dataset, dataset, Object.keys(recipe.objectives), problems, cut);
  return { dataset, summary, problems };
};

/** Rows of each objective that are made into tokens to know how long they are. */
const sampledRows = 100;

/** Some rows of each objective, evenly out of all of them. */
const someOf = <Row extends { objective: string }>(rows: readonly Row[]): Row[] =>
  [...new Set(rows.map(({ objective }) => objective))].flatMap((name) => {
    const same = rows.filter(({ objective }) => objective === name);
    return same.filter((_, index) => index % Math.ceil(same.length / sampledRows) === 0);
  });

/**
 * The summary that {@link buildDataset} would come to, nearly: all rows are read and split, but only some of them made
 * into tokens, so that rows which have none are counted, too.
 *
 * @throws MahaloError as {@link buildDataset}
 */
export const sampleSummary = async (
  recipe: Recipe,
  encoding: Encoding,
  signal?: AbortSignal,
): Promise<DataSummary> => {
  const problems = new Problems({ maxBadShare: recipe.data.maxBadShare });
  const rows = await collectRows(recipe, problems, signal);
  const of = <Row extends { objective: string }>({ train }: Sides<Row>): Sides<Row> => ({
    train: someOf(train),
    heldOut: [],
  });
  const some = { ...rows, ...of(rows), examples: of(rows.examples), chosen: of(rows.chosen) };
  const { dataset, cut } = await encodeRows(some, recipe, encoding, problems, signal);
  const counted: Counted = {
    ...dataset,
    train: rows.train,
    heldOut: rows.heldOut,
    examples: [...rows.examples.train, ...rows.chosen.train],
    heldOutExamples: [...rows.examples.heldOut, ...rows.chosen.heldOut],
  };
  return summarize(counted, dataset, Object.keys(recipe.objectives), problems, cut);
};

type Sources = RowSource | readonly RowSource[];

/** The files of one source, or of each of a list. */
const sourcesFiles = (label: string, sources: Sources | undefined): SourceFiles[] =>
  sources !== undefined && "length" in sources
    ? sources.map((source, index) => rowSourceFiles(`${label}[${index}]`, source))
    : sourceList(sources).map((source) => rowSourceFiles(label, source));

/** The files of labelled steps, held-out ones apart. */
const stepFiles = (name: string, { steps }: ObjectiveOptions): SourceFiles[] =>
  sourceList(steps).flatMap((source, index) => {
    const label = `objectives.${name}.steps${Array.isArray(steps) ? `[${index}]` : ""}`;
    return [
      rowSourceFiles(label, source),
      ...(source.heldOut === undefined ? [] : [rowSourceFiles(`${label}.heldOut`, source.heldOut)]),
    ];
  });

const stepInputs = (source: StepSource) => ({
  ...sourceInputs(source),
  separator: source.separator,
  above: source.above,
  ...(source.heldOut === undefined ? {} : { heldOut: sourceInputs(source.heldOut) }),
});

const exampleInputs = (from: SftOptions["from"]) => {
  const inputs = (entry: "chosen" | RowSource) => (entry === "chosen" ? entry : sourceInputs(entry));
  return Array.isArray(from) ? from.map(inputs) : inputs(from);
};

/** Reads or generates rows, splits and encodes them. */
export const dataStage: Stage<Recipe> = {
  name: "data",
  version: "3",
  dependencies: [],
  inputs: ({ data, objectives, sft }) => ({
    data,
    objectives: Object.fromEntries(
      Object.entries(objectives).map(([name, objective]) => {
        const { generator, prompts, dialogues, steps } = objective;
        const pairs = pairSource(objective);
        const open = { prompts, dialogues };
        return [
          name,
          {
            ...(generator === undefined ? {} : { generator: JSON.stringify(generator) }),
            ...(pairs === undefined ? {} : sourceInputs(pairs)),
            ...Object.fromEntries(
              Object.entries(open).flatMap(([kind, sources]) =>
                sources === undefined ? [] : [[kind, sourceList(sources).map(sourceInputs)]],
              ),
            ),
            ...(steps === undefined ? {} : { steps: sourceList(steps).map(stepInputs) }),
          },
        ];
      }),
    ),
    examples: sft === false ? "none" : exampleInputs(sft.from),
  }),
  sources: ({ model, revision, objectives, sft }) => [
    modelFiles(model, revision),
    ...Object.entries(objectives).flatMap(([name, objective]) => {
      const pairs = pairSource(objective);
      return [
        ...(pairs === undefined ? [] : [rowSourceFiles(`objectives.${name}.pairs`, pairs)]),
        ...sourcesFiles(`objectives.${name}.prompts`, objective.prompts),
        ...sourcesFiles(`objectives.${name}.dialogues`, objective.dialogues),
        ...stepFiles(name, objective),
      ];
    }),
    ...exampleSources(sft).map(({ label, source }) => rowSourceFiles(label, source)),
  ],
  run: async ({ recipe, folder, signal, log }) => {
    const { tokenizer, template } = await openModelSource(
      recipe.model,
      recipe.revision === undefined ? {} : { revision: recipe.revision },
    );
    const { dataset, summary, problems } = await buildDataset(recipe, { tokenizer, template }, signal);
    await writeDataset(folder, dataset, summary);
    if (problems.summary() !== "") log(problems.summary());
    for (const [name, counts] of Object.entries(summary.objectives)) {
      const { train, heldOut, toRollOut = 0, steps } = counts;
      if (train > 0 || (toRollOut === 0 && steps === undefined))
        log(`data: ${name}: ${formatNumberOf(train, "pair")} to train on, ${heldOut} held out`);
      if (toRollOut > 0) log(`data: ${name}: ${formatNumberOf(toRollOut, "row")} to roll out`);
      if (steps !== undefined)
        log(
          `data: ${name}: ${formatNumberOf(steps.train, "row")} of labelled steps to train on, ${steps.heldOut} held out`,
        );
    }
  },
};
