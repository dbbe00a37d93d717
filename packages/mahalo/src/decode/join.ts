/** How prompts join the rows that decode together: each takes over what a row there already holds of it. */
import type { Tensor } from "@mahalo/torch";
import type { Decoder } from "./decoder.ts";

// Shapes: N prompts, D hidden.

/** Shorter common beginnings are read again: packed together, short prompts cost less than copies. */
const leastShared = 16;

/** Where a prompt's row begins: with tokens that a row holds, or that an earlier prompt of the list will hold. */
type Source = { row: number; length: number } | { prompt: number; length: number } | undefined;

/** What becomes of each prompt: its row (a new one where undefined) and where the row begins. */
export type JoinPlan = { row: number | undefined; source: Source }[];

/** Length of the common beginning of two lists. */
const commonLength = (a: readonly number[], b: readonly number[]): number => {
  const most = Math.min(a.length, b.length);
  for (let at = 0; at < most; at++) if (a[at] !== b[at]) return at;
  return most;
};

/** Tokens to begin with, and the number of the row or prompt that has them. */
type Choice = { ids: readonly number[]; at: number };

/** The longest common beginning, a free row's before another's; the prompt's last token is always read. */
const longest = (
  prompt: readonly number[],
  choices: readonly Choice[],
): { at: number; length: number } | undefined => {
  let best: { at: number; length: number } | undefined;
  for (const { ids, at } of choices) {
    const length = Math.min(commonLength(prompt, ids), prompt.length - 1);
    if (length >= leastShared && length > (best?.length ?? 0)) best = { at, length };
  }
  return best;
};

/**
 * Plans how prompts join rows.
 *
 * No row that a prompt copies from is another's to overwrite: free rows go first to the prompts that begin like them,
 * and what is left of them is like nobody.
 *
 * @param held tokens of every row that is there
 * @param free rows whose tokens nobody needs any more
 */
export const planJoin = (
  prompts: readonly (readonly number[])[],
  held: readonly (readonly number[])[],
  free: readonly number[],
): JoinPlan => {
  const isFree = new Set(free);
  const rows = held.map((ids, row) => ({ ids, at: row }));
  rows.sort((a, b) => Number(isFree.has(b.at)) - Number(isFree.has(a.at)));
  const read: Choice[] = [];
  const sources = prompts.map((prompt, index): Source => {
    const fromRow = longest(prompt, rows);
    const fromPrompt = longest(prompt, read);
    if (fromPrompt !== undefined && fromPrompt.length > (fromRow?.length ?? 0)) {
      return { prompt: fromPrompt.at, length: fromPrompt.length };
    }
    read.push({ ids: prompt, at: index });
    return fromRow === undefined ? undefined : { row: fromRow.at, length: fromRow.length };
  });
  const taken = sources.map((source) => {
    const own = source !== undefined && "row" in source && isFree.delete(source.row);
    return own ? source.row : undefined;
  });
  const left = free.filter((row) => isFree.has(row));
  return sources.map((source, index) => ({ row: taken[index] ?? left.shift(), source }));
};

/** Prompts that were read in one pass, by their place in the list, and the hidden state behind each: [N, D]. */
export type Joined = { prompts: readonly number[]; rows: readonly number[]; hidden_ND: Tensor };

const pass = (
  decoder: Decoder,
  prompts: readonly (readonly number[])[],
  rows: readonly number[],
  members: readonly number[],
): Joined[] => {
  if (members.length === 0) return [];
  const own = members.map((index) => rows[index] ?? 0);
  const extensions = members.map((index, at) => {
    const row = own[at] ?? 0;
    return { row, ids: (prompts[index] ?? []).slice(decoder.ids(row).length) };
  });
  return [{ prompts: members, rows: own, hidden_ND: decoder.extend(extensions) }];
};

/**
 * Puts prompts into a decoder's rows.
 *
 * @param free rows that may be taken over; those that no prompt takes stay as they are
 * @param share begin with what rows hold already; without it every prompt is read whole
 * @returns in one or two passes every prompt's row and hidden state, which belong to the caller's scope
 */
export const joinRows = (
  decoder: Decoder,
  prompts: readonly (readonly number[])[],
  free: readonly number[],
  { share }: { share: boolean },
): Joined[] => {
  const plan = share
    ? planJoin(
        prompts,
        Array.from({ length: decoder.rows }, (_, row) => decoder.ids(row)),
        free,
      )
    : prompts.map((_, index): JoinPlan[number] => ({ row: free[index], source: undefined }));
  const rows = plan.map(({ row }) => row ?? decoder.addRow());
  // Copies first: what they copy from may be cut back by the prompt that takes it over.
  for (const [index, { source }] of plan.entries()) {
    const row = rows[index] ?? 0;
    if (source === undefined) decoder.rollback(row, 0);
    else if ("row" in source && source.row !== row) decoder.copy(source.row, row, source.length);
  }
  for (const [index, { source }] of plan.entries()) {
    const row = rows[index] ?? 0;
    if (source !== undefined && "row" in source && source.row === row) decoder.rollback(row, source.length);
  }
  const members = (later: boolean): number[] =>
    plan.flatMap(({ source }, index) =>
      (source !== undefined && "prompt" in source) === later ? [index] : [],
    );
  const first = pass(decoder, prompts, rows, members(false));
  for (const [index, { source }] of plan.entries()) {
    if (source !== undefined && "prompt" in source) {
      decoder.copy(rows[source.prompt] ?? 0, rows[index] ?? 0, source.length);
    }
  }
  return [...first, ...pass(decoder, prompts, rows, members(true))];
};
