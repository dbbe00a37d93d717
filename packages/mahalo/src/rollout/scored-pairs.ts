/** Preference pairs out of scored samples: best against worst, or correct against incorrect. */
import { z } from "zod";
import type { Random } from "../core/random.ts";

/** How pairs are chosen among the samples of one prompt. */
export const pairOptionsSchema = z.strictObject({
  take: z
    .enum(["extremes", "correct"])
    .default("extremes")
    .describe(
      "extremes: the best against the worst, then the next best against the next worst; correct: any sample that reaches the threshold against any that does not.",
    ),
  threshold: z.number().default(0.5).describe("Lowest score of a correct sample."),
  minMargin: z
    .number()
    .nonnegative()
    .default(0)
    .describe("Smallest difference between scores that makes a pair; equal scores never do."),
  perPrompt: z.int().positive().default(1).describe("Maximum number of pairs per prompt."),
});

/** Checked options of {@link choosePairs}. */
export type PairOptions = z.output<typeof pairOptionsSchema>;

/** An answer to a prompt and what a judge gave it; null where the judge abstained. */
export type ScoredSample = { text: string; score: number | null };

/** One pair, by the places of its two samples in their list. */
export type ChosenPair = { chosen: number; rejected: number };

type Scored = { at: number; score: number };

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b);

/** Every pair of two lists once, in an order that uses all members of each list as evenly as can be. */
const spread = <A, B>(as: readonly A[], bs: readonly B[]): [A, B][] => {
  if (as.length === 0 || bs.length === 0) return [];
  // Both lists go round together; after their common period the second one is shifted by one.
  const period = (as.length * bs.length) / greatestCommonDivisor(as.length, bs.length);
  return Array.from({ length: as.length * bs.length }, (_, k) => [
    as[k % as.length] as A,
    bs[(k + Math.floor(k / period)) % bs.length] as B,
  ]);
};

const extremes = (samples: readonly Scored[]): [Scored, Scored][] => {
  const sorted = samples.toSorted((a, b) => b.score - a.score || a.at - b.at);
  return sorted
    .slice(0, Math.floor(sorted.length / 2))
    .map((better, index) => [better, sorted[sorted.length - 1 - index] as Scored]);
};

/**
 * Chooses pairs among the samples of one prompt.
 *
 * Samples that the judge abstained on are passed over, and of samples with the same text only the first counts. Which
 * of many correct and incorrect ones meet is decided by `random`, evenly: none is used twice before all have been used
 * once.
 *
 * @example choosePairs([{ text: "4", score: 1 }, { text: "5", score: 0 }], pairOptionsSchema.parse({}), stream(0, "pairs"))
 * // [{ chosen: 0, rejected: 1 }]
 */
export const choosePairs = (
  samples: readonly ScoredSample[],
  { take, threshold, minMargin, perPrompt }: PairOptions,
  random: Random,
): ChosenPair[] => {
  const seen = new Set<string>();
  const scored = samples.flatMap(({ text, score }, index): Scored[] => {
    if (score === null || seen.has(text)) return [];
    seen.add(text);
    return [{ at: index, score }];
  });
  const correct = ({ score }: Scored): boolean => score >= threshold;
  const all =
    take === "extremes"
      ? extremes(scored)
      : spread(
          random.shuffle(scored.filter(correct)),
          random.shuffle(scored.filter((sample) => !correct(sample))),
        );
  return all
    .filter(([better, worse]) => better.score > worse.score && better.score - worse.score >= minMargin)
    .slice(0, perPrompt)
    .map(([better, worse]) => ({ chosen: better.at, rejected: worse.at }));
};
