/** The rollout stage: the fine-tuned model, or an endpoint, answers prompts of the training side and some held-out ones. */

import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { ensureDir } from "../../core/files.ts";
import { formatNumberOf } from "../../core/format.ts";
import { writeJsonLines } from "../../core/json-lines.ts";
import { Problems } from "../../data/rows/problems.ts";
import { samplingContent } from "../../decode/sampling.ts";
import { judgeContent, judgesAnswers, makeJudge } from "../../judges/registry.ts";
import { type LanguageModel, loadModel } from "../../model/folder/load.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import { endpointGeneratorContent } from "../../rollout/endpoint-generator.ts";
import { allRollouts } from "../../rollout/file.ts";
import type { RolloutGenerator } from "../../rollout/generator.ts";
import type { RolloutSummary } from "../../rollout/monte-carlo.ts";
import { rejudgeRollouts } from "../../rollout/rejudge.ts";
import { rollOutDialogues, rollOutRows } from "../../rollout/rollout.ts";
import { needFolder, type Stage, type StageContext } from "../engine/stage.ts";
import { rolledOut, rolloutBlock, rolloutsOf } from "../schema/objective.ts";
import type { ObjectiveOptions, Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { readDialogues, readHeldOutDialogues, readHeldOutOpen, readOpen } from "./data-files.ts";
import { judgeInputs, judgeSources } from "./judges.ts";
import { generatesHere, openContinuer, tokenizerSources } from "./rollout-generators.ts";
import { modelFolder } from "./training.ts";

/** The two sides of the split, as files are named after them. */
export const sides = ["train", "held-out"] as const;

/** One of {@link sides}. */
export type Side = (typeof sides)[number];

/** File of an objective's rollouts, inside the stage's folder. */
export const rolloutFile = (folder: string, objective: string, side: Side): string =>
  join(folder, objective, `${side}.jsonl`);

type Context = StageContext<Recipe>;

const openModel = (name: string, { revision }: Recipe, isRecipeModel: boolean): Promise<LanguageModel> =>
  loadModel(name, {
    compute: computeDType("auto"),
    ...(isRecipeModel && revision !== undefined ? { revision } : {}),
  });

/** Rolls one side of an objective out; undefined where it has no rows. */
const rollOutSide = async (
  name: string,
  side: Side,
  generator: RolloutGenerator | undefined,
  context: Context,
): Promise<RolloutSummary | undefined> => {
  const { recipe, folder, folderOf, cache, signal, log } = context;
  const objective = recipe.objectives[name] as ObjectiveOptions;
  const { samples, batchSize, from, heldOut, simulate, persona } = rolloutBlock(objective);
  const data = needFolder("rollout", "data", folderOf);
  const ofSide = <Row extends { objective: string }>(rows: readonly Row[]): Row[] => {
    const mine = rows.filter((row) => row.objective === name);
    return side === "train" ? mine : mine.slice(0, heldOut);
  };
  const rows = ofSide(await (side === "train" ? readOpen : readHeldOutOpen)(data, signal));
  const dialogues = ofSide(await (side === "train" ? readDialogues : readHeldOutDialogues)(data, signal));
  if (rows.length + dialogues.length === 0) return undefined;
  const problems = new Problems({ maxBadShare: recipe.data.maxBadShare });
  const out = rolloutFile(folder, name, side);
  await ensureDir(join(folder, name));
  const common = {
    judge: objective.judge,
    judgeName: `objectives.${name}.judge`,
    judgeCache: join(cache, "judges"),
    out,
    samples,
    seed: recipe.seed,
    batchSize,
    signal,
    problems,
  };
  const summary =
    generator === undefined || objective.dialogues !== undefined
      ? await rollOutDialogues(dialogues, {
          ...common,
          generator,
          student: simulate === "missing",
          simulateAll: simulate === "all",
          persona,
        })
      : await rollOutRows(rows, { ...common, generator, from });
  if (problems.summary() !== "") log(problems.summary());
  return summary;
};

/** The same rollouts under the judge of another objective. */
const shareSide = async (name: string, from: string, side: Side, context: Context): Promise<void> => {
  const { recipe, folder, cache, signal } = context;
  const declared = recipe.objectives[name]?.judge;
  const where = `objectives.${name}.judge`;
  const judge = makeJudge(declared, where, { cache: join(cache, "judges") });
  try {
    const rows = await rejudgeRollouts(await allRollouts(rolloutFile(folder, from, side)), {
      judge,
      judgeContent: judgeContent(declared, where),
      objective: name,
      kind: judgesAnswers(declared, where) ? "verifiable" : "judged",
      signal,
    });
    await writeJsonLines(rolloutFile(folder, name, side), rows);
  } finally {
    judge.dispose?.();
  }
};

/** Objectives whose labels or pairs are made of another's rollouts. */
const sharers = ({ objectives }: Recipe): [name: string, from: string][] =>
  Object.keys(objectives).flatMap((name): [string, string][] => {
    const from = rolloutsOf(objectives, name);
    return from === undefined || from === name ? [] : [[name, from]];
  });

const describe = (name: string, side: Side, summary: RolloutSummary): string => {
  const { rows, rollouts, meanScore, cut, abstained } = summary;
  const notes = [
    `${formatNumberOf(rows, "row")}, ${formatNumberOf(rollouts, "answer")}`,
    ...(meanScore === null ? [] : [`mean score ${meanScore.toFixed(3)}`]),
    ...(cut > 0 ? [`${cut} cut`] : []),
    ...(abstained > 0 ? [`${abstained} without a verdict`] : []),
  ];
  return `rollout: ${name}${side === "train" ? "" : " held out"}: ${notes.join(", ")}`;
};

/** Rolls out; the folder then holds `<objective>/train.jsonl` and `<objective>/held-out.jsonl`. */
export const rolloutStage: Stage<Recipe> = {
  name: "rollout",
  version: "2",
  dependencies: ["data", "sft"],
  skipped: ({ objectives }) => rolledOut(objectives).length === 0,
  inputs: (recipe) => {
    const names = rolledOut(recipe.objectives);
    const shared = sharers(recipe);
    return {
      chat: recipe.data.chat,
      maxPromptTokens: recipe.data.maxPromptTokens,
      objectives: Object.fromEntries(
        names.map((name) => {
          const objective = recipe.objectives[name] as ObjectiveOptions;
          // How many answers are made at once changes none of them; the size of batches decides what a line stands by.
          const { parallel: _, endpoint, ...block } = rolloutBlock(objective);
          const answering = endpoint === undefined ? {} : { endpoint: endpointGeneratorContent(endpoint) };
          return [name, { ...samplingContent(block), ...answering }];
        }),
      ),
      shared: Object.fromEntries(shared),
      judges: judgeInputs(recipe, [...names, ...shared.map(([name]) => name)]),
    };
  },
  sources: (recipe) => [
    ...(recipe.sft === false ? [modelFiles(recipe.model, recipe.revision)] : []),
    ...tokenizerSources(recipe, rolledOut(recipe.objectives)),
    ...judgeSources(recipe, [...rolledOut(recipe.objectives), ...sharers(recipe).map(([name]) => name)]),
  ],
  run: async (context) => {
    const { recipe, folder, folderOf, log } = context;
    const names = rolledOut(recipe.objectives);
    const tuned = folderOf("sft");
    const needed = names.some((name) => generatesHere(recipe.objectives[name] as ObjectiveOptions));
    const name = tuned === undefined ? recipe.model : modelFolder(tuned);
    const model = needed ? await openModel(name, recipe, tuned === undefined) : undefined;
    try {
      for (const objective of names) {
        const generator = await openContinuer(objective, model, context);
        for (const side of sides) {
          const summary = await rollOutSide(objective, side, generator, context);
          if (summary !== undefined) log(describe(objective, side, summary));
          else if (side === "train")
            throw new MahaloError("E_ROLLOUT", `objectives.${objective}: no row is left to roll out`);
          else {
            await ensureDir(join(folder, objective));
            await writeJsonLines(rolloutFile(folder, objective, side), []);
          }
        }
      }
    } finally {
      model?.dispose();
    }
    for (const [objective, from] of sharers(recipe)) {
      for (const side of sides) await shareSide(objective, from, side, context);
    }
  },
};
