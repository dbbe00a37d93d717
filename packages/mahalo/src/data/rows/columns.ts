/** Column maps: how the rows of a foreign file become rows of ours, declared in a recipe, without code. */
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { type Candidate, type CandidatePair, pairsOf, takes, toScore } from "./candidates.ts";
import { isPath, parsePath, pick } from "./field-path.ts";
import { checkMessages, type Message, rawMessagesSchema } from "./messages.ts";
import { RowProblem } from "./problems.ts";
import { rowReaders } from "./readers/registry.ts";
import { promptMessages } from "./rows.ts";
import { compileStep, stepSchema } from "./transforms.ts";

const path = z
  .string()
  .refine(isPath, { error: "is not a path into a row; write it as field, field.inner or field[0]" })
  .describe("Path into the row: field, field.inner, field[0].");
const steps = z.array(stepSchema).default([]).describe("Steps that the value goes through, in order.");
const fallback = z.unknown().optional().describe("Value if the field is missing.");

/** A path in braces inside a template, or a doubled brace. */
const templatePart = /(\{\{|\}\}|\{[^{}]*\})/;

const isTemplate = (text: string): boolean =>
  text
    .split(templatePart)
    .every((part) =>
      /^\{.*\}$/s.test(part)
        ? isPath(part.slice(1, -1).trim())
        : part === "{{" || part === "}}" || !/[{}]/.test(part),
    );

/** How one field is made: a path, or a path, template or constant with steps. */
export const fieldSchema = z
  .union([
    path,
    z.strictObject({ field: path, default: fallback, steps }),
    z.strictObject({
      template: z
        .string()
        .refine(isTemplate, { error: "has a brace without a path; a brace itself is written {{ or }}" })
        .describe("Text with {path} in it; {{ and }} are the braces themselves."),
      steps,
    }),
    z.strictObject({ constant: z.unknown().describe("The same value for every row."), steps }),
  ])
  .meta({ id: "RowField", description: "How a field is made from a row: a path, a template or a constant." });

/** Pairs out of a row that holds several candidate responses. */
export const pairsSchema = z.strictObject({
  candidates: z
    .union([path, z.array(z.union([path, z.strictObject({ text: fieldSchema, score: path })])).min(2)])
    .describe(
      "Path of a list or map of candidates, or a list of each candidate's path, or of its text and score.",
    ),
  text: fieldSchema.default("text").describe("Where a candidate has its text."),
  score: path.default("score").describe("Where a candidate has its score: a number, or true for correct."),
  take: z
    .enum(takes)
    .default("extremes")
    .describe(
      "extremes: best against worst; highest: best against every candidate of a lower score; all: every candidate against every candidate of a lower score.",
    ),
  minMargin: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Smallest difference between scores that makes a pair."),
});

/**
 * A column map. It names every column it uses; columns of the file that it does not name are not read.
 */
export const columnsSchema = z.strictObject({
  objective: fieldSchema.optional(),
  system: fieldSchema.optional().describe("System message put before the conversation."),
  prompt: fieldSchema.optional(),
  chosen: fieldSchema.optional(),
  rejected: fieldSchema.optional(),
  completion: fieldSchema.optional(),
  response: fieldSchema.optional(),
  messages: fieldSchema.optional(),
  completions: fieldSchema.optional().describe("Texts of the steps of a response, a list."),
  labels: fieldSchema.optional().describe("A label for each step: numbers, true or false, null for none."),
  tools: fieldSchema.optional().describe("Functions that may be called, for the chat template."),
  answer: fieldSchema.optional().describe("What a judge compares a generated response with."),
  reader: rowReaders
    .schema()
    .optional()
    .describe("Code that makes whole rows of a known layout; columns beside it replace their fields."),
  pairs: pairsSchema.optional().describe("Makes chosen and rejected from several candidates."),
  turns: z
    .enum(["last", "every"])
    .optional()
    .describe(
      "Of messages, the last assistant turn is the response (default), or every turn gives a separate row.",
    ),
});

/** A column map as a recipe writes it. */
export type Columns = z.input<typeof columnsSchema>;

/** Rows in our form, still unchecked; or none, and why, for a row that is fine but gives nothing. */
export type Mapped = { rows: Record<string, unknown>[]; skipped?: string };

type Field = z.output<typeof fieldSchema>;
type Getter = (row: unknown) => unknown;

/**
 * Compiles a column map to a function of one row.
 *
 * The function throws RowProblem where the row does not fit the map (`unmapped-field`, `bad-transcript`,
 * `unknown-role`, or what a reader throws).
 *
 * @throws MahaloError E_COLUMNS for a map of which a part would do nothing
 *
 * @example columnMapper({ prompt: "question", response: "answer" })({ question: "1 + 1?", answer: "2" })
 * // { rows: [{ prompt: "1 + 1?", response: "2" }] }
 */
export const columnMapper = (columns: Columns): ((row: unknown) => Mapped) => {
  const { reader: readerName, pairs, turns, system, ...fields } = columnsSchema.parse(columns);
  const reader = readerName === undefined ? undefined : rowReaders.get(readerName);
  if (reader !== undefined && (pairs ?? turns) !== undefined) {
    throw new MahaloError(
      "E_COLUMNS",
      `columns: ${pairs === undefined ? "turns" : "pairs"}: the reader ${readerName} makes whole rows`,
      { hint: "leave out the format (or reader), or the keys beside it" },
    );
  }
  const getters = Object.entries(fields).flatMap(([name, field]): [string, Getter][] =>
    field === undefined ? [] : [[name, named(name, getter(field))]],
  );
  const systemGetter = system === undefined ? undefined : named("system", getter(system));
  const pairing = pairs === undefined ? undefined : pairer(pairs);
  return (row) => {
    const mapped = Object.fromEntries(getters.map(([name, get]) => [name, get(row)]));
    const content = systemGetter?.(row);
    const complete = (fields: Record<string, unknown>): Record<string, unknown> =>
      systemGetter === undefined ? fields : withSystem(fields, content);
    if (reader !== undefined) {
      const rows = reader.read(row);
      return rows.length === 0
        ? { rows: [], skipped: reader.none }
        : { rows: rows.map((fields) => complete({ ...fields, ...mapped })) };
    }
    const whole = complete(mapped);
    if (pairing !== undefined) {
      const pairs = pairing(row);
      return pairs.length === 0
        ? { rows: [], skipped: "no two candidates differ enough in score" }
        : { rows: pairs.map((pair) => ({ ...whole, ...pair })) };
    }
    if (turns === "every") return everyTurn(whole);
    return { rows: [whole] };
  };
};

/** Adds the column's name to a row problem's text. */
const named =
  (name: string, get: Getter): Getter =>
  (row) => {
    try {
      return get(row);
    } catch (error) {
      if (!(error instanceof RowProblem)) throw error;
      throw new RowProblem(error.reason, `column ${name}: ${error.message}`);
    }
  };

const getter = (field: Field): Getter => {
  if (typeof field === "string") {
    const where = parsePath(field);
    return (row) => pick(row, where);
  }
  const transforms = field.steps.map(compileStep);
  const source = sourceGetter(field);
  return (row) => transforms.reduce((value, transform) => transform(value), source(row));
};

const sourceGetter = (field: Exclude<Field, string>): Getter => {
  if ("template" in field) return template(field.template);
  if ("constant" in field) return () => field.constant;
  const where = parsePath(field.field);
  if (field.default === undefined) return (row) => pick(row, where);
  return (row) => {
    try {
      return pick(row, where);
    } catch (error) {
      if (error instanceof RowProblem) return field.default;
      throw error;
    }
  };
};

/** A text with `{path}` in it as a function of a row. */
const template = (source: string): Getter => {
  const parts = source.split(templatePart).map((part): string | Getter => {
    if (part === "{{" || part === "}}") return part.slice(1);
    if (!part.startsWith("{")) return part;
    const where = parsePath(part.slice(1, -1).trim());
    return (row) => {
      const value = pick(row, where);
      if (typeof value === "object") {
        throw new RowProblem(
          "unmapped-field",
          `${part}: a template takes text or numbers, not a list or object`,
        );
      }
      return value;
    };
  });
  return (row) => parts.map((part) => (typeof part === "string" ? part : String(part(row)))).join("");
};

const asMessages = (value: unknown): Message[] | undefined => {
  const result = rawMessagesSchema.safeParse(value);
  return result.success ? checkMessages(result.data, "messages") : undefined;
};

/** Puts a system message before the conversation, wherever the row holds it. */
const withSystem = (row: Record<string, unknown>, content: unknown): Record<string, unknown> => {
  const before = (conversation: unknown): unknown => {
    const turns = typeof conversation === "string" ? promptMessages(conversation) : asMessages(conversation);
    return turns === undefined ? conversation : [{ role: "system", content }, ...turns];
  };
  const names =
    row.prompt !== undefined
      ? ["prompt"]
      : row.messages !== undefined
        ? ["messages"]
        : ["chosen", "rejected"];
  return {
    ...row,
    ...Object.fromEntries(names.flatMap((name) => (name in row ? [[name, before(row[name])]] : []))),
  };
};

/** One row for each assistant turn that has something before it to answer. */
const everyTurn = (row: Record<string, unknown>): Mapped => {
  const turns = asMessages(row.messages);
  if (turns === undefined)
    throw new RowProblem("unmapped-field", "column messages: turns: every needs messages");
  const rows = turns.flatMap(({ role }, index) =>
    role === "assistant" && index > 0 ? [{ ...row, messages: turns.slice(0, index + 1) }] : [],
  );
  return rows.length === 0 ? { rows, skipped: "no assistant turn answers anything" } : { rows };
};

const pairer = (options: z.output<typeof pairsSchema>): ((row: unknown) => CandidatePair[]) => {
  const read = candidateReader(options);
  return (row) => pairsOf(read(row), options);
};

const candidateReader = (options: z.output<typeof pairsSchema>): ((row: unknown) => Candidate[]) => {
  const readerOf = (text: Field, score: string): ((candidate: unknown) => Candidate) => {
    const textOf = named("pairs.text", getter(text));
    const scoreOf = named("pairs.score", getter(score));
    return (candidate) => ({ text: textOf(candidate), score: toScore(scoreOf(candidate)) });
  };
  const inside = readerOf(options.text, options.score);
  if (typeof options.candidates === "string") {
    const listOf = named("pairs.candidates", getter(options.candidates));
    return (row) => {
      const list = listOf(row);
      if (typeof list !== "object" || list === null) {
        throw new RowProblem("unmapped-field", "column pairs.candidates: is not a list or map of candidates");
      }
      return Object.values(list).map(inside);
    };
  }
  const readers = options.candidates.map((candidate): ((row: unknown) => Candidate) => {
    if (typeof candidate !== "string") return readerOf(candidate.text, candidate.score);
    const of = named("pairs.candidates", getter(candidate));
    return (row) => inside(of(row));
  });
  return (row) => readers.map((reader) => reader(row));
};
