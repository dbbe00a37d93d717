/** Verdicts on claims: what an interval over seeds and prompts says of a difference, and what several say of a claim. */
import { z } from "zod";
import { seedEstimateSchema } from "../../packages/mahalo/src/evaluate/compare/comparison.ts";
import type { SeedEstimate } from "../../packages/mahalo/src/evaluate/compare/seeds.ts";

/** All that may be said of a claim. */
export const outcomes = ["holds", "does not hold", "not decided at this size"] as const;

/** What is said of a claim. */
export type Outcome = (typeof outcomes)[number];

/** One difference that a claim rests on. */
export const findingSchema = z.strictObject({
  /** What is compared with what. */
  of: z.string(),
  difference: seedEstimateSchema,
  /** The difference must lie above this: 0 for "better", below 0 for "not worse by more than". */
  bound: z.number(),
  outcome: z.enum(outcomes),
});

export type Finding = z.infer<typeof findingSchema>;

/** The claims, by the letters of the list that the study works off. */
export const claims = {
  a: "each head is the best, or near the best, on its own objective",
  b: "the equal mix improves every objective over SFT at once, and more evenly than one head on mixed data",
  c: "sweeping the weights moves results smoothly along a front that dominates the soups'",
  d: "guidance by reward models adds to MAH-DPO rather than replacing it",
  e: "the unified reward model comes close to the specialised ones",
  f: "the ends of the sweep lie at least 0.8 times as far apart as models aligned to one objective each",
} as const;

/** Letter of a claim. */
export type Claim = keyof typeof claims;

/** All letters. */
export const claimLetters = ["a", "b", "c", "d", "e", "f"] as const satisfies readonly Claim[];

/** What came out for one claim. */
export const verdictSchema = z.strictObject({
  claim: z.enum(claimLetters),
  /** Whose sweep it is about, where that is not MAH-DPO's as the recipe has it. */
  method: z.string().optional(),
  outcome: z.enum(outcomes),
  findings: z.array(findingSchema),
  /** What a reader should know, for example that a method did not run. */
  notes: z.array(z.string()),
});

export type Verdict = z.infer<typeof verdictSchema>;

/**
 * What the 95% interval of a difference says of "the difference lies above the bound": it holds where the whole interval
 * lies above, does not hold where the whole interval lies below, and is not decided where the interval holds the bound.
 *
 * @param bound 0 for "better"; -margin for "not worse by more than the margin"
 *
 * @example finding("a - b", { mean: 0.2, low: 0.1, high: 0.3, seeds: 3, prompts: 90 }, 0).outcome // "holds"
 */
export const finding = (of: string, difference: SeedEstimate, bound: number): Finding => {
  const { low, high } = difference;
  const outcome = low > bound ? "holds" : high < bound ? "does not hold" : "not decided at this size";
  return { of, difference, bound, outcome };
};

/** A finding that could not have failed, because nothing measured could fall below its bound, decides nothing. */
export const unableToFail = (finding: Finding): Finding =>
  finding.outcome === "holds" ? { ...finding, outcome: "not decided at this size" } : finding;

/**
 * A claim of several parts: it does not hold where one part does not, holds where all do, and is not decided otherwise or
 * where nothing was measured.
 *
 * Each part keeps its own level of 95%; parts are not corrected for their number, since the claim asks for all of them.
 */
export const verdict = (
  claim: Claim,
  findings: readonly (Finding | undefined)[],
  notes: readonly string[] = [],
): Verdict => {
  const given = findings.flatMap((finding) => finding ?? []);
  const said = given.map(({ outcome }) => outcome);
  const outcome = said.includes("does not hold")
    ? "does not hold"
    : said.length > 0 && said.length === findings.length && said.every((outcome) => outcome === "holds")
      ? "holds"
      : "not decided at this size";
  return { claim, outcome, findings: given, notes: [...notes] };
};
