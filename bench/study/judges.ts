/** Judges for objectives that have none: reward models of rows that no policy and no guide of the study is trained on. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { hashBytes } from "../../packages/mahalo/src/core/files.ts";
import { readJsonFile } from "../../packages/mahalo/src/core/json.ts";
import { writeJsonLines } from "../../packages/mahalo/src/core/json-lines.ts";
import { loadPreferences, locateRows } from "../../packages/mahalo/src/data/rows/load.ts";
import { type Prompt, promptMessages } from "../../packages/mahalo/src/data/rows/rows.ts";
import { loadRecipe } from "../../packages/mahalo/src/recipe/load.ts";
import { type RunRecipeOptions, runRecipe } from "../../packages/mahalo/src/recipe/run.ts";
import { pairSource } from "../../packages/mahalo/src/recipe/schema/objective.ts";
import type { Domain } from "./plan.ts";

/** Whether a row is for the judge: a third of all openings (the first turn of the user), whatever the objective. */
export const isForJudge = (prompt: Prompt): boolean => {
  const messages = promptMessages(prompt);
  const opening = messages.find(({ role }) => role === "user") ?? messages[0];
  return Number.parseInt(hashBytes(opening?.content ?? "").slice(0, 8), 16) % 3 === 0;
};

type Source = NonNullable<ReturnType<typeof pairSource>>;

/** Writes an objective's rows into two files; those of the judge, and those of all else. */
const splitSource = async (name: string, source: Source, folder: string) => {
  const paths = { judge: join(folder, `${name}-judge.jsonl`), policy: join(folder, `${name}-policy.jsonl`) };
  if (existsSync(paths.judge) && existsSync(paths.policy)) return paths;
  const rows = await loadPreferences(await locateRows(source), source.objective ?? name);
  for (const side of ["judge", "policy"] as const) {
    const kept = rows.filter(({ prompt }) => isForJudge(prompt) === (side === "judge"));
    const lines = kept.map(({ prompt, chosen, rejected }) => ({
      prompt: promptMessages(prompt),
      ...turns({ chosen, rejected }),
    }));
    await writeJsonLines(paths[side], lines);
  }
  return paths;
};

/** Responses in TRL's conversational form, as their prompt is. */
const turns = (responses: Readonly<Record<"chosen" | "rejected", string>>) => ({
  chosen: [{ role: "assistant", content: responses.chosen }],
  rejected: [{ role: "assistant", content: responses.rejected }],
});

const metricsSchema = z.record(z.string(), z.unknown());

/** How often a judge ranks its held-out pairs right, as its run tells. */
const accuracyOf = async (folder: string, name: string): Promise<string> => {
  const metrics = await readJsonFile(join(folder, "reward", name, "metrics.json"), metricsSchema);
  const accuracy = metrics[`${name}/accuracy`] ?? metrics[`eval_${name}/accuracy`] ?? metrics.accuracy;
  return typeof accuracy === "number"
    ? `, right on ${(100 * accuracy).toFixed(1)} percent of pairs held out from it`
    : "";
};

/**
 * A domain whose objectives with pairs from a file and without a judge get one.
 *
 * A third of the file's prompts trains a reward model from the base model, once a study, as the recipe's `reward` block
 * says; the runs read the other two thirds alone, so neither a policy nor a guide has seen what the judge has. Generated
 * pairs and pairs of rollouts need no judge of this kind: they have one.
 *
 * @param out the study's folder; rows and judge lie in `<out>/<domain>/`
 * @returns the domain with the overrides that name rows and judges, and notes that say so
 * @throws MahaloError what reading the rows and running the judge's recipe throw
 */
export const withJudges = async (
  domain: Domain,
  out: string,
  options: RunRecipeOptions = {},
): Promise<Domain> => {
  const { recipe } = await loadRecipe(domain.file, domain.set);
  const folder = join(out, domain.name);
  const set: string[] = [];
  const judged: string[] = [];
  const rows: string[] = [];
  for (const [name, objective] of Object.entries(recipe.objectives)) {
    const source = pairSource(objective);
    if (source === undefined || objective.judge !== undefined) continue;
    const { judge, policy } = await splitSource(name, source, join(folder, "rows"));
    const limit = source.limit === undefined ? {} : { limit: source.limit };
    rows.push(`objectives.${name}.pairs=${JSON.stringify({ path: judge, ...limit })}`);
    set.push(`objectives.${name}.pairs=${JSON.stringify({ path: policy, ...limit })}`);
    judged.push(name);
  }
  if (judged.length === 0) return domain;
  const loaded = await loadRecipe(domain.file, [
    ...domain.set,
    ...rows,
    "name=judges",
    `out=${JSON.stringify(folder)}`,
    "align=false",
    "sft=false",
    ...(recipe.reward === false ? ["reward={}"] : ["reward.unified=false"]),
  ]);
  const objectives = Object.fromEntries(
    Object.entries(loaded.recipe.objectives).filter(([name]) => judged.includes(name)),
  );
  await runRecipe({ ...loaded.recipe, objectives, guide: undefined }, { ...options, until: "reward" });
  const run = join(folder, "judges");
  const notes: string[] = [];
  for (const name of judged) {
    const model = join(run, "reward", name, "model");
    set.push(`objectives.${name}.judge=${JSON.stringify({ kind: "model", model })}`);
    notes.push(
      `${name} is judged by a reward model of other rows than any run's${await accuracyOf(run, name)}`,
    );
  }
  return { ...domain, set: [...domain.set, ...set], notes };
};
