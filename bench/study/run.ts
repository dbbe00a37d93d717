/** Runs a study: every domain, seed and method in its turn, going on where it was stopped, and then the verdicts. */
import { join } from "node:path";
import { writeFileAtomic, writeJsonFile } from "../../packages/mahalo/src/core/files.ts";
import { formatDuration } from "../../packages/mahalo/src/core/format.ts";
import { resumes, throwIfAborted } from "../../packages/mahalo/src/core/interrupt.ts";
import { compareGroups } from "../../packages/mahalo/src/evaluate/compare/compare.ts";
import { writeComparison } from "../../packages/mahalo/src/evaluate/report/compare-page.ts";
import { provenance } from "../../packages/mahalo/src/recipe/engine/provenance.ts";
import { runRecipe } from "../../packages/mahalo/src/recipe/run.ts";
import { decide, groupsOf } from "./collect.ts";
import { type Study, type StudyDomain, studyVersion } from "./format.ts";
import { withJudges } from "./judges.ts";
import { completeMethods, type Domain, type Method, planSeed, type SeedPlan } from "./plan.ts";
import { pooledPairs } from "./ranked-pairs.ts";
import { readRecord, recordOf, type SeedRecord, writeRecord } from "./record.ts";
import { shareStages, takenOver } from "./share.ts";
import { studyText } from "./tables.ts";

/** Options of {@link runStudy}. */
export type StudyOptions = {
  domains: readonly Domain[];
  methods: readonly Method[];
  /** Number of seeds, from 0 on. */
  seeds: number;
  /** The study's folder. */
  out: string;
  /** A folder of seeds' records: those there are taken as they are, new ones go there. Default: `<out>/records`, new ones only. */
  records?: string;
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

const runSeed = async (
  { domain, seed, folder, runs }: SeedPlan,
  { signal, log = () => undefined }: StudyOptions,
): Promise<void> => {
  const first = join(folder, "mah-dpo");
  for (const [index, { name, recipe, method }] of runs.entries()) {
    throwIfAborted(signal, "running the study", resumes);
    const where = `${domain}, seed ${seed}, ${name} (${index + 1} of ${runs.length})`;
    log(`${where}: begins`);
    if (method !== "mah-dpo") {
      const linked = await shareStages(first, join(folder, name), takenOver(method));
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

/** Cosines by pair of objectives, a seed a place; pairs that a seed lacks are left out. */
const conflictsOf = (records: readonly SeedRecord[]): StudyDomain["conflict"] => {
  const entries = Object.keys(records[0]?.conflict ?? {}).map((pair) => [
    pair,
    records.flatMap(({ conflict }) => conflict?.[pair] ?? []),
  ]);
  return Object.fromEntries(entries.filter(([, values]) => values?.length === records.length));
};

const domainOf = (records: readonly SeedRecord[], { name }: Domain, options: StudyOptions): StudyDomain => {
  const { margin = 0.05, resamples = 1000 } = options;
  const [first] = records;
  const groups = groupsOf(records);
  const hours = (run: string): number =>
    records.reduce((sum, { runs }) => sum + (runs.find((ran) => ran.name === run)?.hours ?? 0), 0);
  const unique = (values: readonly string[]): string[] => [...new Set(values)];
  return {
    name,
    model: first?.model ?? "",
    objectives: first?.objectives ?? [],
    seeds: records.map(({ seed }) => seed),
    runs: (first?.runs ?? []).map((run) => ({ name: run.name, hours: hours(run.name) })),
    machines: unique(records.map(({ machine }) => String(machine.processor ?? "unknown"))),
    ...(groups.size === 0 ? {} : { comparison: compareGroups([...groups.values()], { resamples }) }),
    pairs: pooledPairs(records.map(({ pairs }) => pairs)),
    conflict: conflictsOf(records),
    verdicts: decide(records, groups, { margin, resamples }),
    notes: unique(records.flatMap(({ notes }) => notes)),
  };
};

/** Whether a record has all runs of these methods. */
const covers = ({ runs }: SeedRecord, methods: readonly Method[]): boolean =>
  methods.every((method) => runs.some((run) => run.method === method));

/** Runs one seed of a domain, unless its record is there already, and gives its record. */
const recordSeed = async (domain: Domain, seed: number, options: StudyOptions): Promise<SeedRecord> => {
  const { methods, out, records, signal, log = () => undefined } = options;
  const kept = records === undefined ? undefined : await readRecord(records, domain.name, seed);
  const where = `${domain.name}, seed ${seed}`;
  if (kept !== undefined && covers(kept, methods)) {
    log(`${where}: its record is there`);
    return kept;
  }
  const judged = await withJudges(domain, out, {
    log: (line) => log(`${domain.name}, judges: ${line}`),
    ...(signal === undefined ? {} : { signal }),
  });
  const plan = await planSeed(judged, seed, methods, out);
  await runSeed(plan, options);
  const record = await recordOf(plan, judged.notes);
  await writeRecord(records ?? join(out, "records"), record);
  return record;
};

/**
 * Runs all that is not fresh yet, decides the claims, and writes study.json and study.md into the study's folder, each
 * domain's comparison with its figure into the domain's, and each seed's record into the folder of records.
 *
 * Seeds run in turn over all domains, so that what is there after any time is a study with fewer seeds.
 *
 * @throws MahaloError E_INTERRUPTED after an abort, and what the runs throw; the same command resumes from there
 */
export const runStudy = async (options: StudyOptions): Promise<Study> => {
  const { domains, methods, seeds, out, tiny, command, signal } = options;
  const collected = domains.map((domain) => ({ domain, records: [] as SeedRecord[] }));
  for (let seed = 0; seed < seeds; seed++)
    for (const { domain, records } of collected) {
      throwIfAborted(signal, "running the study", resumes);
      records.push(await recordSeed(domain, seed, options));
    }
  const { mahalo, ...machine } = await provenance();
  const study: Study = {
    format: "mahalo-study",
    version: studyVersion,
    finished: new Date().toISOString(),
    mahalo,
    command,
    tiny,
    methods: completeMethods(methods),
    machine,
    domains: collected.map(({ domain, records }) => domainOf(records, domain, options)),
  };
  await writeJsonFile(join(out, "study.json"), study);
  await writeFileAtomic(join(out, "study.md"), studyText(study));
  for (const { name, comparison } of study.domains)
    if (comparison !== undefined) await writeComparison(join(out, name), comparison);
  return study;
};
