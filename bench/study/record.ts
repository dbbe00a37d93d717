/** What one seed of a domain found, in one small file: verdicts are made of these, wherever the runs themselves are. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeJsonFile } from "../../packages/mahalo/src/core/files.ts";
import { readJsonFile } from "../../packages/mahalo/src/core/json.ts";
import { mean } from "../../packages/mahalo/src/core/mean.ts";
import { readGroups, runPartSchema } from "../../packages/mahalo/src/evaluate/compare/compared-runs.ts";
import { guidedScoresSchema } from "../../packages/mahalo/src/evaluate/guidance.ts";
import { readResults } from "../../packages/mahalo/src/evaluate/results.ts";
import { provenance } from "../../packages/mahalo/src/recipe/engine/provenance.ts";
import { readStageManifest } from "../../packages/mahalo/src/recipe/engine/stage-manifest.ts";
import { readMetrics } from "../../packages/mahalo/src/train/metrics.ts";
import { readGuided } from "./guided.ts";
import { methodNames, policyMethod, type SeedPlan, type StudyRun } from "./plan.ts";
import { pairsOf, rankedPairsSchema } from "./ranked-pairs.ts";
import { sharedStages, takenOver } from "./share.ts";

const partSchema = z.strictObject({ name: z.string(), part: runPartSchema });

/** One seed of a domain. */
export const seedRecordSchema = z.strictObject({
  format: z.literal("mahalo-study-seed"),
  version: z.literal(1),
  domain: z.string(),
  seed: z.int(),
  finished: z.string(),
  mahalo: z.string(),
  machine: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  model: z.string(),
  /** Objectives that have a head. */
  objectives: z.array(z.string()),
  /** The runs in order, each with the wall time of the stages that it ran itself, in hours. */
  runs: z.array(z.strictObject({ name: z.string(), method: z.enum(methodNames), hours: z.number() })),
  /** What each method's policies scored, by the name of its run, and `sft`, `base` and `prompted`. */
  groups: z.array(partSchema),
  /** What the guide stage measured; left out where none ran. */
  guided: z.array(guidedScoresSchema).optional(),
  /** Areas under the curve on held-out rows, by objective, of the reward models for one objective and of that for all. */
  aucs: z.record(z.string(), z.strictObject({ specialised: z.number(), unified: z.number() })),
  /** Held-out pairs that each run's heads rank right, by reward against the fine-tuned model; no judge has a say in them. */
  pairs: z.array(rankedPairsSchema),
  /** Mean cosine of each two objectives' gradients at the shared weights, where projection ran. */
  conflict: z.record(z.string(), z.number()).optional(),
  /** What a reader should know, for example which objectives are judged by a reward model. */
  notes: z.array(z.string()),
});

export type SeedRecord = z.infer<typeof seedRecordSchema>;

const allStages = [...sharedStages, "align", "evaluate", "guide", "report"];

/** Hours of the stages that a run made itself, out of their stamps. */
const hoursOf = async (folder: string, { method }: StudyRun): Promise<number> => {
  const others = takenOver(method);
  let seconds = 0;
  for (const stage of allStages.filter((name) => !others.includes(name)))
    seconds += (await readStageManifest(join(folder, stage)))?.seconds ?? 0;
  return seconds / 3600;
};

/** Four digits are enough for what a judge says, and keep the file small. */
const rounded = (value: number): number => Number(value.toFixed(4));

const groupsOf = async ({ folder, heads, runs }: SeedPlan): Promise<SeedRecord["groups"]> => {
  const groups = new Map<string, SeedRecord["groups"][number]>();
  for (const { name, method } of runs) {
    const run = join(folder, name);
    if (method === "unified" || !existsSync(join(run, "evaluate", "answers.jsonl"))) continue;
    for (const group of await readGroups([run])) {
      const ofMethod = group.name === policyMethod(method);
      // The run that asks the base model by prompt also answers with the fine-tuned one, which stands in the first run.
      if (method === "prompted" && !ofMethod) continue;
      const called = ofMethod ? name : group.name;
      const [part] = group.parts;
      if (part === undefined || groups.has(called)) continue;
      const policies = part.policies.map(({ scores, distinct, kl, ...rest }) => ({
        ...rest,
        scores: Object.fromEntries(
          Object.entries(scores).flatMap(([objective, values]) =>
            heads.includes(objective)
              ? [[objective, values.map((value) => (value === null ? null : rounded(value)))]]
              : [],
          ),
        ),
        distinct: rounded(distinct),
        ...(kl === undefined ? {} : { kl: kl.map(rounded) }),
      }));
      groups.set(called, { name: called, part: { ...part, folder: name, policies } });
    }
  }
  return [...groups.values()];
};

const aucsOf = async ({ folder, runs }: SeedPlan): Promise<SeedRecord["aucs"]> => {
  if (!runs.some(({ method }) => method === "unified")) return {};
  const [separate, all] = await Promise.all(
    ["mah-dpo", "unified"].map((run) => readResults(join(folder, run, "results.json"))),
  );
  const entries = Object.keys(separate?.rewardModels ?? {}).flatMap((name) => {
    const specialised = separate?.rewardModels?.[name]?.[`${name}/auc`];
    const unified = all?.rewardModels?.unified?.[`${name}/auc`];
    return specialised === undefined || unified === undefined ? [] : [[name, { specialised, unified }]];
  });
  return Object.fromEntries(entries);
};

/** Mean cosines of objectives' gradients, out of the metrics of the run that projects them. */
const conflictOf = async ({ folder, runs }: SeedPlan): Promise<SeedRecord["conflict"]> => {
  const path = join(folder, "mah-dpo-projected", "align", "metrics.jsonl");
  if (!runs.some(({ method }) => method === "mah-dpo-projected") || !existsSync(path)) return undefined;
  const byPair = new Map<string, number[]>();
  for (const row of await readMetrics(path))
    for (const [name, value] of Object.entries(row)) {
      const [, pair] = /^conflict\/([^/]+~[^/]+)$/.exec(name) ?? [];
      if (pair !== undefined && value !== undefined) byPair.set(pair, [...(byPair.get(pair) ?? []), value]);
    }
  return Object.fromEntries([...byPair].map(([pair, values]) => [pair, rounded(mean(values))]));
};

/** Gathers the finished runs of one seed. @throws MahaloError E_FILE_READ, E_RESULTS, E_COMPARE */
export const recordOf = async (plan: SeedPlan, notes: readonly string[] = []): Promise<SeedRecord> => {
  const { domain, seed, folder, heads, runs } = plan;
  const first = join(folder, "mah-dpo");
  const guided = existsSync(join(first, "guide", "scores.jsonl")) ? await readGuided(first) : undefined;
  const conflict = await conflictOf(plan);
  const { mahalo, ...machine } = await provenance();
  return {
    format: "mahalo-study-seed",
    version: 1,
    domain,
    seed,
    finished: new Date().toISOString(),
    mahalo,
    machine,
    model: runs[0]?.recipe.model.split(/[\\/]/).at(-1) ?? "",
    objectives: heads,
    runs: await Promise.all(
      runs.map(async (run) => ({
        name: run.name,
        method: run.method,
        hours: rounded(await hoursOf(join(folder, run.name), run)),
      })),
    ),
    groups: await groupsOf(plan),
    ...(guided === undefined ? {} : { guided }),
    aucs: await aucsOf(plan),
    pairs: await pairsOf(plan),
    ...(conflict === undefined ? {} : { conflict }),
    notes: [...notes],
  };
};

/** Where a seed's record lies in a folder of records. */
export const recordPath = (records: string, domain: string, seed: number): string =>
  join(records, domain, `seed-${seed}.json`);

/** Writes a record into a folder of records. @throws MahaloError E_FILE_WRITE */
export const writeRecord = (records: string, record: SeedRecord): Promise<void> =>
  writeJsonFile(recordPath(records, record.domain, record.seed), record);

/**
 * Reads a seed's record; undefined where there is none.
 *
 * @throws MahaloError E_FILE_READ, E_JSON_SYNTAX, E_RESULTS with file and field
 */
export const readRecord = async (
  records: string,
  domain: string,
  seed: number,
): Promise<SeedRecord | undefined> => {
  const path = recordPath(records, domain, seed);
  return existsSync(path)
    ? readJsonFile(path, seedRecordSchema, { code: "E_RESULTS", hint: "remove it and run the study again" })
    : undefined;
};
