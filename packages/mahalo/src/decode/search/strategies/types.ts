/** What a search strategy is: how widely the tree grows, what survives a step, and which answer is taken. */
import { firstBest } from "../../../core/votes.ts";
import type { SearchNode } from "../tree.ts";

/** The sizes that a strategy is made of. */
export type Sizes = { candidates: number; width: number };

/** A tree's shape: subtrees that do not compete, candidates of a branch, branches that survive in each subtree. */
export type Shape = {
  /** Subtrees, each with its own survivors. */
  groups: number;
  /** Candidates of each subtree's first step. */
  first: number;
  /** Candidates of each living branch after that. */
  expand: number;
  /** Branches that each subtree keeps after a step. */
  keep: number;
};

/** A finished path with its value, and what it votes for. */
export type Finished = {
  node: SearchNode;
  /** Weighed score under the user's weights; 0 without a scorer. */
  total: number;
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
  /** Whether its steps need scores, whatever chooses among the answers. */
  readonly scored: boolean;
  /** The rule that takes an answer, unless the request names another. */
  readonly choice: Choice;
  shape(sizes: Sizes): Shape;
};

/** The path with the highest total; the first of equals. */
export const bestTotal = (finished: readonly Finished[]): Finished | undefined =>
  firstBest(finished, ({ total }) => total);

/** The answer with the highest total. */
export const best: Choice = { votes: false, scored: true, choose: bestTotal };
