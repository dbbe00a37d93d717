/** Preference pairs out of several responses to one prompt, each with a score. */
import { RowProblem } from "./problems.ts";

/** A response and how good it is. */
export type Candidate = { text: unknown; score: number };

/** Two responses, the first one better. */
export type CandidatePair = { chosen: unknown; rejected: unknown };

/**
 * Which candidates make pairs: `extremes` the best with the worst, `highest` the best with every one of a lower score,
 * `all` every candidate with every one of a lower score. Of equal scores the first in the file is the best.
 */
export const takes = ["extremes", "highest", "all"] as const;

/** Options of {@link pairsOf}. */
export type CandidatePairOptions = {
  take: (typeof takes)[number];
  /** Smallest difference between scores that makes a pair. */
  minMargin?: number;
};

/** Pairs of candidates, the best chosen ones first; none where no two differ enough in score. */
export const pairsOf = (
  candidates: readonly Candidate[],
  { take, minMargin = 0 }: CandidatePairOptions,
): CandidatePair[] => {
  const sorted = candidates.toSorted((a, b) => b.score - a.score);
  const considered =
    take === "extremes" && sorted.length > 1 ? [...sorted.slice(0, 1), ...sorted.slice(-1)] : sorted;
  return considered.flatMap((better, index) =>
    take === "highest" && index > 0
      ? []
      : considered.slice(index + 1).flatMap((worse): CandidatePair[] => {
          const margin = better.score - worse.score;
          return margin > 0 && margin >= minMargin ? [{ chosen: better.text, rejected: worse.text }] : [];
        }),
  );
};

/**
 * A score as a file has it: a number, also written as text, or true for correct and false for incorrect.
 *
 * @throws RowProblem `unmapped-field` for anything else
 */
export const toScore = (value: unknown): number => {
  if (typeof value === "boolean") return Number(value);
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number)) return number;
  throw new RowProblem("unmapped-field", "column pairs.score: a score must be a number, true or false");
};
