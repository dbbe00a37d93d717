/** Claim (e): one reward model for all objectives of a domain, against a model for each. */
import { mean } from "../../packages/mahalo/src/core/mean.ts";
import { rng } from "../../packages/mahalo/src/core/random.ts";
import { pairedOverSeeds } from "../../packages/mahalo/src/evaluate/compare/seeds.ts";
import type { Rule } from "./claims.ts";
import type { SeedRecord } from "./record.ts";
import { type Finding, finding, unableToFail, type Verdict, verdict } from "./verdict.ts";

/** Area under the curve on an objective's held-out rows, a seed a place. */
export type Aucs = { unified: readonly number[]; specialised: readonly number[] };

/** Areas of every seed, by objective; objectives that a seed lacks are left out. */
export const aucsOf = (records: readonly Pick<SeedRecord, "aucs">[]): Map<string, Aucs> => {
  const names = Object.keys(records[0]?.aucs ?? {});
  const named = names.map((name): [string, Aucs] => {
    const ofObjective = records.flatMap(({ aucs }) => aucs[name] ?? []);
    return [
      name,
      {
        specialised: ofObjective.map(({ specialised }) => specialised),
        unified: ofObjective.map(({ unified }) => unified),
      },
    ];
  });
  return new Map(named.filter(([, { unified }]) => unified.length === records.length));
};

/**
 * Claim (e). For every objective: AUC(unified) - AUC(specialised) on the same held-out rows lies above -margin.
 *
 * Being close to a model that tells nothing is no merit: where the specialised model's mean area is itself within the margin
 * of 0.5, the objective can't be said to hold.
 *
 * Only seeds are drawn, since a run tells the area and not each row's score; with few seeds the interval spans little more
 * than what the seeds gave, so one seed decides nothing.
 */
export const unifiedNear = (aucs: ReadonlyMap<string, Aucs>, rule: Rule): Verdict => {
  const { margin = 0.05, resamples = 1000, seed = 0 } = rule;
  const seeds = [...aucs.values()][0]?.unified.length ?? 0;
  if (aucs.size === 0)
    return verdict("e", [undefined], ["the unified model or the specialised ones did not run"]);
  const notes = [`close means within ${margin} of area under the curve`];
  const blind = [...aucs].flatMap(([name, { specialised }]) =>
    mean(specialised) - 0.5 < margin ? [name] : [],
  );
  if (blind.length > 0)
    notes.push(`the specialised model is within the margin of chance on ${blind.join(", ")}`);
  const findings = [...aucs].map(([name, { unified, specialised }]): Finding | undefined => {
    const of = `${name}: AUC unified - specialised`;
    const rows = [unified, specialised].map((values) => values.map((value) => [value]));
    const difference = pairedOverSeeds(rows[0] ?? [], rows[1] ?? [], rng(seed, "study", "e", name), {
      resamples,
    });
    if (difference === undefined) return undefined;
    const result = finding(of, difference, -margin);
    return blind.includes(name) ? unableToFail(result) : result;
  });
  if (seeds > 1) return verdict("e", findings, notes);
  const undecided = findings.flatMap((finding): Finding[] =>
    finding === undefined ? [] : [{ ...finding, outcome: "not decided at this size" }],
  );
  return verdict("e", undecided, [...notes, "one seed: no interval"]);
};
