/** The rows that reward models learn from: labelled steps of files and of the relabel stage, and pairs, by the kind of each head. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { element } from "../../core/need.ts";
import { loadParsed } from "../../data/rows/load.ts";
import type { Origin, Problems } from "../../data/rows/problems.ts";
import { parseStepRow, type StepRow } from "../../data/rows/step-rows.ts";
import {
  type EncodedSteps,
  type EncodeOptions,
  encodeWatched,
  stepEncoding,
} from "../../data/tokens/encode.ts";
import { headKinds } from "../../model/reward/head-kinds/registry.ts";
import { hardLabels } from "../../rollout/targets.ts";
import type { RewardRow } from "../../train/reward.ts";
import type { RewardOptions } from "../schema/reward.ts";
import type { Recipe } from "../schema/schema.ts";

/**
 * Kind of an objective's head: as told, else by where its labels come from; "by labels" where those of a file decide, see
 * {@link settledHeadKind}.
 */
export const headKindOf = (recipe: Recipe, reward: RewardOptions, name: string): string => {
  const told = reward.heads[name];
  if (told !== undefined) return told;
  const objective = recipe.objectives[name];
  if (objective?.steps !== undefined) return "by labels";
  if (objective?.relabel === undefined) return "bradley-terry";
  const { target } = objective.relabel;
  return objective.dialogues === undefined && (target === "hindsight" || target === "value")
    ? "value"
    : "hard";
};

/** The kind that {@link headKindOf} leaves open: two classes where all of the objective's labels are 0 or 1, else any number. */
export const settledHeadKind = (kind: string, name: string, rows: readonly RewardRow[]): string => {
  if (kind !== "by labels") return kind;
  const labels = rows.flatMap((row) => (row.objective === name && "labels" in row ? row.labels : []));
  return labels.every((label) => label === null || label === 0 || label === 1) ? "hard" : "value";
};

/** Labels as a head takes them: classes for a head of classes, the numbers themselves for any other. */
export const labelsFor = (
  labels: readonly (number | null)[],
  kind: string,
  aboveShare: number,
): (number | null)[] => {
  const given = labels.flatMap((label) => label ?? []);
  if (!headKinds.get(kind).steps?.classes || given.every((label) => label === 0 || label === 1))
    return [...labels];
  const hard = hardLabels(given, { aboveShare });
  let next = 0;
  return labels.map((label) => (label === null ? null : element(hard, next++)));
};

/**
 * Rows of labelled steps as tokens; one whose labelled steps do not fit into the limits is counted, never cut.
 *
 * @param file of the relabel stage; none where it is not there
 */
export const readLabelledSteps = async (
  file: string,
  options: EncodeOptions,
  problems: Problems,
  signal?: AbortSignal,
): Promise<EncodedSteps[]> => {
  const stats = await stat(file).catch(() => undefined);
  if (stats === undefined || stats.size === 0) return [];
  // What our own stage wrote brings its white space along.
  const parse = (value: unknown, origin: Origin): StepRow =>
    parseStepRow(value, origin, "", { separator: "" });
  const rows = await loadParsed({ path: file }, parse, { problems, signal });
  return encodeWatched(stepEncoding(rows, options, problems), { total: rows.length, signal });
};

/** File of labelled steps in the relabel stage's folder. */
export const stepsFile = (folder: string, side: "train" | "held-out"): string =>
  join(folder, `${side}.jsonl`);
