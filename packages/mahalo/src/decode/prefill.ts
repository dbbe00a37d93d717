/** How prompts join the rows that decode together: each begins with what is there of it already. */
import { isDeepStrictEqual } from "node:util";
import type { Tensor } from "@mahalo/torch";
import { element, need, zip } from "../core/need.ts";
import type { Mix } from "../model/heads/heads.ts";
import type { Decoder } from "./decoder.ts";
import { commonLength } from "./kv/prefix-cache.ts";

// Shapes: N prompts, D hidden.

/** Shorter common beginnings are read again: packed together, short prompts cost less than a copied page. */
const leastShared = 16;

/**
 * Prompts that were read in one pass, by their place in the list: their rows, how many of each one's tokens the row held
 * without reading them, and the hidden state behind each, [N, D].
 */
export type Prefilled = {
  prompts: readonly number[];
  rows: readonly number[];
  cached: readonly number[];
  hidden_ND: Tensor;
};

/** Where a prompt begins: with what rows hold, or with the first `length` tokens of an earlier prompt of the list. */
export type PrefillSource = { prompt: number; length: number } | undefined;

/** Tokens of a prompt, and the normalised mix that reads them. */
export type PrefillPrompt = { ids: readonly number[]; mix?: Mix | undefined };

/**
 * For each prompt the earlier one that it begins like, where that is worth more than what rows hold of it.
 *
 * A prompt that others go on from goes on from rows itself, so that two passes are enough.
 *
 * @param held how much of a prompt rows hold
 */
export const planPrefill = (
  prompts: readonly PrefillPrompt[],
  held: (prompt: PrefillPrompt) => number,
): PrefillSource[] => {
  const first: number[] = [];
  return prompts.map((prompt, index) => {
    let best: { prompt: number; length: number } | undefined;
    for (const earlier of first) {
      const other = element(prompts, earlier, "prompt");
      if (!isDeepStrictEqual(other.mix, prompt.mix)) continue;
      const length = Math.min(commonLength(prompt.ids, other.ids), prompt.ids.length - 1);
      if (length >= leastShared && length > (best?.length ?? 0)) best = { prompt: earlier, length };
    }
    if (best !== undefined && best.length > held(prompt)) return best;
    first.push(index);
    return undefined;
  });
};

/**
 * Puts prompts into new rows of a decoder.
 *
 * @param share begin with what rows hold already, cached prefixes included; without it every prompt is read whole
 * @returns in one or two passes every prompt's row and hidden state, which belong to the caller's scope
 */
export const prefill = (
  decoder: Decoder,
  prompts: readonly PrefillPrompt[],
  { share }: { share: boolean },
): Prefilled[] => {
  const held = ({ ids, mix }: PrefillPrompt): number => {
    const length = decoder.matchPrefix(ids, mix);
    return length >= leastShared ? length : 0;
  };
  const plan = share ? planPrefill(prompts, held) : prompts.map((): PrefillSource => undefined);
  const rows: number[] = [];
  const pass = (members: readonly number[]): Prefilled[] => {
    if (members.length === 0) return [];
    const opened = members.map((index) => element(rows, index, "the row of prompt"));
    const cached = opened.map((row) => decoder.ids(row).length);
    const extensions = zip(members, zip(opened, cached)).map(([index, [row, length]]) => {
      const { ids, mix } = element(prompts, index, "prompt");
      return { row, ids: ids.slice(length), mix };
    });
    return [{ prompts: members, rows: opened, cached, hidden_ND: decoder.extend(extensions) }];
  };
  const members = (later: boolean): number[] =>
    plan.flatMap((source, index) => ((source !== undefined) === later ? [index] : []));
  const open = (index: number): void => {
    const prompt = element(prompts, index, "prompt");
    rows[index] = share && held(prompt) > 0 ? decoder.addPrefixRow(prompt.ids, prompt.mix) : decoder.addRow();
  };
  const first = members(false);
  const second = members(true);
  for (const index of first) open(index);
  const read = pass(first);
  for (const index of second) {
    const { prompt, length } = need(plan[index], "what a prompt begins with");
    rows[index] = decoder.fork(element(rows, prompt, "the row of prompt"), length);
  }
  return [...read, ...pass(second)];
};
