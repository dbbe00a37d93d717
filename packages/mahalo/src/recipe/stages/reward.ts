/** The reward stage: reward models out of labelled steps and pairs, from files or made by the stages before it. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { writeJsonFile } from "../../core/files.ts";
import { formatNumberOf } from "../../core/format.ts";
import { readJsonFile } from "../../core/json.ts";
import { Problems } from "../../data/rows/problems.ts";
import { type EncodeOptions, encodeWatched, stepEncoding } from "../../data/tokens/encode.ts";
import { openModelSource } from "../../model/folder/source.ts";
import { headKinds } from "../../model/reward/head-kinds/registry.ts";
import { loadRewardModel, type RewardModel, saveRewardModel } from "../../model/reward/reward-model.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import type { TrainOptions } from "../../train/options.ts";
import { type RewardRow, rewardTask } from "../../train/reward.ts";
import { setTrainable, train } from "../../train/trainer.ts";
import { needFolder, type Stage, type StageContext } from "../engine/stage.ts";
import { keyOf } from "../engine/stage-manifest.ts";
import type { RewardOptions } from "../schema/reward.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { readAllPairs, readHeldOutSteps, readSteps } from "./data-files.ts";
import { headKindOf, labelsFor, readLabelledSteps, settledHeadKind, stepsFile } from "./reward-rows.ts";
import { modelFolder, scheduleRows } from "./training.ts";

/** A reward model to be trained: its folder's name, its objectives and the kind of each one's head. */
type Planned = { name: string; kinds: Map<string, string> };

const plan = (
  recipe: Recipe,
  reward: RewardOptions,
  objectives: readonly string[],
  rows: readonly RewardRow[],
): Planned[] => {
  const kinds = objectives.map((name): [string, string] => [
    name,
    reward.unified === "prompt"
      ? (reward.heads.unified ?? "hard")
      : settledHeadKind(headKindOf(recipe, reward, name), name, rows),
  ]);
  if (reward.unified !== false) return [{ name: "unified", kinds: new Map(kinds) }];
  return kinds.map(([name, kind]) => ({ name, kinds: new Map([[name, kind]]) }));
};

/** Rows of a model: labelled steps where an objective has any, pairs where its head compares or it has no steps. */
const choose = (
  { kinds }: Planned,
  steps: readonly RewardRow[],
  pairs: readonly RewardRow[],
  aboveShare: number,
): RewardRow[] =>
  [...kinds].flatMap(([name, kind]) => {
    const mine = steps.filter(({ objective }) => objective === name);
    if (headKinds.get(kind).steps === undefined || mine.length === 0)
      return pairs.filter(({ objective }) => objective === name);
    return mine.map((row) =>
      "labels" in row ? { ...row, labels: labelsFor(row.labels, kind, aboveShare) } : row,
    );
  });

const open = (
  context: StageContext<Recipe>,
  reward: RewardOptions,
  { kinds }: Planned,
): Promise<RewardModel> => {
  const { recipe, folderOf } = context;
  const tuned = folderOf("sft");
  const [shared = "hard"] = kinds.values();
  const boundary =
    reward.boundary ?? [...kinds.keys()].flatMap((name) => recipe.objectives[name]?.rollout?.step ?? [])[0];
  return loadRewardModel(tuned === undefined ? recipe.model : modelFolder(tuned), {
    compute: computeDType(reward.precision),
    training: true,
    seed: recipe.seed,
    ...(tuned === undefined && recipe.revision !== undefined ? { revision: recipe.revision } : {}),
    ...(boundary === undefined ? {} : { boundary }),
    ...(reward.unified === "prompt"
      ? { heads: [{ name: "unified", kind: shared }], promptObjectives: [...kinds.keys()] }
      : { heads: [...kinds].map(([name, kind]) => ({ name, kind })) }),
  });
};

const metricsSchema = z.record(z.string(), z.number());

/** Trains one model; one that an earlier sitting ended is left as it is. */
const trainOne = async (
  context: StageContext<Recipe>,
  reward: RewardOptions,
  planned: Planned,
  rows: { train: RewardRow[]; heldOut: RewardRow[] },
): Promise<Record<string, number>> => {
  const { recipe, signal, ingredients } = context;
  const folder = join(context.folder, planned.name);
  const done = join(folder, "metrics.json");
  if (existsSync(done)) return readJsonFile(done, metricsSchema);
  const objectives = [...planned.kinds.keys()];
  const { seed } = recipe;
  const { train: part, ...rest } = reward;
  const options: TrainOptions = { ...rest, train: part === "frozen" ? "heads" : part };
  const schedule = scheduleRows(rows.train, objectives, reward, seed);
  const model = await open(context, reward, planned);
  try {
    const weights = Object.fromEntries(
      objectives.map((objective) => [objective, recipe.objectives[objective]?.weight ?? 1]),
    );
    const task = rewardTask(model, { rows: rows.train, heldOut: rows.heldOut, ...schedule, weights });
    const trained = setTrainable(model, options.train, model.rewards.parameters(), seed);
    const last = await train(model, task, options, trained, { folder, seed, signal });
    const provenance = {
      recipe: recipe.name,
      base: recipe.model,
      seed,
      stage: "reward",
      key: keyOf(ingredients),
    };
    await saveRewardModel(model, modelFolder(folder), { provenance });
    const heldOut = Object.fromEntries(
      Object.entries(last).flatMap(([name, value]) =>
        name.startsWith("eval_") ? [[name.slice("eval_".length), value]] : [],
      ),
    );
    await writeJsonFile(done, heldOut);
    return heldOut;
  } finally {
    model.dispose();
  }
};

/** Trains reward models; the folder then holds one folder a model, and `metrics.json`, those of held-out rows. */
export const rewardStage: Stage<Recipe> = {
  name: "reward",
  version: "2",
  dependencies: ["data", "sft", "relabel", "pairs"],
  skipped: ({ reward }) => reward === false,
  inputs: (recipe) => {
    const { reward, data, objectives } = recipe;
    if (reward === false) return null;
    const { chat, maxPromptTokens, maxTokens, maxBadShare } = data;
    const { saveEvery: _, ...options } = reward;
    return {
      ...options,
      objectives: Object.fromEntries(
        Object.entries(objectives).map(([name, { weight }]) => [
          name,
          { weight, kind: headKindOf(recipe, reward, name) },
        ]),
      ),
      data: { chat, maxPromptTokens, maxTokens, maxBadShare },
    };
  },
  sources: ({ model, revision }) => [modelFiles(model, revision)],
  run: async (context) => {
    const { recipe, folder, folderOf, signal, log } = context;
    const { reward } = recipe;
    if (reward === false) return;
    const { tokenizer, template } = await openModelSource(
      recipe.model,
      recipe.revision === undefined ? {} : { revision: recipe.revision },
    );
    const { chat, maxPromptTokens, maxTokens, maxBadShare } = recipe.data;
    const options: EncodeOptions = { tokenizer, template, chat, maxPromptTokens, maxTokens };
    const problems = new Problems({ maxBadShare });
    const relabelled = folderOf("relabel");
    const data = needFolder("reward", "data", folderOf);
    const stepsOf = async (side: "train" | "held-out"): Promise<RewardRow[]> => {
      const rows = await (side === "train" ? readSteps : readHeldOutSteps)(data, signal);
      const total = rows.length;
      return [
        ...(await encodeWatched(stepEncoding(rows, options, problems), { total, signal })),
        ...(relabelled === undefined
          ? []
          : await readLabelledSteps(stepsFile(relabelled, side), options, problems, signal)),
      ];
    };
    const steps = { train: await stepsOf("train"), heldOut: await stepsOf("held-out") };
    const pairs = await readAllPairs(data, folderOf("pairs"), signal);
    const present = new Set([...steps.train, ...pairs.train].map(({ objective }) => objective));
    const objectives = Object.keys(recipe.objectives).filter((name) => present.has(name));
    const results: Record<string, Record<string, number>> = {};
    for (const planned of plan(recipe, reward, objectives, steps.train)) {
      const rows = {
        train: choose(planned, steps.train, pairs.train, reward.aboveShare),
        heldOut: choose(planned, steps.heldOut, pairs.heldOut, reward.aboveShare),
      };
      if (rows.train.length === 0) {
        throw new MahaloError(
          "E_REWARD_ROW",
          `reward: ${planned.name} has no rows that its head learns from`,
          {
            hint: "give the objective labelled steps, a relabel block or pairs, or its head another kind",
          },
        );
      }
      log(
        `reward: ${planned.name}: ${formatNumberOf(rows.train.length, "row")} to train on, ${rows.heldOut.length} held out`,
      );
      results[planned.name] = await trainOne(context, reward, planned, rows);
    }
    if (problems.summary() !== "") log(problems.summary());
    await writeJsonFile(join(folder, "metrics.json"), results);
  },
};
