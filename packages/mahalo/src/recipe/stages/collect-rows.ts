/** The rows of a recipe as text: read or generated, limited, and split by prompt over all that reads them. */
import { append } from "../../core/append.ts";
import { canonicalJson } from "../../core/json.ts";
import { rng } from "../../core/random.ts";
import { generateRows } from "../../data/generators/registry.ts";
import type { Generated } from "../../data/generators/types.ts";
import {
  type LoadOptions,
  loadDialogues,
  loadExamples,
  loadOpenRows,
  loadPreferences,
  loadSteps,
  locateRows,
  type RowFile,
} from "../../data/rows/load.ts";
import type { Message } from "../../data/rows/messages.ts";
import type { DialogueRow, OpenRow } from "../../data/rows/open-rows.ts";
import type { Problems } from "../../data/rows/problems.ts";
import {
  chosenExample,
  type ExampleRow,
  type PreferenceRow,
  type Prompt,
  promptKey,
  promptMessages,
} from "../../data/rows/rows.ts";
import { limitRows, splitRows } from "../../data/rows/split.ts";
import type { StepRow } from "../../data/rows/step-rows.ts";
import { pairSource, sourceList } from "../schema/objective.ts";
import type { ObjectiveOptions, Recipe, RowSource } from "../schema/schema.ts";
import type { StepSource } from "../schema/source.ts";
import { exampleSources, learnsChosen } from "../schema/training.ts";
import type { HeldOutPrompt } from "./data-files.ts";

/** Rows on both sides of the split. */
export type Sides<Row> = { train: Row[]; heldOut: Row[] };

/** Rows of all objectives in text form. */
export type TextRows = Sides<PreferenceRow> & {
  /** Fine-tuning examples out of files. */
  examples: Sides<ExampleRow>;
  /** Chosen responses that are fine-tuning examples; none where the recipe does not learn them. */
  chosen: Sides<ExampleRow>;
  /** Prompts to roll out. */
  open: Sides<OpenRow>;
  dialogues: Sides<DialogueRow>;
  /** Responses with labelled steps. */
  steps: Sides<StepRow>;
  /** Held-out prompts of all objectives. */
  prompts: HeldOutPrompt[];
};

type Named = [name: string, objective: ObjectiveOptions];

/** What the split looks at of a row of any kind, and the row itself. */
type Part = { objective: string; prompt: Prompt; heldOut?: boolean } & (
  | { pair: PreferenceRow }
  | { open: OpenRow }
  | { dialogue: DialogueRow }
  | { step: StepRow }
  | { example: ExampleRow }
);

type Load<Row> = (file: RowFile, objective: string, options: LoadOptions) => Promise<Row[]>;

/** Rows of several sources together, each kept to its own limit; rows of another name in their file get the recipe's. */
const loadAll = async <Row extends { objective: string }>(
  sources: readonly RowSource[],
  objective: string,
  load: Load<Row>,
  { seed }: Recipe,
  options: LoadOptions,
): Promise<Row[]> => {
  const rows: Row[] = [];
  for (const source of sources) {
    const all = await load(await locateRows(source), source.objective ?? objective, options);
    const named = source.objective === undefined ? all : all.map((row) => ({ ...row, objective }));
    append(rows, limitRows(named, source.limit, seed));
  }
  return rows;
};

/** Rows without those whose prompt and response were there before. */
const distinct = (rows: readonly OpenRow[]): OpenRow[] => [
  ...new Map(
    rows.map((row): [string, OpenRow] => [JSON.stringify([promptKey(row.prompt), row.response]), row]),
  ).values(),
];

/** A conversation is known by all up to the user's first turn, so that its later turns are on the same side. */
const opening = (messages: readonly Message[]): Prompt => {
  const user = messages.findIndex(({ role }) => role === "user");
  return messages.slice(0, user < 0 ? messages.length : user + 1);
};

const openingOf = (prompt: Prompt): Prompt => (typeof prompt === "string" ? prompt : opening(prompt));

/** Labelled steps of an objective; those of a file of held-out rows say so. */
const stepParts = async (
  name: string,
  sources: readonly StepSource[],
  recipe: Recipe,
  options: LoadOptions,
): Promise<Part[]> => {
  const parts: Part[] = [];
  for (const source of sources) {
    const { separator, above, heldOut } = source;
    const load: Load<StepRow> = (file, objective, given) =>
      loadSteps(file, objective, { ...given, separator, above });
    for (const [side, held] of [[heldOut, true] as const, [source, false] as const]) {
      const rows = await loadAll(sourceList(side), name, load, recipe, options);
      // Steps have a held-out share of their own beside the objective's pairs; no objective can have this name.
      const objective = `${name}:steps`;
      append(
        parts,
        rows.map((step) => ({ objective, prompt: openingOf(step.prompt), heldOut: held, step })),
      );
    }
  }
  return parts;
};

/** The fine-tuning examples of a recipe that names files of them. */
const exampleRows = (recipe: Recipe, options: LoadOptions): Promise<ExampleRow[]> => {
  const sources = exampleSources(recipe.sft).map(({ source }) => source);
  return loadAll(sources, "sft", loadExamples, recipe, options);
};

/** All rows out of files. */
const partsOf = async (
  recipe: Recipe,
  objectives: readonly Named[],
  options: LoadOptions,
): Promise<Part[]> => {
  const parts: Part[] = [];
  for (const [name, objective] of objectives) {
    const pairs = pairSource(objective);
    if (pairs !== undefined) {
      const rows = await loadAll([pairs], name, loadPreferences, recipe, options);
      append(
        parts,
        rows.map((pair) => ({ objective: name, prompt: pair.prompt, pair })),
      );
    }
    const open = await loadAll(sourceList(objective.prompts), name, loadOpenRows, recipe, options);
    append(
      parts,
      distinct(open).map((row) => ({ objective: name, prompt: openingOf(row.prompt), open: row })),
    );
    const talks = await loadAll(sourceList(objective.dialogues), name, loadDialogues, recipe, options);
    append(
      parts,
      talks.map((row) => ({ objective: name, prompt: opening(row.messages), dialogue: row })),
    );
    append(parts, await stepParts(name, sourceList(objective.steps), recipe, options));
  }
  const examples = await exampleRows(recipe, options);
  // A name that no objective can have.
  append(
    parts,
    examples.map((row) => ({ objective: "sft:", prompt: openingOf(row.prompt), example: row })),
  );
  return parts;
};

const sidesOf = <Row>({ train, heldOut }: Sides<Part>, pick: (part: Part) => Row | undefined): Sides<Row> => {
  const of = (parts: readonly Part[]): Row[] => parts.flatMap((part) => pick(part) ?? []);
  return { train: of(train), heldOut: of(heldOut) };
};

/** Labelled steps; where they have a file of held-out rows, it alone is what is held out. */
const stepSides = (split: Sides<Part>, { objectives }: Recipe): Sides<StepRow> => {
  const apart = new Set(
    Object.entries(objectives).flatMap(([name, { steps }]) =>
      sourceList(steps).some(({ heldOut }) => heldOut !== undefined) ? [name] : [],
    ),
  );
  const train = split.train.flatMap((part) => ("step" in part ? [part.step] : []));
  const heldOut = split.heldOut.flatMap((part) =>
    "step" in part && (part.heldOut === true || !apart.has(part.step.objective)) ? [part.step] : [],
  );
  return { train, heldOut };
};

const heldOutPrompts = (heldOut: readonly Part[]): HeldOutPrompt[] =>
  heldOut.flatMap((part): HeldOutPrompt[] => {
    if (!("pair" in part || "open" in part)) return [];
    const row = "pair" in part ? part.pair : part.open;
    const { objective, prompt, origin } = row;
    const answer = "open" in part ? part.open.answer : undefined;
    return [
      { objective, prompt: promptMessages(prompt), ...(answer === undefined ? {} : { answer }), origin },
    ];
  });

/** Rows of the objectives that name generators; objectives with equal options share one set of problems. */
const fromGenerators = (
  recipe: Recipe,
  objectives: readonly Named[],
): Sides<PreferenceRow> & { prompts: HeldOutPrompt[] } => {
  const generatedBy = new Map<string, Generated>();
  const rows: Sides<PreferenceRow> & { prompts: HeldOutPrompt[] } = { train: [], heldOut: [], prompts: [] };
  for (const [objective, { generator }] of objectives) {
    if (generator === undefined) continue;
    const { name, ...options } = generator;
    const key = canonicalJson(generator);
    const earlier = generatedBy.get(key);
    const generated =
      earlier ?? generateRows(name, options, recipe.seed, `objectives.${objective}.generator`);
    generatedBy.set(key, generated);
    const ofObjective = <Row extends { objective: string }>(all: readonly Row[]): Row[] =>
      all.filter((row) => row.objective === objective);
    append(rows.train, ofObjective(generated.train));
    append(rows.heldOut, ofObjective(generated.heldOut).slice(0, recipe.data.maxHeldOut));
    if (earlier === undefined)
      append(
        rows.prompts,
        generated.problems.map((problem) => ({ objective, ...problem })),
      );
  }
  return rows;
};

/**
 * Held-out prompts without repetition, in an order drawn by the seed so that any first n are a fair sample. Of equal
 * prompts one that has an answer to compare with is taken.
 */
const drawPrompts = (prompts: readonly HeldOutPrompt[], seed: number): HeldOutPrompt[] => {
  const distinctPrompts = new Map<string, HeldOutPrompt>();
  for (const prompt of prompts) {
    const key = promptKey(prompt.prompt);
    if (prompt.answer !== undefined || distinctPrompts.get(key)?.answer === undefined)
      distinctPrompts.set(key, prompt);
  }
  return rng(seed, "data", "prompts").shuffle([...distinctPrompts.values()]);
};

/** Chosen responses as examples; one that several pairs share is learnt once. */
const chosenOf = (rows: readonly PreferenceRow[]): ExampleRow[] => [
  ...new Map(
    rows.map((row) => [JSON.stringify([promptKey(row.prompt), row.chosen]), chosenExample(row)]),
  ).values(),
];

/**
 * Reads or generates the rows of all objectives and the fine-tuning examples, and splits them.
 *
 * The split is made over all files at once, since they may share prompts: a held-out prompt is in no training row of
 * any objective, in no example and in no prompt that is rolled out to train on.
 *
 * @throws MahaloError what loading, generating and splitting throw.
 */
export const collectRows = async (
  recipe: Recipe,
  problems: Problems,
  signal?: AbortSignal,
): Promise<TextRows> => {
  const objectives = Object.entries(recipe.objectives);
  const split = splitRows(await partsOf(recipe, objectives, { problems, signal }), {
    seed: recipe.seed,
    ...recipe.data,
  });
  const files = sidesOf(split, (part) => ("pair" in part ? part.pair : undefined));
  const generated = fromGenerators(recipe, objectives);
  const pairs = {
    train: [...files.train, ...generated.train],
    heldOut: [...files.heldOut, ...generated.heldOut],
  };
  const examples = sidesOf(split, (part) => ("example" in part ? part.example : undefined));
  const chosen = learnsChosen(recipe.sft);
  return {
    ...pairs,
    examples,
    chosen: {
      train: chosen ? chosenOf(pairs.train) : [],
      heldOut: chosen ? chosenOf(pairs.heldOut) : [],
    },
    open: sidesOf(split, (part) => ("open" in part ? part.open : undefined)),
    dialogues: sidesOf(split, (part) => ("dialogue" in part ? part.dialogue : undefined)),
    steps: stepSides(split, recipe),
    prompts: drawPrompts([...heldOutPrompts(split.heldOut), ...generated.prompts], recipe.seed),
  };
};
