/** Boxed answers: `\boxed{...}` and `\fbox{...}` with all braces closed. */

/** A whole box: what it holds, where its command begins, and where the text goes on. */
export type Box = { content: string; start: number; end: number };

/** Boxes that never end, after which no more are looked for. */
const maxOpen = 50;

/**
 * All whole boxes of a text, in order; of nested boxes the outer ones. Braces behind a backslash are signs of the answer.
 *
 * Each box is read once and the search goes on behind it, so the work is linear but for boxes that never end.
 */
export function* boxes(text: string): Generator<Box> {
  const command = /\\(?:boxed|fbox)\s*\{/g;
  let open = 0;
  for (let found = command.exec(text); found !== null && open < maxOpen; found = command.exec(text)) {
    const from = command.lastIndex;
    let depth = 1;
    let at = from;
    for (; at < text.length && depth > 0; at++) {
      const sign = text[at];
      if (sign === "\\") at++;
      else if (sign === "{") depth++;
      else if (sign === "}") depth--;
    }
    if (depth > 0) open++;
    else {
      command.lastIndex = at;
      yield { content: text.slice(from, at - 1), start: found.index, end: at };
    }
  }
}

/** Whether a text holds a whole box. */
export const hasBoxed = (text: string): boolean => boxes(text).next().done === false;

/** The content of the last whole box. */
export const lastBoxed = (text: string): string | undefined => [...boxes(text)].at(-1)?.content;
