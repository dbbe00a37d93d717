/** Claim (f): how far apart a sweep's ends lie, against models that were aligned to one objective each. */
import { findingOf, type MixScores, meansAt, type PolicyScores, pureMix, type Rule } from "./claims.ts";
import { type Verdict, verdict } from "./verdict.ts";

/** Share of the single models' distance that the sweep's ends must have. */
const leastShare = 0.8;

/**
 * Claim (f). For every objective k, with m_k the mean score on k:
 *
 *   [m_k(all k) - m_k(none of k)] - 0.8 [m_k(model of k alone) - m_k(models of others alone)] lies above 0,
 *
 * where "none of k" and "others" are means over the other objectives' ends and models.
 *
 * @param alone by objective: the model that was aligned to it alone
 */
export const endsApart = (
  sweep: readonly MixScores[],
  alone: ReadonlyMap<string, PolicyScores>,
  rule: Rule,
): Verdict => {
  const { objectives } = rule;
  const findings = objectives.map((objective) => {
    const others = objectives.filter((name) => name !== objective);
    const ends = [objective, ...others].map((name) => pureMix(sweep, name));
    const models = [objective, ...others].map((name) => alone.get(name));
    const all = [...ends, ...models].flatMap((policy) => policy ?? []);
    if (others.length === 0 || all.length < ends.length + models.length) return undefined;
    return findingOf(
      "f",
      `${objective}: distance of the ends - ${leastShare} of the single models'`,
      all,
      (draws) => {
        const means = all.flatMap((policy) => meansAt(policy, [objective], draws) ?? []);
        if (means.length < all.length) return undefined;
        const distance = ([own = 0, ...rest]: readonly number[]): number =>
          own - rest.reduce((sum, mean) => sum + mean, 0) / rest.length;
        return distance(means.slice(0, ends.length)) - leastShare * distance(means.slice(ends.length));
      },
      0,
      rule,
    );
  });
  return verdict(
    "f",
    findings,
    alone.size === 0 ? ["dpo did not run, so there is no distance to reach"] : [],
  );
};
