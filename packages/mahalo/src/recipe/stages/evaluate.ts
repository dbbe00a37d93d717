/** The evaluate stage: every mix answers held-out prompts and is judged; every head ranks held-out pairs. */
import { join } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { hashBytes } from "../../core/files.ts";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { canonicalJson } from "../../core/json.ts";
import { JsonlWriter } from "../../core/json-lines.ts";
import { progress } from "../../core/progress.ts";
import { rng } from "../../core/random.ts";
import { describeReason } from "../../data/rows/problems.ts";
import type { LogitMixture } from "../../decode/logit-mixing.ts";
import { samplingContent } from "../../decode/sampling.ts";
import type { MeasuredMix } from "../../evaluate/control.ts";
import { bootstrapMean } from "../../evaluate/intervals.ts";
import { formatMix, mixGrid, type SweepMix } from "../../evaluate/mixes.ts";
import { type Margins, pairAccuracy } from "../../evaluate/pair-accuracy.ts";
import { nextMix, sweepSize } from "../../evaluate/refine.ts";
import { type Results, resultsVersion, type SweepResults, writeResults } from "../../evaluate/results.ts";
import { type Policy, runSweep } from "../../evaluate/sweep.ts";
import { makeJudge } from "../../judges/registry.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import { weightIn } from "../../model/heads/mix-weight.ts";
import { provenance } from "../engine/provenance.ts";
import { needFolder, type Stage, type StageContext } from "../engine/stage.ts";
import { readStageManifest } from "../engine/stage-manifest.ts";
import type { EvaluateOptions, Recipe } from "../schema/schema.ts";
import { modelFiles, rowSourceFiles, sourceInputs } from "../sources.ts";
import { bestOfRollouts, rewardMetricsOf } from "./best-of.ts";
import { readAllPairs, readSummary } from "./data-files.ts";
import { divergences } from "./divergences.ts";
import { forJudges, judgeInputs, judgeSources } from "./judges.ts";
import { mergedOf, mergedSources, withMerged } from "./merged-policies.ts";
import { pairMargins } from "./pair-margins.ts";
import { statedWeights } from "./prompted.ts";
import { askedIds, cachedAnswers, evaluationPrompts, withModel } from "./prompts.ts";
import { withStepScores } from "./sample-steps.ts";
import { modelFolder } from "./training.ts";

/** What generates answers: one text a prompt, under a mix of the model's heads or its base head. */
export type Answer = (
  model: LanguageModel,
  prompts: readonly number[][],
  options: {
    mix: SweepMix | undefined;
    decoding: EvaluateOptions;
    seed: number;
    signal: AbortSignal;
    onAnswer: () => void;
    /** What holds the rows, where it is not the model's own decoder. */
    decoder?: LogitMixture["decoder"] | undefined;
  },
) => Promise<string[]>;

type Context = StageContext<Recipe>;

/** The model to evaluate, and the one that align began with, as loadModel takes them. */
const modelNames = ({ recipe, folderOf }: Context): { evaluated: string; baseline: string | undefined } => {
  const tuned = folderOf("sft");
  const aligned = folderOf("align");
  const before = tuned === undefined ? recipe.model : modelFolder(tuned);
  return aligned === undefined
    ? { evaluated: before, baseline: mergedOf(recipe) === undefined ? undefined : before }
    : { evaluated: modelFolder(aligned), baseline: before };
};

/** What the sweep mixes: the heads' objectives, or those of merged models. */
const mixedObjectives = (recipe: Recipe, model: LanguageModel): string[] =>
  Object.keys(mergedOf(recipe)?.models ?? {}).concat(model.heads.objectives);

/** The mixes that a recipe lists, with weights that sum to 1; each once, whatever its weights were scaled to. */
const listedMixes = (mixes: readonly SweepMix[], objectives: readonly string[]): SweepMix[] => {
  const normalized = mixes.map((mix) => {
    const sum = Object.values(mix).reduce((total, weight) => total + weight, 0);
    return Object.fromEntries(objectives.map((name) => [name, weightIn(mix, name) / sum]));
  });
  return [...new Map(normalized.map((mix) => [formatMix(mix), mix])).values()];
};

const decodingOf = (options: EvaluateOptions) => {
  const { maxNewTokens, temperature, topK, topP, minP } = options;
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = options;
  const penalties = { repetitionPenalty, frequencyPenalty, presencePenalty };
  return samplingContent({ maxNewTokens, temperature, topK, topP, minP, ...penalties });
};

/** The mixes that a prompt states: those of the sweep, over all objectives. */
const promptedMixes = ({ evaluate: { mixes }, objectives }: Recipe): SweepMix[] =>
  Array.isArray(mixes) ? mixes : mixGrid(Object.keys(objectives), mixes);

/** What a model without objectives' heads is called: by the method that aligned it with one head. */
const onlyPolicy = ({ recipe: { align }, folderOf }: Context): string =>
  align === false || folderOf("align") === undefined ? "model" : align.method;

/** Generates and judges; undefined where the recipe has no judge or asks for no prompts. */
const sweep = async (
  context: Context,
  answer: Answer,
  model: LanguageModel,
): Promise<SweepResults | undefined> => {
  const { recipe, folder, cache, signal, log } = context;
  const judges = forJudges(recipe, (judge, where) =>
    makeJudge(judge, where, { cache: join(cache, "judges") }),
  );
  const prompts = await evaluationPrompts(context, "evaluate", recipe.evaluate.prompts);
  if (Object.keys(judges).length === 0 || prompts.length === 0) return undefined;
  const { evaluate, data, seed } = recipe;
  const respond = async (
    policy: LanguageModel,
    name: string,
    label: string,
    mix: SweepMix | undefined,
    { decoder, system }: { decoder?: LogitMixture["decoder"] | undefined; system?: string } = {},
  ): Promise<string[]> =>
    cachedAnswers(context, name, z.array(z.string()), async () => {
      throwIfAborted(signal, "evaluating", resumes);
      const bar = progress({ label: `evaluate ${label}`, total: prompts.length, unit: "answers" });
      let done = 0;
      const onAnswer = (): void => {
        done += 1;
        bar.update(done);
      };
      const ids = prompts.map(({ prompt }) => askedIds(policy, prompt, data, system));
      const answers = await answer(policy, ids, { mix, decoding: evaluate, seed, signal, onAnswer, decoder });
      bar.done();
      return answers;
    });
  const merged = mergedOf(recipe);
  const names = new Map<string, string>();
  const policyOf = (mix: SweepMix | undefined): Policy => {
    const label = mix === undefined ? onlyPolicy(context) : formatMix(mix);
    // By the mix itself: which mix an adaptive sweep asks for next depends on what judges said.
    const name = `mix-${hashBytes(canonicalJson(mix ?? null)).slice(0, 16)}`;
    names.set(label, name);
    return {
      label,
      ...(mix === undefined ? {} : { mix }),
      respond: () =>
        merged === undefined || mix === undefined
          ? respond(model, name, label, mix)
          : withMerged(merged, mix, (policy, share, decoder) =>
              respond(policy, name, label, share, { decoder }),
            ),
    };
  };
  const objectives = mixedObjectives(recipe, model);
  const { mixes } = evaluate;
  const policies = objectives.length === 0 ? [policyOf(undefined)] : [];
  if (objectives.length > 0 && Array.isArray(mixes))
    policies.push(...listedMixes(mixes, objectives).map(policyOf));
  const adaptive =
    objectives.length === 0 || Array.isArray(mixes)
      ? undefined
      : {
          count: sweepSize(objectives, mixes),
          next: (measured: readonly MeasuredMix[]): Policy | undefined => {
            const stream = (pair: number) =>
              rng(seed, "evaluate", "refine", String(measured.length), String(pair));
            const mix = nextMix(objectives, measured, stream);
            return mix && policyOf(mix);
          },
        };
  const { baseline } = modelNames(context);
  if (baseline !== undefined && evaluate.baseline) {
    const label = recipe.sft === false ? "base" : "sft";
    policies.push({
      label,
      before: true,
      respond: () => withModel(baseline, context, (policy) => respond(policy, label, label, undefined)),
    });
  }
  if (evaluate.prompted) {
    for (const [index, mix] of promptedMixes(recipe).entries()) {
      const label = `prompted ${formatMix(mix)}`;
      const system = statedWeights(mix, recipe.objectives);
      policies.push({
        label,
        respond: () =>
          withModel(recipe.model, context, (policy) =>
            respond(policy, `prompted-${index}`, label, undefined, { system }),
          ),
      });
    }
  }
  const outcome = await runSweep({
    policies,
    adaptive,
    judges,
    prompts,
    samples: evaluate.samples,
    seed,
    signal,
    onPolicy: ({ label, results }) => {
      const shares = Object.entries(results).map(([name, { mean }]) => `${name} ${mean.toFixed(3)}`);
      log(`evaluate: ${label}: ${shares.join(", ")}`);
    },
  }).finally(() => {
    for (const judge of Object.values(judges)) judge.dispose?.();
  });
  const moved =
    baseline === undefined || !evaluate.kl
      ? new Map<string, number[]>()
      : await divergences(context, {
          ...{ model, baseline, merged, prompts },
          policies: outcome.points.flatMap(({ label, mix }) => {
            const name = names.get(label);
            if (name === undefined) return [];
            const ofMix = outcome.answers.filter((answer) => answer.label === label);
            return [{ label, mix, name, responses: ofMix.map(({ response }) => response) }];
          }),
        });
  const answers = new JsonlWriter(join(folder, "answers.jsonl"));
  for (const answer of outcome.answers) {
    const kl = moved.get(answer.label)?.[answer.prompt];
    answers.write(kl === undefined ? answer : { ...answer, kl });
  }
  answers.close();
  const { steering, control, scale } = outcome;
  const samples = await withStepScores(context, outcome.samples);
  const points = outcome.points.map((point) => {
    const divergences = moved.get(point.label);
    if (divergences === undefined) return point;
    return {
      ...point,
      kl: bootstrapMean(divergences, rng(seed, "evaluate", "bootstrap", "kl", point.label)),
    };
  });
  return {
    prompts: prompts.length,
    decoding: decodingOf(evaluate),
    points,
    steering,
    control,
    scale,
    samples,
  };
};

/** Pair accuracy of every head, and of the model that align began with. */
const rank = async (context: Context, model: LanguageModel): Promise<Results["pairAccuracy"]> => {
  const { recipe, folderOf, signal } = context;
  if (!recipe.evaluate.pairAccuracy) return undefined;
  // A distribution made of several models' logits has no log-probabilities of its own to rank by.
  if (mergedOf(recipe)?.merges === "logits") return undefined;
  const data = needFolder("evaluate", "data", folderOf);
  const { heldOut: pairs } = await readAllPairs(data, folderOf("pairs"), signal);
  const objectives = Object.keys(recipe.objectives).filter((name) =>
    pairs.some(({ objective }) => objective === name),
  );
  if (objectives.length === 0) return undefined;
  const cells: Margins[] = [];
  const { baseline } = modelNames(context);
  const before = recipe.sft === false ? "base" : "sft";
  if (baseline !== undefined) {
    throwIfAborted(signal, "evaluating", resumes);
    cells.push(
      ...(await withModel(baseline, context, async (policy) =>
        pairMargins(policy, [{ label: before, weight: policy.heads.base }], pairs, objectives),
      )),
    );
  }
  const namedHeads = model.heads.objectives.map((name) => ({
    label: name,
    // Of low-rank heads one is merged when it is read: only so many are kept.
    weight: model.heads.lowRank
      ? {
          get value() {
            return model.heads.mix({ [name]: 1 });
          },
        }
      : model.heads.get(name),
    mix: { [name]: 1 },
  }));
  throwIfAborted(signal, "evaluating", resumes);
  // A model of one head goes by its method's name, or by that of the model it still is.
  const only = baseline === undefined || recipe.align === false ? before : recipe.align.method;
  cells.push(
    ...pairMargins(
      model,
      namedHeads.length > 0 ? namedHeads : [{ label: only, weight: model.heads.base }],
      pairs,
      objectives,
    ),
  );
  return pairAccuracy(cells, baseline === undefined ? undefined : before);
};

/** Seconds of each stage before this one, out of their stamps. */
const stageTimes = async ({ folderOf }: Context): Promise<Results["stages"]> => {
  const times: Results["stages"] = [];
  for (const name of ["data", "sft", "rollout", "pairs", "reward", "align"]) {
    const folder = folderOf(name);
    const stamp = folder === undefined ? undefined : await readStageManifest(folder);
    if (stamp !== undefined) times.push({ name, seconds: stamp.seconds });
  }
  return times;
};

/** What became of the rows that the data stage read. */
const rowsTold = async ({
  folderOf,
}: Pick<StageContext<Recipe>, "folderOf">): Promise<Pick<Results, "rows">> => {
  const { rows } = await readSummary(needFolder("evaluate", "data", folderOf));
  const told = [
    ...Object.entries(rows.reasons).map(([reason, count]) => ({ what: describeReason(reason), rows: count })),
    ...Object.entries(rows.skipped).map(([why, count]) => ({ what: `left out: ${why}`, rows: count })),
    ...Object.entries(rows.notes).map(([what, count]) => ({ what, rows: count })),
  ];
  return { rows: { seen: rows.seen, bad: rows.bad, told } };
};

/** Makes the evaluate stage; `answer` generates. */
export const evaluateStage = (answer: Answer): Stage<Recipe> => ({
  name: "evaluate",
  version: "8",
  dependencies: ["data", "sft", "rollout", "pairs", "reward", "align"],
  inputs: (recipe) => {
    const { evaluate, data } = recipe;
    const { from, batchSize: _, ...rest } = evaluate;
    return {
      ...samplingContent(rest),
      from: from === "heldOut" ? from : sourceInputs(from),
      judges: judgeInputs(recipe),
      prompt: [data.chat, data.maxPromptTokens],
      ...(mergedOf(recipe) === undefined ? {} : { merged: mergedOf(recipe)?.method }),
      ...(evaluate.prompted
        ? { stated: Object.entries(recipe.objectives).map(([name, { description }]) => [name, description]) }
        : {}),
    };
  },
  sources: (recipe) => [
    ...(recipe.sft === false ? [modelFiles(recipe.model, recipe.revision)] : []),
    ...(recipe.evaluate.from === "heldOut" ? [] : [rowSourceFiles("evaluate.from", recipe.evaluate.from)]),
    ...judgeSources(recipe),
    ...mergedSources(recipe),
  ],
  run: async (context) => {
    const { recipe, folder } = context;
    const began = performance.now();
    const { evaluated } = modelNames(context);
    const [swept, ranked] = await withModel(evaluated, context, async (model) => [
      await sweep(context, answer, model),
      await rank(context, model),
    ]);
    const chosen = await bestOfRollouts(context);
    const rewardModels = await rewardMetricsOf(context);
    const { mahalo, ...machine } = await provenance();
    const results: Results = {
      format: "mahalo-results",
      version: resultsVersion,
      name: recipe.name,
      ...(recipe.description === undefined ? {} : { description: recipe.description }),
      finished: new Date().toISOString(),
      mahalo,
      model: recipe.model,
      seed: recipe.seed,
      recipe: stringify(recipe, { aliasDuplicateObjects: false }),
      stages: [
        ...(await stageTimes(context)),
        { name: "evaluate", seconds: (performance.now() - began) / 1000 },
      ],
      machine,
      objectives: Object.entries(recipe.objectives).map(([name, { description, judge }]) => ({
        name,
        ...(description === undefined ? {} : { description }),
        ...(judge === undefined ? {} : { judge: judge.kind }),
      })),
      ...(await rowsTold(context)),
      ...(swept === undefined ? {} : { sweep: swept }),
      ...(ranked === undefined ? {} : { pairAccuracy: ranked }),
      ...(rewardModels === undefined ? {} : { rewardModels }),
      ...(chosen.length === 0 ? {} : { bestOf: chosen }),
    };
    await writeResults(join(folder, "results.json"), results);
  },
});
