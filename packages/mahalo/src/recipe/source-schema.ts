/** Where rows come from: a file on disk or on the hub, and how its fields become the fields of a row. */
import { z } from "zod";
import { columnsSchema } from "../data/columns.ts";
import { formatSchema } from "../data/formats.ts";

/** A source of rows. */
export const sourceSchema = z
  .strictObject({
    path: z.string().min(1).optional().describe("A file; relative to the recipe's folder."),
    hub: z
      .string()
      .regex(/^[\w.-]+\/[\w.-]+$/, "must be a hub id: owner/name")
      .optional()
      .describe("A hub id: owner/name."),
    file: z.string().min(1).optional().describe("The file inside the hub repository."),
    revision: z.string().min(1).optional().describe("Branch, tag or commit on the hub. Default: main."),
    format: formatSchema
      .optional()
      .describe("Named row format, for example transcript-pair. Default: the row forms of TRL."),
    columns: columnsSchema.optional().describe("Column map for a file with other fields."),
    limit: z.int().positive().optional().describe("Use at most this many rows, drawn by the seed."),
  })
  .superRefine((source, context) => {
    const fail = (message: string, field?: string): void => {
      context.addIssue({ code: "custom", message, path: field === undefined ? [] : [field] });
    };
    if (source.path === undefined && source.hub === undefined)
      return fail("needs a path, or a hub id and a file");
    if (source.path !== undefined && source.hub !== undefined)
      return fail("has both path and hub; keep one of them");
    if (source.hub !== undefined && source.file === undefined)
      return fail("is missing; name the file inside the hub repository", "file");
    if (source.path !== undefined && source.file !== undefined)
      fail("belongs to hub; a path names its file itself", "file");
    if (source.path !== undefined && source.revision !== undefined)
      fail("belongs to hub; a path has no revisions", "revision");
  });

/** A source of rows, or several whose rows are taken together. */
export const sourcesSchema = z.union([sourceSchema, z.array(sourceSchema).min(1)]);

/** A source of rows, as a checked recipe holds it. */
export type RowSource = z.output<typeof sourceSchema>;
