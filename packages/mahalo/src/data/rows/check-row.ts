/** Checks a value of a file against a schema, null being missing; what does not fit is that row's problem, in one sentence. */
import type { z } from "zod";
import { describeIssues } from "../../core/issues.ts";
import { RowProblem } from "./problems.ts";

/** A row without its fields that are null: Parquet gives every row every column, and what a row lacks is null there. */
function withoutNulls(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  const filled = entries.filter(([, field]) => field !== null);
  return filled.length === entries.length ? value : Object.fromEntries(filled);
}

/**
 * The value as its schema reads it; a field of the row that is null counts as missing.
 *
 * @throws RowProblem `invalid-row` that names the first field that does not fit
 */
export const checkRow = <T>(value: unknown, schema: z.ZodType<T>): T => {
  const row = withoutNulls(value);
  const result = schema.safeParse(row);
  if (result.success) return result.data;
  const [first = "the row has the wrong form"] = describeIssues(result.error.issues, schema, row, () => "");
  throw new RowProblem("invalid-row", first.replace(/^: /, ""));
};
