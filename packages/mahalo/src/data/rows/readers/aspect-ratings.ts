/** UltraFeedback: several answers to an instruction, each rated for helpfulness, honesty and other aspects. */
import { z } from "zod";
import { type Candidate, pairsOf } from "../candidates.ts";
import { checkRow } from "../check-row.ts";
import type { RowReader } from "./types.ts";

const ratingSchema = z.looseObject({ Rating: z.union([z.string(), z.number()]).nullish() });
const rowSchema = z.looseObject({
  instruction: z.string(),
  completions: z.array(
    z.looseObject({
      response: z.string(),
      annotations: z.record(z.string(), ratingSchema.nullish()),
    }),
  ),
});

/** A rating as a number; undefined for "N/A" and others that are none. */
const numberOf = (rating: string | number | null | undefined): number | undefined => {
  const number = typeof rating === "string" && rating.trim() !== "" ? Number(rating) : rating;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
};

/**
 * Preference pairs of every aspect, whose name is the pair's objective: the answer rated highest against each that is
 * rated lower. An answer without text or without a number for an aspect takes no part in that one's pairs.
 *
 * Source: Cui et al. 2023, "UltraFeedback".
 */
export const aspectRatings: RowReader = {
  none: "no two answers differ in a rating",
  read: (value) => {
    const { instruction, completions } = checkRow(value, rowSchema);
    const aspects = new Set(completions.flatMap(({ annotations }) => Object.keys(annotations)));
    return [...aspects].flatMap((aspect) => {
      const rated = completions.flatMap(({ response, annotations }): Candidate[] => {
        const score = numberOf(annotations[aspect]?.Rating);
        return score === undefined || response.trim() === "" ? [] : [{ text: response, score }];
      });
      return pairsOf(rated, { take: "highest" }).map((pair) => ({
        objective: aspect,
        prompt: instruction,
        ...pair,
      }));
    });
  },
};
