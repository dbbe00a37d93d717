/** Runs to compare, out of their folders: what each policy's answers scored prompt by prompt, grouped over seeds. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { parse } from "yaml";
import { z } from "zod";
import { hashBytes } from "../../core/files.ts";
import { checkValue } from "../../core/json.ts";
import { freeName } from "../../core/names.ts";
import { readRows } from "../../data/rows/read-rows.ts";
import { distinct } from "../answer-metrics.ts";
import type { SweepMix } from "../mixes.ts";
import { type Results, readResults } from "../results.ts";

/** What one policy's answers of one run are like, in the order of the prompts; kept by a study in place of the texts. */
export const policyAnswersSchema = z.strictObject({
  label: z.string(),
  /** Weights of the heads; left out for a policy without a mix. */
  mix: z.record(freeName, z.number()).optional(),
  /** By objective; null where the judge abstained. */
  scores: z.record(freeName, z.array(z.number().nullable())),
  /** Length of each answer. */
  characters: z.array(z.int().nonnegative()),
  words: z.array(z.int().nonnegative()),
  /** distinct-2 of all answers together; see `distinct`. */
  distinct: z.number(),
  /** KL from the reference of each answer in nats, where it was measured. */
  kl: z.array(z.number()).optional(),
});

/** One method's policies in one run. */
export const runPartSchema = z.strictObject({
  folder: z.string(),
  seed: z.int(),
  prompts: z.int().nonnegative(),
  /** Hash of what was asked: parts of equal ones are compared prompt by prompt. */
  asked: z.string(),
  policies: z.array(policyAnswersSchema),
});

export type PolicyAnswers = z.infer<typeof policyAnswersSchema>;
export type RunPart = z.infer<typeof runPartSchema>;

/** One method over its seeds. */
export type RunGroup = { name: string; parts: RunPart[] };

const answerSchema = z.looseObject({
  label: z.string(),
  prompt: z.int().nonnegative(),
  response: z.string(),
  kl: z.number().optional(),
  verdicts: z.record(freeName, z.looseObject({ score: z.number().nullable() })),
});

const recipeSchema = z.looseObject({
  align: z.union([z.literal(false), z.looseObject({ method: z.string() })]).optional(),
});

const parseRecipeText = (recipe: string, where: string): unknown => {
  try {
    return parse(recipe);
  } catch (cause) {
    throw new MahaloError("E_RESULTS", `${where}: the recipe in its results.json is not YAML`, {
      cause,
      hint: "run the evaluate stage again",
    });
  }
};

/** The method that a run's policies were made by, and what beside the seed tells runs of it apart. */
const methodOf = ({ recipe }: Results, where: string): { method: string; key: string } => {
  const read = checkValue(parseRecipeText(recipe, where), recipeSchema, `${where}: recipe`, {
    code: "E_RESULTS",
  });
  const { align } = read;
  const method = align === undefined || align === false ? "sft" : align.method;
  const { seed: _s, name: _n, out: _o, description: _d, align: _a, ...rest } = read;
  // Models that a run refers to are of its own seed.
  const options = align === undefined || align === false ? {} : { ...align, rewards: null, models: null };
  return { method, key: JSON.stringify({ ...rest, align: options }) };
};

/** What an evaluation asked, as far as its results tell: the prompts of its samples, which a seed draws. */
const askedOf = ({ sweep }: Results): string =>
  hashBytes(JSON.stringify([sweep?.prompts, sweep?.samples.map(({ prompt }) => prompt)])).slice(0, 16);

/** Answers of one policy, as its file's lines come. */
type Read = Pick<PolicyAnswers, "scores"> & { responses: string[]; kl: number[] };

const wordsOf = (text: string): number => text.split(/\s+/).filter((word) => word !== "").length;

const answersOf = (
  { label, mix }: { label: string; mix?: SweepMix | undefined },
  { responses, scores, kl }: Read,
): PolicyAnswers => ({
  label,
  ...(mix === undefined ? {} : { mix }),
  scores,
  characters: responses.map(({ length }) => length),
  words: responses.map(wordsOf),
  distinct: distinct(responses, 2),
  ...(kl.length === responses.length && kl.length > 0 ? { kl } : {}),
});

const readRun = async (folder: string): Promise<{ results: Results; policies: PolicyAnswers[] }> => {
  const results = await readResults(join(folder, "results.json"));
  const path = join(folder, "evaluate", "answers.jsonl");
  if (results.sweep === undefined || !existsSync(path)) {
    throw new MahaloError("E_COMPARE", `${folder}: has no answers to compare (evaluate/answers.jsonl)`, {
      hint: "give an objective a judge and evaluate.prompts above 0, and run the recipe",
    });
  }
  const read = new Map<string, Read>(
    results.sweep.points.map(({ label }) => [label, { responses: [], scores: {}, kl: [] }]),
  );
  for await (const { value, origin } of readRows(path)) {
    const answer = checkValue(value, answerSchema, `${path}:${origin.line}`, { code: "E_RESULTS" });
    const policy = read.get(answer.label);
    if (policy === undefined) continue;
    policy.responses[answer.prompt] = answer.response;
    if (answer.kl !== undefined) policy.kl[answer.prompt] = answer.kl;
    for (const [objective, { score }] of Object.entries(answer.verdicts)) {
      policy.scores[objective] ??= [];
      policy.scores[objective][answer.prompt] = score;
    }
  }
  const { prompts } = results.sweep;
  const objectives = [...new Set([...read.values()].flatMap(({ scores }) => Object.keys(scores)))];
  const policies = results.sweep.points.flatMap((point) => {
    const answered = read.get(point.label);
    if (answered === undefined) return [];
    const missing = Array.from({ length: prompts }, (_, index) => index).filter(
      (index) => !(index in answered.responses),
    );
    if (missing.length > 0 || answered.responses.length > prompts) {
      const which = missing.length > 0 ? `no answer to prompt ${missing[0]}` : "more answers than prompts";
      throw new MahaloError("E_RESULTS", `${path}: ${point.label} has ${which} of ${prompts}`, {
        hint: "run the evaluate stage again",
      });
    }
    // An answer that the file has no verdict on was not judged.
    const scores = objectives.map((name): [string, (number | null)[]] => [
      name,
      Array.from(answered.responses, (_, index) => answered.scores[name]?.[index] ?? null),
    ]);
    return [answersOf(point, { ...answered, scores: Object.fromEntries(scores) })];
  });
  return { results, policies };
};

/** The group of a policy that a run answers with beside its own, by the policy's label. */
const baselineOf = (label: string): string | undefined =>
  label === "sft" || label === "base" ? label : label.startsWith("prompted ") ? "prompted" : undefined;

/** Whether a label is that of a policy beside a run's own: the model before alignment, the base model, or a prompted one. */
export const isBaseline = (label: string): boolean => baselineOf(label) !== undefined;

/** Which group a policy belongs to: its run's method, or a baseline that stands beside it. */
const groupOf = ({ label, mix }: PolicyAnswers, method: string): string =>
  (mix === undefined ? baselineOf(label) : undefined) ?? method;

/**
 * Reads runs and groups them: runs of one recipe that differ by seed are one group, named by its method (and by the run
 * where a method has several recipes). Baselines that runs share are groups of their own, one part a seed.
 *
 * @throws MahaloError E_COMPARE for a run without answers, two runs of one recipe and seed, or runs that were judged on
 *   different objectives; E_FILE_READ, E_RESULTS
 */
export const readGroups = async (folders: readonly string[]): Promise<RunGroup[]> => {
  const groups = new Map<string, RunGroup & { method: string; run: string }>();
  let judged: string | undefined;
  for (const folder of folders) {
    const { results, policies } = await readRun(folder);
    const { method, key } = methodOf(results, folder);
    const objectives = Object.keys(policies[0]?.scores ?? {})
      .sort()
      .join(", ");
    if (judged !== undefined && judged !== objectives) {
      throw new MahaloError(
        "E_COMPARE",
        `${folder}: was judged on ${objectives}, the first run on ${judged}`,
      );
    }
    judged = objectives;
    for (const name of new Set(policies.map((policy) => groupOf(policy, method)))) {
      const isMethod = name === method;
      const id = isMethod ? key : name;
      const group = groups.get(id) ?? { name, method: name, run: results.name, parts: [] };
      groups.set(id, group);
      const sameSeed = group.parts.find(({ seed }) => seed === results.seed);
      if (sameSeed !== undefined && isMethod) {
        throw new MahaloError("E_COMPARE", `${folder}: has the same recipe and seed as ${sameSeed.folder}`);
      }
      if (sameSeed !== undefined) continue;
      group.parts.push({
        folder,
        seed: results.seed,
        prompts: results.sweep?.prompts ?? 0,
        asked: askedOf(results),
        policies: policies.filter((policy) => groupOf(policy, method) === name),
      });
    }
  }
  const all = [...groups.values()];
  const alone = (method: string): boolean => all.filter((group) => group.method === method).length === 1;
  return all.map(({ method, run, parts }) => ({
    name: alone(method) ? method : `${method} (${run})`,
    parts: parts.toSorted((a, b) => a.seed - b.seed),
  }));
};
