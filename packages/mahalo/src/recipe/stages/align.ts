/** The align stage: MAH-DPO, one head an objective over a shared backbone, or a method it is compared with. */
import { MahaloError } from "@mahalo/torch";
import { listNames } from "../../core/suggest.ts";
import type { EncodedPair } from "../../data/tokens/encode.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { soupModel } from "../../model/heads/soup.ts";
import type { ReadOptions } from "../../train/forward.ts";
import { interiorMixes } from "../../train/interior-mixes.ts";
import { baseHead } from "../../train/log-prob-head.ts";
import { alignMethods } from "../../train/methods/registry.ts";
import { type PreferenceTaskOptions, preferenceTask, type ReferencePair } from "../../train/preference.ts";
import { cachedReference } from "../../train/reference.ts";
import { frozenLayers, frozenReads, setTrainable, train } from "../../train/trainer.ts";
import { needFolder, type Stage, type StageContext } from "../engine/stage.ts";
import { hasPairs } from "../schema/objective.ts";
import type { AlignOptions, ObjectiveOptions, Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import {
  freezesBackbone,
  lossesOf,
  newHeads,
  rankedPairs,
  readsReference,
  rewardModels,
  singleHead,
  weightsOf,
} from "./align-methods.ts";
import { readAllPairs } from "./data-files.ts";
import { openFrozenStates } from "./frozen-states.ts";
import { mergedSources } from "./merged-policies.ts";
import {
  loadForTraining,
  modelFolder,
  reachedRows,
  refuseHeads,
  saveTrained,
  scheduleRows,
  trainingInputs,
} from "./training.ts";

/** Identity of the reference policy: the fine-tuned model's key, or the base model's files where sft is left out. */
const referencePolicy = ({ ingredients }: StageContext<Recipe>): string =>
  ingredients.dependencies.sft ?? ingredients.sources.model ?? "";

/** The reference's log-probabilities of pairs: constants, so they are computed once and kept. */
const referenceOf = async (
  model: LanguageModel,
  pairs: readonly EncodedPair[],
  { maxTokensPerMicrobatch }: AlignOptions,
  context: StageContext<Recipe>,
  frozen: Pick<ReadOptions, "hidden" | "trunk">,
): Promise<ReferencePair[]> => {
  if (pairs.length === 0) return [];
  return cachedReference(model, pairs, {
    maxTokensPerMicrobatch,
    ...frozen,
    folder: context.cache,
    policy: referencePolicy(context),
    signal: context.signal,
  });
};

/** Saves the soup of the block's weights; other mixes are made of the same models when they are asked for. */
const saveSoup = async (align: AlignOptions, context: StageContext<Recipe>): Promise<void> => {
  const { models = {} } = align;
  const soup = await soupModel(models, Object.fromEntries(weightsOf(align, Object.keys(models))));
  try {
    await saveTrained(soup, context);
  } finally {
    soup.dispose();
  }
};

/** Rows of the method's own objective, where it trains on one, in as many steps as all objectives' rows would take. */
const rowsOf = (
  read: { train: readonly EncodedPair[]; heldOut: readonly EncodedPair[] },
  objectives: readonly string[],
  align: AlignOptions,
  seed: number,
) => {
  const ours = ({ objective }: EncodedPair): boolean => objectives.includes(objective);
  const [all, heldOut] = [read.train.filter(ours), read.heldOut.filter(ours)];
  const whole = scheduleRows(all, objectives, align, seed);
  const { objective } = align;
  if (objective === undefined) return { ...reachedRows(all, whole), heldOut, objectives };
  const ofObjective = all.filter((pair) => pair.objective === objective);
  const { batchSize } = align;
  // Methods are compared at one budget: the same number of pairs seen.
  const endless = { batchSize, epochs: Number.POSITIVE_INFINITY, maxSteps: whole.steps };
  return {
    ...reachedRows(ofObjective, scheduleRows(ofObjective, [objective], endless, seed)),
    heldOut: heldOut.filter((pair) => pair.objective === objective),
    objectives: [objective],
  };
};

/** Refuses what would change how objectives answer whose heads the model has. @throws MahaloError E_ADAPTERS, E_HEAD_EXISTS */
const checkPresentHeads = (model: LanguageModel, { train }: AlignOptions): void => {
  const { heads, backbone } = model;
  const present = heads.objectives;
  if (present.length === 0) return;
  if (train === "heads") return;
  if (typeof train === "object" && "adapters" in train) {
    if (!train.adapters.shared || backbone.adapters?.shared) return;
    throw new MahaloError(
      "E_ADAPTERS",
      "align.train.adapters.shared: the model's objectives share no adapter",
      {
        hint: `a shared adapter would change how ${listNames(present)} answer; leave it out`,
      },
    );
  }
  refuseHeads(model, "align.train", "add objectives with method: add-head");
};

/** Gives each objective a head that begins as the model's own: a noisy copy of it, or an update of low rank. */
const addHeads = (
  { heads, backbone: { compute } }: LanguageModel,
  objectives: readonly string[],
  { heads: lowRank, headNoise }: AlignOptions,
  seed: number,
): void => {
  const rank = heads.objectives.length > 0 ? heads.rank : lowRank?.rank;
  if (lowRank !== undefined && rank !== lowRank.rank) {
    const present = rank === undefined ? "whole heads" : `heads of rank ${rank}`;
    throw new MahaloError("E_HEAD_RANK", `align.heads.rank: ${lowRank.rank}, but the model has ${present}`, {
      hint: "leave align.heads out: a further head is as the others are",
    });
  }
  if (rank === undefined) heads.addNoisyCopies(objectives, { seed, std: headNoise, compute });
  else heads.addLowRank(objectives, { rank, seed, compute });
};

/** Trains a head for each objective and the backbone; its folder then holds `model/` and metrics. */
export const alignStage: Stage<Recipe> = {
  name: "align",
  version: "1",
  dependencies: ["data", "sft", "pairs"],
  skipped: ({ align }) => align === false || alignMethods.get(align.method).merges === "logits",
  inputs: ({ align, objectives }) =>
    align === false
      ? null
      : {
          ...trainingInputs(align),
          weights: Object.fromEntries(Object.entries(objectives).map(([name, { weight }]) => [name, weight])),
        },
  sources: ({ sft, align, model, revision }) => [
    ...(sft === false ? [modelFiles(model, revision)] : []),
    ...(align === false ? [] : [...rewardModels(align), ...mergedSources({ align })]),
  ],
  run: async (context) => {
    const { recipe, folder, folderOf, signal } = context;
    const { align, seed } = recipe;
    if (align === false) return;
    if (alignMethods.get(align.method).merges === "weights") return saveSoup(align, context);
    const data = needFolder("align", "data", folderOf);
    const read = await readAllPairs(data, folderOf("pairs"), signal);
    const named = Object.keys(recipe.objectives).filter((name) =>
      hasPairs(recipe.objectives[name] as ObjectiveOptions),
    );
    const tuned = folderOf("sft");
    const model = await loadForTraining(recipe, tuned === undefined ? undefined : modelFolder(tuned), align);
    const options = freezesBackbone(align) ? { ...align, train: "heads" as const } : align;
    const states =
      frozenLayers(options, model.config.layers) > 0 ? await openFrozenStates(model, context) : undefined;
    const frozen = frozenReads(model.backbone, options, states);
    const reference = (pairs: readonly EncodedPair[]): Promise<ReferencePair[]> =>
      referenceOf(model, pairs, align, context, frozen);
    try {
      checkPresentHeads(model, options);
      const {
        rows,
        schedule,
        heldOut: all,
        objectives,
      } = rowsOf(read, newHeads(align, model, named), align, seed);
      const weights = weightsOf(align, named);
      // What is never measured needs no reference either.
      const held = align.evaluateEvery === "never" ? [] : all;
      const ranked = await rankedPairs(
        model,
        { pairs: rows, heldOut: held },
        weights,
        reference,
        align,
        context,
      );
      const { pairs, heldOut } = ranked;
      const referenced = readsReference(align);
      const ofPairs = referenced ? await reference(pairs) : undefined;
      const ofHeldOut = referenced ? await reference(heldOut) : undefined;
      states?.save(context.log);
      const single = singleHead(align);
      if (!single) addHeads(model, objectives, align, seed);
      const heads = single ? [model.heads.base] : model.heads.parameters(objectives);
      const trained = setTrainable(model, options.train, heads, seed, objectives);
      const { loss, beta, smoothing, gamma } = align;
      const objectiveWeights = Object.fromEntries(
        objectives.map((name) => [name, recipe.objectives[name]?.weight ?? 1]),
      );
      const base = baseHead(model);
      const taskOptions: PreferenceTaskOptions = {
        pairs,
        reference: ofPairs,
        heldOut,
        heldOutReference: ofHeldOut,
        ...schedule,
        loss,
        beta,
        smoothing,
        gamma,
        objectiveWeights,
        ...(align.interiorMixes > 0
          ? { mixOf: interiorMixes(objectives, { share: align.interiorMixes, seed }) }
          : {}),
        losses: lossesOf(ranked, weights, align),
        ...(single ? { headOf: () => base } : {}),
      };
      const task = preferenceTask(taskOptions);
      await train(model, task, options, trained, { folder, seed, signal, states });
      states?.save(context.log);
      await saveTrained(model, context);
    } finally {
      states?.dispose();
      model.dispose();
    }
  },
};
