/** What a search strategy is: how widely the tree grows, what survives a step, and which answer is taken. */
import { element } from "../../core/need.ts";
import type { Random } from "../../core/random.ts";
import { firstBest } from "../../core/votes.ts";
import type { SearchNode } from "../tree.ts";

/** The sizes that a strategy is made of. */
export type Sizes = { candidates: number; width: number };

/** A path that competes in its subtree. */
export type Competitor = {
  /** Its last step; with a `finish` it is an answer that has ended. */
  node: SearchNode;
  /** Weighed score under the user's weights, among those it competes with; 0 without a scorer. */
  total: number;
};

/** A finished path with its value, and what it votes for. */
export type Finished = Competitor & {
  /** Paths that vote alike have the same number; undefined for one that states nothing. */
  vote?: number | undefined;
};

/** A rule that takes one of the answers in which a search has ended. */
export type Choice = {
  /** Whether it needs votes. */
  readonly votes: boolean;
  /** Whether it needs scores. */
  readonly scored: boolean;
  /** The answer to take; at least one is given, in the order they were made. */
  choose(finished: readonly Finished[]): Finished | undefined;
};

/** A strategy is one file that exports such a value, and one line in `registry.ts`. */
export type Strategy = {
  /** What it does, in a few words for the reference of settings. */
  readonly summary: string;
  /** Whether its steps need scores, whatever chooses among the answers. */
  readonly scored: boolean;
  /** The rule that takes an answer, unless the request names another. */
  readonly choice: Choice;
  /** Whether one path alone is carried on from every step, so that its text is certain at once. Default: it is not. */
  readonly onePath?: boolean;
  /** Candidates of the first step of each subtree; subtrees do not compete, and answers of all of them are chosen among. */
  begin(sizes: Sizes): readonly number[];
  /**
   * One step of a subtree: how many candidates grow out of each competitor in the next one. With 0 it is let go; an answer
   * that has ended and got more competes on.
   *
   * @param competitors the answers that have ended, then the new candidates; without those whose scores are not finite
   * @param random draws of this step and subtree, for strategies that draw
   */
  step(competitors: readonly Competitor[], sizes: Sizes, random: Random): readonly number[];
};

/** Keeps the paths with the highest totals, of equals the first, and grows as many candidates out of each. */
export const keepBest = (competitors: readonly Competitor[], keep: number, candidates: number): number[] => {
  const total = (index: number): number => element(competitors, index, "competitor").total;
  const order = [...competitors.keys()].sort((a, b) => total(b) - total(a) || a - b);
  const kept = new Set(order.slice(0, keep));
  return competitors.map((_, index) => (kept.has(index) ? candidates : 0));
};

/** The path with the highest total; the first of equals. */
export const bestTotal = (finished: readonly Finished[]): Finished | undefined =>
  firstBest(finished, ({ total }) => total);

/** The answer with the highest total. */
export const best: Choice = { votes: false, scored: true, choose: bestTotal };
