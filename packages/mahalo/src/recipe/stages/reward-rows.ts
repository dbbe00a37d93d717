/** The rows that reward models learn from: labelled steps of the relabel stage and pairs, by the kind of each head. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type EncodeOptions, encodeExamples } from "../../data/encode.ts";
import type { Problems } from "../../data/problems.ts";
import type { HeadKind } from "../../model/reward-heads.ts";
import { hardLabels } from "../../reward/relabel.ts";
import { loadScorable, type ScorableRow } from "../../reward/scorable-rows.ts";
import { endsOfTexts } from "../../reward/score-text.ts";
import type { LabelledSteps } from "../../train/reward.ts";
import type { RewardOptions } from "../reward-schema.ts";
import type { Recipe } from "../schema.ts";

type StepRow = Extract<ScorableRow, { form: "steps" }>;

/** Kind of an objective's head: as told, else by what labels there are. */
export const headKindOf = (recipe: Recipe, reward: RewardOptions, name: string): HeadKind => {
  const told = reward.heads[name];
  if (told !== undefined) return told;
  const objective = recipe.objectives[name];
  if (objective?.relabel === undefined) return "bradley-terry";
  const { target } = objective.relabel;
  return objective.dialogues === undefined && (target === "hindsight" || target === "value")
    ? "value"
    : "hard";
};

/** Labels as a head takes them: classes for a hard one, the numbers themselves for any other. */
export const labelsFor = (
  labels: readonly (number | null)[],
  kind: HeadKind,
  aboveShare: number,
): (number | null)[] => {
  const known = labels.flatMap((label) => label ?? []);
  if (kind !== "hard" || known.every((label) => label === 0 || label === 1)) return [...labels];
  const hard = hardLabels(known, { aboveShare });
  let at = 0;
  return labels.map((label) => (label === null ? null : (hard[at++] ?? null)));
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
): Promise<LabelledSteps[]> => {
  if (!existsSync(file)) return [];
  const rows = (await loadScorable({ path: file }, { separator: "", problems })).filter(
    (row): row is StepRow => row.form === "steps",
  );
  const step = problems.step("reward");
  return rows.flatMap((row): LabelledSteps[] => {
    const { prompt, steps, labels, origin, objective = "" } = row;
    const response = steps.join("");
    const encoded = encodeExamples([{ objective, prompt, response, origin }], options, problems);
    const [one] = encoded.rows;
    if (one === undefined) return [];
    if (encoded.cutResponses > 0) {
      step.skip("their labelled steps are longer than data.maxTokens");
      return [];
    }
    const ends = step.guard(origin, () => endsOfTexts(options.codec, one.response, steps));
    return ends === undefined ? [] : [{ ...one, ends, labels }];
  });
};

/** File of labelled steps in the relabel stage's folder. */
export const stepsFile = (folder: string, side: "train" | "held-out"): string =>
  join(folder, `${side}.jsonl`);
