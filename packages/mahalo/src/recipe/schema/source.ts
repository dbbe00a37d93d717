/** Where rows come from: a file on disk or on the hub, and how its fields become the fields of a row. */
import { z } from "zod";
import { columnsSchema } from "../../data/rows/columns.ts";
import { formats } from "../../data/rows/formats.ts";

const sourceShape = {
  path: z.string().min(1).optional().describe("A file; relative to the recipe's folder."),
  hub: z
    .string()
    .regex(/^[\w.-]+\/[\w.-]+$/, "must be a hub id: owner/name")
    .optional()
    .describe("A hub id: owner/name."),
  file: z.string().min(1).optional().describe("The file inside the hub repository."),
  revision: z.string().min(1).optional().describe("Branch, tag or commit on the hub. Default: main."),
  format: formats
    .schema()
    .optional()
    .describe("Named row format, for example transcript-pair. Default: TRL's row formats."),
  columns: columnsSchema.optional().describe("Column map for a file with other fields."),
  objective: z
    .string()
    .min(1)
    .optional()
    .describe(
      "If the file has several objectives, take the rows of this one. Default: the objective's name in the recipe.",
    ),
  limit: z.int().positive().optional().describe("Use at most this many rows, chosen by the seed."),
};

type Given = { [Key in "path" | "hub" | "file" | "revision"]?: string | undefined };

/** Checks that a source names exactly one file. */
const oneFile = ({ path, hub, file, revision }: Given, context: z.core.$RefinementCtx): void => {
  const fail = (message: string, field?: string): void => {
    context.addIssue({ code: "custom", message, path: field === undefined ? [] : [field] });
  };
  if (path === undefined && hub === undefined) fail("needs a path, or a hub id and a file");
  else if (path !== undefined && hub !== undefined) fail("has both path and hub; keep one of them");
  else if (hub !== undefined && file === undefined)
    fail("is missing; name the file inside the hub repository", "file");
  if (path === undefined || hub !== undefined) return;
  if (file !== undefined) fail("belongs to hub; a path already names its file", "file");
  if (revision !== undefined) fail("belongs to hub; a path has no revisions", "revision");
};

/** A source of rows. */
export const sourceSchema = z.strictObject(sourceShape).superRefine(oneFile);

/** A source of rows, or several whose rows are taken together. */
export const sourcesSchema = z.union([sourceSchema, z.array(sourceSchema).min(1)]);

/** A source of labelled steps. */
export const stepSourceSchema = z
  .strictObject({
    ...sourceShape,
    separator: z
      .string()
      .optional()
      .describe("Text between steps that have no white space at their ends. Default: a line feed."),
    above: z
      .number()
      .optional()
      .describe("Labels above this number become 1, all others 0. Default: labels stay as they are."),
    heldOut: sourceSchema
      .optional()
      .describe("The held-out rows, in a separate file. Default: a share of these, as data.heldOut says."),
  })
  .superRefine(oneFile);

/** A source of labelled steps, or several whose rows are taken together. */
export const stepSourcesSchema = z.union([stepSourceSchema, z.array(stepSourceSchema).min(1)]);

/** A source of labelled steps, as a checked recipe holds it. */
export type StepSource = z.output<typeof stepSourceSchema>;

/** A source of rows, as a checked recipe holds it. */
export type RowSource = z.output<typeof sourceSchema>;

const isList = <T>(given: T | readonly T[]): given is readonly T[] => Array.isArray(given);

/** One, or several, as a list. */
export const listOf = <T>(given: T | readonly T[]): readonly T[] => (isList(given) ? given : [given]);
