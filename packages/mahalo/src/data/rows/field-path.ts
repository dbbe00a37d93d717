/** Paths into a row, `a.b[0]`, as column maps write them. */
import { MahaloError } from "@mahalo/torch";
import { type FieldPath, formatPath, valueAt } from "../../core/issues.ts";
import { lastOf, need } from "../../core/need.ts";
import { didYouMean } from "../../core/suggest.ts";
import { RowProblem } from "./problems.ts";

const part = /(?:^|(?<=.)\.)([^.[\]"]+)|\[(\d+)\]|\["([^"]+)"\]/y;

/**
 * Reads a path: names joined by dots, `[0]` for an element of a list, `["a.b"]` for a name with dots or brackets.
 *
 * @throws MahaloError E_COLUMNS_PATH if the text is no such path
 */
export const parsePath = (text: string): FieldPath => {
  const path: (string | number)[] = [];
  part.lastIndex = 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) break;
    path.push(match[2] === undefined ? need(match[1] ?? match[3], "a name in a path") : Number(match[2]));
    if (part.lastIndex === text.length) return path;
  }
  throw new MahaloError("E_COLUMNS_PATH", `"${text}" is not a path into a row`, {
    hint: 'write it as field, field.inner, field[0] or ["field.with.dots"]',
  });
};

/** Whether a text is a path, for schemas. */
export const isPath = (text: string): boolean => {
  try {
    parsePath(text);
    return true;
  } catch (error) {
    if (error instanceof MahaloError) return false;
    throw error;
  }
};

/**
 * The value at a path of a row; null counts as missing.
 *
 * @throws RowProblem `unmapped-field` if there is none; names the nearest field that the row has
 */
export const pick = (row: unknown, path: FieldPath): unknown => {
  const value = valueAt(row, path);
  if (value !== undefined && value !== null) return value;
  const depth = path.findIndex((_, index) => valueAt(row, path.slice(0, index + 1)) === undefined);
  const reached = depth === -1 ? path : path.slice(0, depth + 1);
  const parent = valueAt(row, reached.slice(0, -1));
  const names = typeof parent === "object" && parent !== null ? Object.keys(parent) : [];
  const hint = value === null ? "it is null" : didYouMean(String(lastOf(reached, "part of a path")), names);
  throw new RowProblem("unmapped-field", `${formatPath(path)}: the row has no such field. ${hint}`);
};
