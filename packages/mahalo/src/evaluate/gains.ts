/** What alignment did to every objective: each policy against the model before it, where a loss is interference. */
import { rng } from "../core/random.ts";
import type { RunGroup } from "./compare/compared-runs.ts";
import type { Comparison } from "./compare/comparison.ts";
import { onSharedSeeds, policiesOf, samePrompts, scoresOf } from "./compare/over-seeds.ts";
import { pairedOverSeeds } from "./compare/seeds.ts";

/**
 * Results after alignment less results before it, paired over seeds and prompts, for every policy and objective: a table
 * whose row is what was trained (a method, or a mix of heads) and whose column is what it did to an objective. Below 0 in
 * a column that the row was not trained for is interference (`interference` in front.ts says the same of means).
 *
 * @param groups the model before is the group `sft`, else `base`; without one of them there are no gains
 * @param options `resamples` of each bootstrap (default 1000), `seed` of their streams (default 0)
 */
export const gainsOf = (
  groups: readonly RunGroup[],
  objectives: readonly string[],
  { resamples = 1000, seed = 0 }: { resamples?: number; seed?: number } = {},
): Comparison["gains"] => {
  const before = ["sft", "base"].flatMap((name) => groups.find((group) => group.name === name) ?? [])[0];
  if (before === undefined) return [];
  return groups.flatMap((group): Comparison["gains"] => {
    const [after, other] = onSharedSeeds(group, before);
    if (group === before || !samePrompts(after.parts, other.parts)) return [];
    const [reference] = policiesOf(other);
    if (reference === undefined) return [];
    return policiesOf(after).flatMap((policy) =>
      objectives.flatMap((of): Comparison["gains"] => {
        const random = rng(seed, "compare", "gain", group.name, policy.label, of);
        const gain = pairedOverSeeds(scoresOf(policy, of), scoresOf(reference, of), random, { resamples });
        return gain === undefined
          ? []
          : [
              {
                name: group.name,
                label: policy.label,
                of,
                over: before.name,
                gain,
                decided: gain.low > 0 || gain.high < 0,
              },
            ];
      }),
    );
  });
};
