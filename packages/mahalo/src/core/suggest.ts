/** "Did you mean ...?": the known name nearest to a mistyped one. */
import { formatCount } from "./format.ts";
import { element } from "./need.ts";

/**
 * Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
 *
 * The optimal-string-alignment distance (Damerau 1964): a swap counts once, since typing errors are often swaps.
 */
export const editDistance = (a: string, b: string): number => {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        element(last, j) + 1,
        element(row, j - 1) + 1,
        element(last, j - 1) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, element(beforeLast, j - 2) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return element(last, b.length);
};

/**
 * The known name nearest to `name`, or undefined when none is near.
 *
 * Near means at most a third of the longer name's letters changed, rounded: none of one letter, one of two to four, two of
 * five to seven. Letter case and the marks `-`, `_`, `.` and space count for nothing. Ties go to the first.
 *
 * @example nearest("engagment", ["accuracy", "engagement"]) // "engagement"
 */
export const nearest = (name: string, names: Iterable<string>): string | undefined => {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_. ]/g, "");
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of names) {
    const other = plain(candidate);
    const longer = Math.max(wanted.length, other.length);
    const allowed = Math.round(longer / 3);
    // Each letter more is an edit, so that names of very different lengths need no comparing.
    if (Math.abs(wanted.length - other.length) > allowed) continue;
    const distance = editDistance(wanted, other);
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
};

/** Names in a row, at most the first 12 of them, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, 12).join(", ");
  return `${shown}${names.length > 12 ? `, and ${formatCount(names.length - 12)} more` : ""}`;
}

/**
 * The hint for an unknown name: the nearest known one, else all of them (at most 12).
 *
 * @example didYouMean("sigmiod", ["sigmoid", "ipo"]) // 'Did you mean "sigmoid"?'
 */
export const didYouMean = (name: string, candidates: Iterable<string>): string => {
  const names = [...candidates];
  const near = nearest(name, names);
  if (near !== undefined) return `Did you mean "${near}"?`;
  if (names.length === 0) return "None are known here.";
  return `Known: ${listNames(names)}.`;
};
