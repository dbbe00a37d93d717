/** Runs a study: every domain, seed and method in its turn, going on where it was stopped, and then the verdicts. */
import { join } from "node:path";
import { writeFileAtomic, writeJsonFile } from "../../packages/mahalo/src/core/files.ts";
import { formatDuration } from "../../packages/mahalo/src/core/format.ts";
import { goesOn, throwIfAborted } from "../../packages/mahalo/src/core/interrupt.ts";
import { compareGroups } from "../../packages/mahalo/src/evaluate/compare.ts";
import { provenance } from "../../packages/mahalo/src/recipe/provenance.ts";
import { runRecipe } from "../../packages/mahalo/src/recipe/run.ts";
import { readStamp } from "../../packages/mahalo/src/recipe/stamp.ts";
import { decide, readStudyGroups } from "./collect.ts";
import { type Study, type StudyDomain, studyVersion } from "./format.ts";
import { withJudges } from "./judges.ts";
import { completeMethods, type Domain, type Method, planSeed, type SeedPlan } from "./plan.ts";
import { sharedStages, shareStages } from "./share.ts";
import { studyText } from "./tables.ts";

/** Options of {@link runStudy}. */
export type StudyOptions = {
  domains: readonly Domain[];
  methods: readonly Method[];
  /** Number of seeds, from 0 on. */
  seeds: number;
  /** The study's folder. */
  out: string;
  tiny: boolean;
  /** How it was called, for the record. */
  command: string;
  /** How far below a rival still counts as near it. Default 0.05. */
  margin?: number;
  /** Draws of each bootstrap. Default 1000. */
  resamples?: number;
  signal?: AbortSignal;
  /** Prints a line for people. Default: nowhere. */
  log?: (line: string) => void;
};

/** Stages that a run makes itself. */
const ownStages = ["align", "evaluate", "guide", "report"];

/** Hours of the stages that the runs of one name made themselves, out of their stamps. */
const hoursOf = async (plans: readonly SeedPlan[], name: string): Promise<number> => {
  let seconds = 0;
  for (const { folder } of plans)
    for (const stage of name === "mah-dpo" ? [...sharedStages, ...ownStages] : ownStages)
      seconds += (await readStamp(join(folder, name, stage)))?.seconds ?? 0;
  return seconds / 3600;
};

const runSeed = async (
  { domain, seed, folder, runs }: SeedPlan,
  { signal, log = () => undefined }: StudyOptions,
): Promise<void> => {
  const first = join(folder, "mah-dpo");
  for (const [at, { name, recipe, method }] of runs.entries()) {
    throwIfAborted(signal, "running the study", goesOn);
    const where = `${domain}, seed ${seed}, ${name} (${at + 1} of ${runs.length})`;
    log(`${where}: begins`);
    if (method !== "mah-dpo") {
      // The unified reward model takes the rows over, and trains anew.
      const stages = method === "unified" ? sharedStages.filter((stage) => stage !== "reward") : sharedStages;
      const linked = await shareStages(first, join(folder, name), stages);
      if (linked.length > 0) log(`${where}: takes over ${linked.join(", ")}`);
    }
    const { stages } = await runRecipe(recipe, {
      log: (line) => log(`${where}: ${line}`),
      ...(signal === undefined ? {} : { signal }),
    });
    const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0);
    log(`${where}: done in ${formatDuration(seconds)}`);
  }
};

const domainOf = async (
  plans: readonly SeedPlan[],
  { notes = [] }: Domain,
  options: StudyOptions,
): Promise<StudyDomain> => {
  const { margin = 0.05, resamples = 1000 } = options;
  const [first] = plans;
  const groups = await readStudyGroups(plans);
  const comparison = groups.size === 0 ? undefined : compareGroups([...groups.values()], { resamples });
  const names = (first?.runs ?? []).map(({ name }) => name);
  return {
    name: first?.domain ?? "",
    model: first?.runs[0]?.recipe.model.split(/[\\/]/).at(-1) ?? "",
    objectives: first?.heads ?? [],
    seeds: plans.map(({ seed }) => seed),
    runs: await Promise.all(names.map(async (name) => ({ name, hours: await hoursOf(plans, name) }))),
    ...(comparison === undefined ? {} : { comparison }),
    verdicts: await decide(plans, groups, { margin, resamples }),
    notes: [...notes],
  };
};

/**
 * Runs all that is not fresh yet, decides the claims, and writes study.json and study.md into the study's folder.
 *
 * Seeds run in turn over all domains, so that what is there after any time is a study with fewer seeds.
 *
 * @throws MahaloError E_INTERRUPTED after an abort, and what the runs throw; the same command goes on from there
 */
export const runStudy = async (options: StudyOptions): Promise<Study> => {
  const { domains, methods, seeds, out, tiny, command } = options;
  const { signal, log = () => undefined } = options;
  const all: { domain: Domain; plans: SeedPlan[] }[] = [];
  for (const given of domains) {
    throwIfAborted(signal, "running the study", goesOn);
    const domain = await withJudges(given, out, {
      log: (line) => log(`${given.name}, judges: ${line}`),
      ...(signal === undefined ? {} : { signal }),
    });
    const plans: SeedPlan[] = [];
    for (let seed = 0; seed < seeds; seed++) plans.push(await planSeed(domain, seed, methods, out));
    all.push({ domain, plans });
  }
  for (let seed = 0; seed < seeds; seed++)
    for (const { plans } of all) {
      const plan = plans[seed];
      if (plan !== undefined) await runSeed(plan, options);
    }
  const { mahalo, ...machine } = await provenance();
  const found: StudyDomain[] = [];
  for (const { domain, plans } of all) found.push(await domainOf(plans, domain, options));
  const study: Study = {
    format: "mahalo-study",
    version: studyVersion,
    finished: new Date().toISOString(),
    mahalo,
    command,
    tiny,
    methods: completeMethods(methods),
    machine,
    domains: found,
  };
  await writeJsonFile(join(out, "study.json"), study);
  await writeFileAtomic(join(out, "study.md"), studyText(study));
  return study;
};
