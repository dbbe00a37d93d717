/** Held-out pairs that heads rank right by reward: what a study can tell without any judge. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { wilson } from "../../packages/mahalo/src/evaluate/intervals.ts";
import { readResults } from "../../packages/mahalo/src/evaluate/results.ts";
import type { SeedPlan } from "./plan.ts";

/** How many of an objective's held-out pairs one head of a run ranks right by reward against the fine-tuned model. */
export const rankedPairsSchema = z.strictObject({
  run: z.string(),
  /** The head's objective, or the method's name for a model of one head. */
  head: z.string(),
  objective: z.string(),
  right: z.int().nonnegative(),
  pairs: z.int().positive(),
});

export type RankedPairs = z.infer<typeof rankedPairsSchema>;

/** The counts of a seed's runs, out of their results; a run that measured none has none. @throws MahaloError E_RESULTS */
export const pairsOf = async ({ folder, runs }: SeedPlan): Promise<RankedPairs[]> => {
  const ranked: RankedPairs[] = [];
  for (const { name: run } of runs) {
    const path = join(folder, run, "results.json");
    const cells = existsSync(path) ? ((await readResults(path)).pairAccuracy?.cells ?? []) : [];
    for (const { head, objective, rewardAccuracy: rate } of cells)
      if (rate !== undefined)
        ranked.push({ run, head, objective, right: Math.round(rate.mean * rate.n), pairs: rate.n });
  }
  return ranked;
};

/** Rates over all seeds' pairs together, with Wilson's interval; seeds hold out pairs of their own, some of them alike. */
export const pooledPairs = (seeds: readonly (readonly RankedPairs[])[]) => {
  const all = seeds.flat();
  const key = ({ run, head, objective }: RankedPairs): string => JSON.stringify([run, head, objective]);
  return [...new Map(all.map((entry) => [key(entry), entry])).entries()].map(
    ([which, { run, head, objective }]) => {
      const same = all.filter((entry) => key(entry) === which);
      const sum = (of: "right" | "pairs"): number => same.reduce((total, entry) => total + entry[of], 0);
      return { run, head, objective, accuracy: wilson(sum("right"), sum("pairs")) };
    },
  );
};
