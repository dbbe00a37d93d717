/** What a domain's seeds found together: policies' scores, the comparison's groups, and the verdicts. */
import type { RunGroup } from "../../packages/mahalo/src/evaluate/compare/compared-runs.ts";
import {
  policiesOf as policiesOverSeeds,
  samePrompts,
  scoresOf,
} from "../../packages/mahalo/src/evaluate/compare/over-seeds.ts";
import { equalGain, type MixScores, ownHeads, type PolicyScores, type Rule } from "./claims.ts";
import { frontOverSoups } from "./fronts.ts";
import { guidanceAdds, guidedPoints } from "./guided.ts";
import { dpoRun } from "./plan.ts";
import { endsApart } from "./reach.ts";
import type { SeedRecord } from "./record.ts";
import { aucsOf, unifiedNear } from "./rewards.ts";
import type { Verdict } from "./verdict.ts";

/** The groups of a domain by name: a run's own name, and `sft`, `base` and `prompted`. */
export type Groups = ReadonlyMap<string, RunGroup>;

/** Scores of one group's policies, over its seeds. */
const policiesOf = (group: RunGroup): (PolicyScores & { mix: MixScores["mix"] | undefined })[] =>
  policiesOverSeeds(group).map((policy) => {
    const { label, mix, bySeed } = policy;
    const entries = Object.keys(bySeed[0]?.scores ?? {}).map((objective) => [
      objective,
      scoresOf(policy, objective),
    ]);
    const called = mix === undefined ? group.name : `${group.name} ${label}`;
    return { label: called, mix, scores: Object.fromEntries(entries) };
  });

const sweepOf = (group: RunGroup | undefined): MixScores[] =>
  group === undefined
    ? []
    : policiesOf(group).flatMap(({ mix, ...rest }) => (mix === undefined ? [] : [{ ...rest, mix }]));

/** The groups of a domain over its seeds: those that every seed has. */
export const groupsOf = (records: readonly SeedRecord[]): Groups => {
  const names = (records[0]?.groups ?? []).map(({ name }) => name);
  const byName = names.map((name): [string, RunGroup] => [
    name,
    { name, parts: records.flatMap(({ groups }) => groups.find((group) => group.name === name)?.part ?? []) },
  ]);
  return new Map(byName.filter(([, { parts }]) => parts.length === records.length));
};

/** Methods of one head: what a head of MAH-DPO on its own objective is measured against. */
const singleHead = (groups: Groups): PolicyScores[] =>
  [...groups].flatMap(([name, group]) =>
    name === "sft" || name === "modpo" || name.startsWith("dpo-") ? policiesOf(group) : [],
  );

/** Groups that answered other prompts than the first run, seed by seed: they cannot be compared prompt by prompt. */
const strangers = (groups: Groups): string[] => {
  const first = groups.get("mah-dpo")?.parts ?? [];
  return [...groups].flatMap(([name, { parts }]) => (samePrompts(first, parts) ? [] : [name]));
};

/** Decides all claims of one domain from its seeds' records. */
export const decide = (
  records: readonly SeedRecord[],
  all: Groups,
  options: Omit<Rule, "objectives"> = {},
): Verdict[] => {
  const others = strangers(all);
  const groups: Groups = new Map([...all].filter(([name]) => !others.includes(name)));
  const sweep = sweepOf(groups.get("mah-dpo"));
  const heads = records[0]?.objectives ?? [];
  const objectives = heads.filter((name) => name in (sweep[0]?.scores ?? {}));
  const rule: Rule = { ...options, objectives };
  const only = (name: string): PolicyScores | undefined => {
    const group = groups.get(name);
    return group === undefined ? undefined : policiesOf(group)[0];
  };
  const soups = groups.get("soup");
  const notes = [
    ...heads.flatMap((name) => (objectives.includes(name) ? [] : [`${name} has no judge`])),
    ...others.map((name) => `${name} answered other prompts and is left out`),
    ...(records.length < 3 ? ["fewer than 3 seeds: the interval says little of another seed"] : []),
  ];
  const alone = new Map(
    objectives.flatMap((name) => {
      const policy = only(dpoRun(name));
      return policy === undefined ? [] : [[name, policy] as const];
    }),
  );
  const ofSweep = (mixes: readonly MixScores[]): Verdict[] => [
    ownHeads(mixes, singleHead(groups), rule),
    equalGain(mixes, only("sft"), only("dpo-mixed"), rule),
    frontOverSoups(mixes, soups === undefined ? undefined : sweepOf(soups), rule),
    endsApart(mixes, alone, rule),
  ];
  const variants = [...groups.keys()].filter((name) => name.startsWith("mah-dpo-"));
  const verdicts = [
    ...ofSweep(sweep),
    ...variants.flatMap((method) =>
      ofSweep(sweepOf(groups.get(method))).map((verdict) => ({ ...verdict, method })),
    ),
  ];
  const guided = records.flatMap((record) => (record.guided === undefined ? [] : [record.guided]));
  if (guided.length === records.length) verdicts.push(guidanceAdds(guidedPoints(guided), rule));
  if (records.every(({ runs }) => runs.some(({ method }) => method === "unified")))
    verdicts.push(unifiedNear(aucsOf(records), rule));
  return verdicts.map((verdict) => ({ ...verdict, notes: [...verdict.notes, ...notes] }));
};
