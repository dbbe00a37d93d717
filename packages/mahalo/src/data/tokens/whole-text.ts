/** Finds text that UTF-8 cannot hold: JSON may spell half of a surrogate pair, which no tokenizer reads as written. */
import { isWellFormed } from "@mahalo/torch";
import { type FieldPath, formatPath } from "../../core/issues.ts";
import { need } from "../../core/need.ts";
import { RowProblem } from "../rows/problems.ts";

/** A value and the way to it; a link for each level, so that depth costs nothing. */
type Place = { value: unknown; key?: string | number; inside?: Place };

/** Where a value holds such a text, or undefined; nested values are walked without recursion. */
function brokenText(root: unknown): { place: Place; text: string } | undefined {
  const waiting: Place[] = [{ value: root }];
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const { value } = place;
    if (typeof value === "string") {
      if (!isWellFormed(value)) return { place, text: value };
    } else if (typeof value === "object" && value !== null) {
      for (const [name, field] of Object.entries(value).toReversed()) {
        const key = Array.isArray(value) ? Number(name) : name;
        if (!isWellFormed(name)) return { place, text: name };
        waiting.push({ value: field, key, inside: place });
      }
    }
  }
  return undefined;
}

function pathOf({ key, inside }: Place): FieldPath {
  const path: PropertyKey[] = [];
  if (key !== undefined) path.push(key);
  for (let outer = inside; outer?.key !== undefined; outer = outer.inside) path.push(outer.key);
  return path.reverse();
}

/**
 * The row itself, if all its text is whole.
 *
 * @throws RowProblem `broken-text` that names the field with half a character (a lone surrogate such as `\\ud83d`)
 */
export function wholeText<Row>(row: Row): Row {
  const broken = brokenText(row);
  if (broken === undefined) return row;
  const half = need(/\p{Surrogate}/u.exec(broken.text)?.[0], "half a character");
  const code = `\\u${half.charCodeAt(0).toString(16)}`;
  const field = formatPath(pathOf(broken.place));
  throw new RowProblem(
    "broken-text",
    `${field === "" ? "a key" : field}: holds half a character, ${code} without its other half`,
  );
}
