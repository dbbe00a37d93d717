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
  for (let match = command.exec(text); match !== null && open < maxOpen; match = command.exec(text)) {
    const from = command.lastIndex;
    let depth = 1;
    let position = from;
    for (; position < text.length && depth > 0; position++) {
      const sign = text[position];
      if (sign === "\\") position++;
      else if (sign === "{") depth++;
      else if (sign === "}") depth--;
    }
    if (depth > 0) open++;
    else {
      command.lastIndex = position;
      yield { content: text.slice(from, position - 1), start: match.index, end: position };
    }
  }
}

/** Whether a text holds a whole box. */
export const hasBoxed = (text: string): boolean => boxes(text).next().done === false;

/** The content of the last whole box. */
export const lastBoxed = (text: string): string | undefined => [...boxes(text)].at(-1)?.content;
