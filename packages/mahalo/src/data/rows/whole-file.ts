/** Files that hold all rows in one object: read where that is plain, else called what they are. */
import { MahaloError } from "@mahalo/torch";
import { element } from "../../core/need.ts";
import type { Origin } from "./problems.ts";

/** One row as it stands in a file, unchecked. */
export type RawRow = { value: unknown; origin: Origin };

/** Fields that are usual around a list of rows. */
const wrappers = new Set(["data", "rows", "examples", "records", "items", "instances", "train"]);

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The rows of an object that is nothing but a wrapper around one list of them. */
const wrapped = (value: Fields): readonly unknown[] | undefined => {
  const lists = Object.entries(value).filter(([, field]) => Array.isArray(field) || isObject(field));
  const [name, rows] = lists.length === 1 ? element(lists, 0) : [];
  if (name === undefined || !wrappers.has(name) || !Array.isArray(rows)) return undefined;
  return rows.length > 0 && rows.every(isObject) ? rows : undefined;
};

/** Whether an object holds a table by columns: maps from row numbers, or lists of one length that are no steps. */
const byColumn = (value: Fields): boolean => {
  const columns = Object.values(value);
  if (columns.length < 2 || "completions" in value) return false;
  const numbered = columns.every((column) => isObject(column) && "0" in column);
  const lengths = new Set(columns.map((column) => (Array.isArray(column) ? column.length : -1)));
  const lists = lengths.size === 1 && !lengths.has(-1) && !lengths.has(0);
  const text = columns.every((column) => Array.isArray(column) && column.every((cell) => !isObject(cell)));
  return numbered || (lists && text);
};

/**
 * Rows as they come, but of a file whose only value is an object around them, `{"data": [...]}`, the rows inside, which
 * count from 1.
 *
 * @throws MahaloError E_DATA_FORMAT for a file with a single object that is a table by columns
 */
export async function* wholeFileRows(rows: AsyncGenerator<RawRow>, file: string): AsyncGenerator<RawRow> {
  const first = await rows.next();
  if (first.done) return;
  const second = await rows.next();
  const { value } = first.value;
  if (second.done && isObject(value)) {
    const inside = wrapped(value);
    if (inside !== undefined) {
      yield* inside.map((row, index) => ({ value: row, origin: { file, line: index + 1 } }));
      return;
    }
    if (byColumn(value)) {
      throw new MahaloError("E_DATA_FORMAT", `${file}: is one object with a table by columns, not by rows`, {
        hint: 'write one row per line, for example with pandas: to_json("rows.jsonl", orient="records", lines=True)',
      });
    }
  }
  yield first.value;
  if (second.done) return;
  yield second.value;
  yield* rows;
}
