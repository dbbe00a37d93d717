/** Checks a value of a file against a schema; what does not fit is that row's problem, in one sentence. */
import type { z } from "zod";
import { describeIssues } from "../core/issues.ts";
import { RowProblem } from "./problems.ts";

/**
 * The value as its schema reads it.
 *
 * @throws RowProblem `invalid-row` that names the first field that does not fit
 */
export const checkRow = <T>(value: unknown, schema: z.ZodType<T>): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [first = "the row has the wrong form"] = describeIssues(result.error.issues, schema, value, () => "");
  throw new RowProblem("invalid-row", first.replace(/^: /, ""));
};
