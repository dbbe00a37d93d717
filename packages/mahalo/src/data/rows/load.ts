/** Files into checked rows: reader, column map and row form in one pass, unusable rows counted on the way. */
import { MahaloError } from "@mahalo/torch";
import { checkValue } from "../../core/json.ts";
import { didYouMean, listNames } from "../../core/suggest.ts";
import { type HubOptions, resolveFile } from "../hub/locate.ts";
import { wholeText } from "../tokens/whole-text.ts";
import { columnMapper, columnsSchema } from "./columns.ts";
import { columnsOf, formats } from "./formats.ts";
import { type DialogueRow, type OpenRow, parseDialogue, parseOpenRow } from "./open-rows.ts";
import { type Origin, type ProblemStep, Problems } from "./problems.ts";
import { readRows } from "./read-rows.ts";
import {
  type ExampleRow,
  type PreferenceRow,
  type PromptRow,
  parseExample,
  parsePreference,
  parsePrompt,
} from "./rows.ts";
import { parseStepRow, type StepRow, type StepRowOptions } from "./step-rows.ts";

/** A file of rows on this machine and how to read it. */
export type RowFile = {
  /** Where the file lies. */
  path: string;
  /** How origins and errors call it. Default: its path. */
  name?: string | undefined;
  /** Name of one of {@link formats}. Default: TRL's row forms. */
  format?: string | undefined;
  /** Column map, or the columns that it replaces in the format's; checked against {@link columnsSchema}. */
  columns?: unknown;
};

/** A source of rows as a recipe names it: a path, or a hub id with a file, and how to read it. */
export type RowSource = {
  path?: string | undefined;
  hub?: string | undefined;
  file?: string | undefined;
  revision?: string | undefined;
  format?: string | undefined;
  columns?: unknown;
};

/**
 * Finds, or fetches, the file of a source.
 *
 * @param options passed on to {@link resolveFile}
 * @throws MahaloError E_DATA_SOURCE if the source names no file; what {@link resolveFile} throws
 */
export const locateRows = async (source: RowSource, options: HubOptions = {}): Promise<RowFile> => {
  const { path, hub, file, revision, format, columns } = source;
  if (path !== undefined) return { path: await resolveFile({ path }, options), name: path, format, columns };
  if (hub !== undefined && file !== undefined) {
    const path = await resolveFile({ hub, file, revision }, options);
    return { path, name: `${hub}/${file}`, format, columns };
  }
  throw new MahaloError("E_DATA_SOURCE", "a source of rows needs a path, or a hub id and a file");
};

/** Options of the loaders. */
export type LoadOptions = {
  /** Where unusable rows are kept. Default: a new collector with its default share, checked at the end. */
  problems?: Problems;
  /** Ends the reading. */
  signal?: AbortSignal | undefined;
};

/**
 * Reads the preference rows of a file.
 *
 * A row that names another objective than `objective` is left out and counted as such, so that one mixed file can
 * serve several objectives.
 *
 * @throws MahaloError what the reader throws; E_COLUMNS and E_DATA_FORMAT for a wrong map or format; E_DATA_NO_ROWS if
 *   nothing usable is left; E_DATA_TOO_MANY_BAD if unusable rows pass the share of `problems`; E_INTERRUPTED
 *
 * @example const rows = await loadPreferences({ path: "pairs.jsonl" }, "helpful");
 */
export const loadPreferences = (
  file: RowFile,
  objective: string,
  options: LoadOptions = {},
): Promise<PreferenceRow[]> =>
  load(file, options, (value, origin) => parsePreference(value, origin, objective), objective);

/**
 * Reads the fine-tuning examples of a file; the same conditions as {@link loadPreferences}.
 *
 * @param objective name for the rows; rows that name another are left out
 */
export const loadExamples = (
  file: RowFile,
  objective: string,
  options: LoadOptions = {},
): Promise<ExampleRow[]> =>
  load(file, options, (value, origin) => parseExample(value, origin, objective), objective);

/** Reads the prompts of a file, to generate from; errors as in {@link loadPreferences}. */
export const loadPrompts = (file: RowFile, options: LoadOptions = {}): Promise<PromptRow[]> =>
  load(file, options, parsePrompt);

/**
 * Reads rows to roll out: prompts, with their responses and answers where there are any; the same conditions as
 * {@link loadPreferences}.
 */
export const loadOpenRows = (
  file: RowFile,
  objective: string,
  options: LoadOptions = {},
): Promise<OpenRow[]> =>
  load(file, options, (value, origin) => parseOpenRow(value, origin, objective), objective);

/** Reads whole dialogues; the same conditions as {@link loadPreferences}. */
export const loadDialogues = (
  file: RowFile,
  objective: string,
  options: LoadOptions = {},
): Promise<DialogueRow[]> =>
  load(file, options, (value, origin) => parseDialogue(value, origin, objective), objective);

/** Reads rows of labelled steps; the same conditions as {@link loadPreferences}. */
export const loadSteps = (
  file: RowFile,
  objective: string,
  { separator, above, ...options }: LoadOptions & StepRowOptions = {},
): Promise<StepRow[]> =>
  load(
    file,
    options,
    (value, origin) => parseStepRow(value, origin, objective, { separator, above }),
    objective,
  );

/** Reads rows of a form of the caller's own, whatever their objectives; the same conditions as {@link loadPreferences}. */
export const loadParsed = async <Row>(
  file: RowFile,
  parse: (value: unknown, origin: Origin) => Row,
  options: LoadOptions = {},
): Promise<Row[]> => {
  const rows = await load(file, options, (value, origin) => ({ row: parse(value, origin), origin }));
  return rows.map(({ row }) => row);
};

/** So many bad rows without a good one are no file of rows; each costs memory. */
const hopeless = 100_000;

const load = async <Row extends { objective?: string; origin: Origin }>(
  file: RowFile,
  { problems = new Problems(), signal }: LoadOptions,
  parse: (value: unknown, origin: Origin) => Row,
  objective?: string,
): Promise<Row[]> => {
  const name = file.name ?? file.path;
  const map = mapper(file, name);
  const rows: Row[] = [];
  const others = new Map<string, number>();
  const step = problems.step(name);
  for await (const { value, origin } of readRows(file.path, { name, signal })) {
    const mapped = step.guard(origin, () => map(value));
    if (mapped === undefined) step.see();
    if (mapped?.skipped !== undefined) step.skip(mapped.skipped);
    if (rows.length === 0 && step.bad.length >= hopeless) break;
    for (const candidate of mapped?.rows ?? []) {
      const row = step.guard(origin, () => wholeText(parse(candidate, origin)));
      step.see(row);
      if (row === undefined) continue;
      if (row.objective === objective) rows.push(row);
      else others.set(row.objective ?? "", (others.get(row.objective ?? "") ?? 0) + 1);
    }
  }
  for (const [other, count] of others) step.skip(`their objective is ${other}, not ${objective}`, count);
  step.check();
  if (rows.length === 0) throw noRows(name, step, objective, [...others.keys()]);
  return rows;
};

const mapper = (
  file: RowFile,
  name: string,
): ((value: unknown) => { rows: readonly unknown[]; skipped?: string }) => {
  if (file.format !== undefined && !formats.has(file.format)) {
    throw new MahaloError(
      "E_DATA_FORMAT",
      `${name}: unknown format "${file.format}". ${didYouMean(file.format, formats.names)}`,
    );
  }
  const given =
    file.columns === undefined
      ? undefined
      : checkValue(file.columns, columnsSchema, `${name}: columns`, { code: "E_COLUMNS" });
  const columns = columnsOf({ format: file.format, columns: given });
  return columns === undefined ? (value) => ({ rows: [value] }) : columnMapper(columns);
};

const noRows = (
  name: string,
  step: ProblemStep,
  objective: string | undefined,
  others: readonly string[],
): MahaloError =>
  others.length > 0
    ? new MahaloError(
        "E_DATA_NO_ROWS",
        `${name}: no row is of objective "${objective}"; it has ${listNames(others)}`,
        {
          hint: "say which of them to take, in a recipe with the source's `objective`, or map the objective column to a constant",
        },
      )
    : new MahaloError("E_DATA_NO_ROWS", `${name}: ${nothingOf(step)}`.trim(), {
        hint: "check the file and its column map",
      });

const nothingOf = (step: ProblemStep): string => {
  const summary = step.summary();
  return summary === "" ? "holds no rows" : `no usable row\n${summary}`;
};
