/** The relabel stage: rollouts become stepwise rows with a target for every step. */
import { join } from "node:path";
import { append } from "../../core/append.ts";
import { formatNumberOf } from "../../core/format.ts";
import { writeJsonLines } from "../../core/json-lines.ts";
import { Problems } from "../../data/rows/problems.ts";
import { judgeContent, makeJudge } from "../../judges/registry.ts";
import { allRollouts } from "../../rollout/file.ts";
import { relabelNeedsJudge, relabelRows, stepwiseLine } from "../../rollout/relabel.ts";
import { needFolder, type Stage } from "../engine/stage.ts";
import type { RelabelBlock } from "../schema/rollout.ts";
import type { Recipe } from "../schema/schema.ts";
import { judgeSource } from "./judges.ts";
import { rolloutFile, type Side, sides } from "./rollout.ts";

type Labelled = { name: string; block: RelabelBlock; judge: unknown; where: string };

/** Objectives whose steps are labelled, each with the judge of steps where one is needed. */
const labelled = ({ objectives }: Recipe): Labelled[] =>
  Object.entries(objectives).flatMap(([name, { relabel, judge }]): Labelled[] => {
    if (relabel === undefined) return [];
    const hasJudge = relabel.judge !== undefined;
    const where = `objectives.${name}.${hasJudge ? "relabel.judge" : "judge"}`;
    return [
      {
        name,
        block: relabel,
        judge: relabelNeedsJudge(relabel) ? (relabel.judge ?? judge) : undefined,
        where,
      },
    ];
  });

/** Labels steps; the folder then holds `train.jsonl` and `held-out.jsonl`, rows of all objectives together. */
export const relabelStage: Stage<Recipe> = {
  name: "relabel",
  version: "1",
  dependencies: ["rollout"],
  skipped: (recipe) => labelled(recipe).length === 0,
  inputs: (recipe) =>
    Object.fromEntries(
      labelled(recipe).map(({ name, block: { judge: _, ...block }, judge, where }) => [
        name,
        { ...block, ...(judge === undefined ? {} : { judge: judgeContent(judge, where) }) },
      ]),
    ),
  sources: (recipe) =>
    labelled(recipe).flatMap(({ judge, where }) => (judge === undefined ? [] : judgeSource(judge, where))),
  run: async ({ recipe, folder, folderOf, cache, signal, log }) => {
    const rollouts = needFolder("relabel", "rollout", folderOf);
    const lines: Record<Side, unknown[]> = { train: [], "held-out": [] };
    for (const { name, block, judge: declared, where } of labelled(recipe)) {
      const judge =
        declared === undefined ? undefined : makeJudge(declared, where, { cache: join(cache, "judges") });
      const problems = new Problems({ maxBadShare: recipe.data.maxBadShare });
      try {
        for (const side of sides) {
          const rows = await allRollouts(rolloutFile(rollouts, name, side));
          const { judge: _, ...options } = block;
          const relabelled = await relabelRows(rows, options, { judge, signal, problems });
          append(lines[side], relabelled.map(stepwiseLine));
          const labels = relabelled.flatMap((row) => row.labels.flatMap((label) => label ?? []));
          const mean = labels.reduce((sum, label) => sum + label, 0) / Math.max(1, labels.length);
          const shown = `${formatNumberOf(relabelled.length, "row")}, ${formatNumberOf(labels.length, "label")}, mean ${mean.toFixed(3)}`;
          log(`relabel: ${name}${side === "train" ? "" : " held out"}: ${shown}`);
        }
      } finally {
        judge?.dispose?.();
      }
      if (problems.summary() !== "") log(problems.summary());
    }
    for (const side of sides) await writeJsonLines(join(folder, `${side}.jsonl`), lines[side]);
  },
};
