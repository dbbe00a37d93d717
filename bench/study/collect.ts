/** What a domain's runs found, gathered over seeds: policies' scores, the comparison's groups, and the verdicts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type RunGroup, readGroups } from "../../packages/mahalo/src/evaluate/compared-runs.ts";
import { readResults } from "../../packages/mahalo/src/evaluate/results.ts";
import { equalGain, type MixScores, ownHeads, type PolicyScores, type Rule } from "./claims.ts";
import { frontOverSoups } from "./fronts.ts";
import { guidanceAdds, guidedPoints, readGuided } from "./guided.ts";
import type { SeedPlan } from "./plan.ts";
import { aucsOf, unifiedNear } from "./rewards.ts";
import type { Verdict } from "./verdict.ts";

/** The groups of a domain by name: a run's own name, and `sft`, `base` and `prompted`. */
export type Groups = ReadonlyMap<string, RunGroup>;

/** Scores of one group's policies, over its seeds. */
const policiesOf = ({ name, parts }: RunGroup): (PolicyScores & { mix: MixScores["mix"] | undefined })[] =>
  (parts[0]?.policies ?? []).flatMap(({ label, mix, scores }) => {
    const bySeed = parts.flatMap(({ policies }) => policies.find((one) => one.label === label) ?? []);
    if (bySeed.length < parts.length) return [];
    const found = Object.keys(scores).map((objective) => [
      objective,
      bySeed.map((one) => one.scores[objective] ?? []),
    ]);
    return [{ label: mix === undefined ? name : `${name} ${label}`, mix, scores: Object.fromEntries(found) }];
  });

const sweepOf = (group: RunGroup | undefined): MixScores[] =>
  group === undefined
    ? []
    : policiesOf(group).flatMap(({ mix, ...rest }) => (mix === undefined ? [] : [{ ...rest, mix }]));

const foldersOf = (plans: readonly SeedPlan[], run: string): string[] =>
  plans.flatMap(({ folder, runs }) => (runs.some(({ name }) => name === run) ? [join(folder, run)] : []));

const finished = (folder: string): boolean => existsSync(join(folder, "evaluate", "answers.jsonl"));

/**
 * Reads the groups of a domain's runs, their scores cut to the objectives that have heads.
 *
 * @throws MahaloError as `readGroups`
 */
export const readStudyGroups = async (plans: readonly SeedPlan[]): Promise<Groups> => {
  const groups = new Map<string, RunGroup>();
  const heads = plans[0]?.heads ?? [];
  const cut = (group: RunGroup, name: string): RunGroup => ({
    name,
    parts: group.parts.map((part) => ({
      ...part,
      policies: part.policies.map((policy) => ({
        ...policy,
        scores: Object.fromEntries(Object.entries(policy.scores).filter(([one]) => heads.includes(one))),
      })),
    })),
  });
  for (const { name, method } of plans[0]?.runs ?? []) {
    const folders = foldersOf(plans, name);
    if (method === "unified" || !folders.every(finished)) continue;
    for (const group of await readGroups(folders)) {
      const own = group.name === method;
      // The run that asks the base model by prompt also answers with the fine-tuned one, which stands in the first run.
      if (method === "prompted" && !own) continue;
      const called = own ? name : group.name;
      if (!groups.has(called)) groups.set(called, cut(group, called));
    }
  }
  return groups;
};

/** Methods of one head: what a head of MAH-DPO on its own objective is measured against. */
const singleHead = (groups: Groups): PolicyScores[] =>
  [...groups].flatMap(([name, group]) =>
    name === "sft" || name === "modpo" || name.startsWith("dpo-") ? policiesOf(group) : [],
  );

/** Groups that answered other prompts than the first run, seed by seed: they cannot be compared prompt by prompt. */
const strangers = (groups: Groups): string[] => {
  const asked = groups.get("mah-dpo")?.parts.map((part) => part.asked);
  return [...groups].flatMap(([name, { parts }]) =>
    parts.length === asked?.length && parts.every((part, at) => part.asked === asked[at]) ? [] : [name],
  );
};

/**
 * Decides all claims of one domain from its runs' folders.
 *
 * @throws MahaloError E_FILE_READ, E_RESULTS, E_COMPARE
 */
export const decide = async (
  plans: readonly SeedPlan[],
  all: Groups,
  options: Omit<Rule, "objectives"> = {},
): Promise<Verdict[]> => {
  const others = strangers(all);
  const groups: Groups = new Map([...all].filter(([name]) => !others.includes(name)));
  const sweep = sweepOf(groups.get("mah-dpo"));
  const heads = plans[0]?.heads ?? [];
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
    ...(plans.length < 3 ? ["fewer than 3 seeds: the interval says little of another seed"] : []),
  ];
  const verdicts = [
    ownHeads(sweep, singleHead(groups), rule),
    equalGain(sweep, only("sft"), only("dpo-mixed"), rule),
    frontOverSoups(sweep, soups === undefined ? undefined : sweepOf(soups), rule),
  ];
  const first = foldersOf(plans, "mah-dpo");
  if (first.every((folder) => existsSync(join(folder, "guide", "scores.jsonl")))) {
    const seeds = await Promise.all(first.map(readGuided));
    verdicts.push(guidanceAdds(guidedPoints(seeds), rule));
  }
  const unified = foldersOf(plans, "unified");
  if (unified.length > 0) {
    const [own, specialised] = [unified, first].map((folders) =>
      Promise.all(folders.map((folder) => readResults(join(folder, "results.json")))),
    );
    verdicts.push(unifiedNear(aucsOf((await specialised) ?? [], (await own) ?? []), rule));
  }
  return verdicts.map((one) => ({ ...one, notes: [...one.notes, ...notes] }));
};
