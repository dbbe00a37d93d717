/** The guide stage: policies answer held-out prompts guided by the recipe's reward models, and unguided. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MahaloError } from "@mahalo/torch";
import { z } from "zod";
import { writeJsonFile } from "../../core/files.ts";
import { resumes, throwIfAborted } from "../../core/interrupt.ts";
import { JsonlWriter } from "../../core/json-lines.ts";
import { zip } from "../../core/need.ts";
import { progress } from "../../core/progress.ts";
import { generateAll } from "../../decode/generate.ts";
import { samplingContent } from "../../decode/sampling.ts";
import {
  describeWeights,
  type GuidanceResults,
  type GuidedMeasurement,
  guidanceVersion,
  guidedPoint,
} from "../../evaluate/guidance.ts";
import type { SweepPrompt } from "../../evaluate/sweep.ts";
import { makeJudge } from "../../judges/registry.ts";
import type { Judge } from "../../judges/types.ts";
import type { LanguageModel } from "../../model/folder/load.ts";
import type { Mix } from "../../model/heads/heads.ts";
import { computeDType } from "../../model/transformer/precision.ts";
import { recordedSettings } from "../../search/options.ts";
import { type ModelGuide, openGuides } from "../../search/scorers/guides.ts";
import { searchAnswer } from "../../search/search.ts";
import { votesOf } from "../../search/votes.ts";
import { needFolder, type Stage, type StageContext } from "../engine/stage.ts";
import type { GuideOptions } from "../schema/guide.ts";
import type { Recipe } from "../schema/schema.ts";
import { modelFiles } from "../sources.ts";
import { forJudges, judgeInputs, judgeSources } from "./judges.ts";
import { askedIds, cachedAnswers, evaluationPrompts, withModel } from "./prompts.ts";
import { modelFolder } from "./training.ts";

type Context = StageContext<Recipe>;
type Weights = Readonly<Record<string, number>>;

const answersSchema = z.array(
  z.strictObject({
    text: z.string(),
    answer: z.number(),
    generated: z.number(),
    scored: z.number(),
    seconds: z.number(),
  }),
);

type Answers = z.output<typeof answersSchema>;

/** The recipe's reward models, by the objectives that they score. */
const rewardModels = ({ recipe, folderOf }: Context): Map<string, string> => {
  const rewards = needFolder("guide", "reward", folderOf);
  const unified = recipe.reward !== false && recipe.reward.unified !== false;
  const folders = Object.keys(recipe.objectives).map((name): [string, string] => [
    name,
    modelFolder(join(rewards, unified ? "unified" : name)),
  ]);
  return new Map(folders.filter(([, folder]) => existsSync(folder)));
};

/** The weights to guide with: as declared, or each objective alone and all alike. */
const guidances = (options: GuideOptions, models: ReadonlyMap<string, string>): Weights[] => {
  if (options.weights !== undefined) return options.weights;
  const names = [...models.keys()];
  const alone = names.map((name): Weights => ({ [name]: 1 }));
  return names.length > 1
    ? [...alone, Object.fromEntries(names.map((name) => [name, 1 / names.length]))]
    : alone;
};

/** Policies that the recipe makes: their models' names, and the mixes of their heads. */
const policiesOf = ({ recipe, folderOf }: Context, options: GuideOptions) => {
  const [sft, align] = [folderOf("sft"), folderOf("align")];
  const names = {
    base: recipe.model,
    sft: sft === undefined ? undefined : modelFolder(sft),
    aligned: align === undefined ? undefined : modelFolder(align),
  };
  return options.policies.flatMap((policy) => {
    const name = names[policy];
    if (name === undefined) return [];
    const mixes: (Mix | undefined)[] = policy === "aligned" ? (options.mixes ?? [undefined]) : [undefined];
    return [{ policy, name, mixes }];
  });
};

/** Answers of one policy under one guidance, kept so that a run that was cut short does not search again. */
const respond = async (
  model: LanguageModel,
  prompts: readonly SweepPrompt[],
  { mix, guidance, label }: { mix: Mix | undefined; guidance: Weights | undefined; label: string },
  context: Context,
  options: GuideOptions,
): Promise<Answers> => {
  const { recipe, signal } = context;
  const { sampling, maxNewTokens, search } = options;
  const asked = prompts.map(({ prompt }, index) => ({
    ids: askedIds(model, prompt, recipe.data),
    mix,
    sampling,
    maxNewTokens,
    seed: recipe.seed + index,
  }));
  const bar = progress({ label: `guide ${label}`, total: prompts.length, unit: "answers" });
  const began = performance.now();
  const perPrompt = (): number => (performance.now() - began) / 1000 / prompts.length;
  if (guidance === undefined) {
    let done = 0;
    const completions = await generateAll(model, asked, { signal, onCompletion: () => bar.update(++done) });
    bar.done();
    return completions.map(({ text, ids: { length } }) => {
      return { text, answer: length, generated: length, scored: 0, seconds: perPrompt() };
    });
  }
  const models = rewardModels(context);
  const guides = Object.entries(guidance).flatMap(([objective, weight]): ModelGuide[] => {
    const folder = models.get(objective);
    if (weight === 0) return [];
    if (folder !== undefined) return [{ model: folder, objective, weight }];
    throw new MahaloError("E_GUIDE", `guide.weights: the recipe trains no reward model for "${objective}"`, {
      hint: "give the objective labelled steps or pairs, or leave it out of the weights",
    });
  });
  const { scorer, weights, dispose } = await openGuides(guides, {
    tokenizer: model.tokenizer,
    compute: computeDType("auto"),
    chat: recipe.data.chat,
  });
  try {
    const answers: Answers = [];
    for (const [request, { prompt, reference }] of zip(asked, prompts)) {
      throwIfAborted(signal, "guiding", resumes);
      const start = performance.now();
      const { completion, tree } = await searchAnswer(
        model,
        { ...request, prompt, reference, search, guidance: weights },
        { scorer, vote: votesOf, signal },
      );
      answers.push({
        text: completion.text,
        ...tree.tokens,
        seconds: (performance.now() - start) / 1000,
      });
      bar.update(answers.length);
    }
    bar.done();
    return answers;
  } finally {
    dispose();
  }
};

const measure = async (
  answers: Answers,
  prompts: readonly SweepPrompt[],
  judges: Readonly<Record<string, Judge>>,
  what: Pick<GuidedMeasurement, "policy" | "mix" | "guidance">,
  signal: AbortSignal,
): Promise<GuidedMeasurement> => {
  const items = zip(prompts, answers).map(([prompt, { text }]) => ({ ...prompt, response: text }));
  const scores: Record<string, (number | null)[]> = {};
  for (const [objective, judge] of Object.entries(judges)) {
    scores[objective] = (await judge.score(items, { signal })).map(({ score }) => score);
  }
  const seconds = answers.reduce((sum, answer) => sum + answer.seconds, 0) / answers.length;
  const tokens = answers.map(({ answer, generated, scored }) => ({ answer, generated, scored }));
  return { ...what, scores, tokens, seconds };
};

/** Guides policies; the folder then holds every answer, guidance.json, and in scores.jsonl each prompt's scores by point. */
export const guideStage: Stage<Recipe> = {
  name: "guide",
  version: "3",
  dependencies: ["data", "sft", "reward", "align"],
  skipped: ({ guide }) => guide === undefined,
  inputs: (recipe) => {
    const { guide, data, evaluate } = recipe;
    return {
      ...guide,
      ...(guide === undefined ? {} : { sampling: samplingContent(guide.sampling) }),
      from: evaluate.from === "heldOut" ? evaluate.from : JSON.stringify(evaluate.from),
      judges: judgeInputs(recipe),
      prompt: [data.chat, data.maxPromptTokens],
    };
  },
  sources: (recipe) => [modelFiles(recipe.model, recipe.revision), ...judgeSources(recipe)],
  run: async (context) => {
    const { recipe, folder, cache, signal, log } = context;
    const { guide: options } = recipe;
    if (options === undefined) return;
    const prompts = await evaluationPrompts(context, "guide", options.prompts);
    const judges = forJudges(recipe, (judge, where) =>
      makeJudge(judge, where, { cache: join(cache, "judges") }),
    );
    const points: GuidanceResults["points"] = [];
    const measurements: GuidedMeasurement[] = [];
    try {
      for (const { policy, name, mixes } of policiesOf(context, options)) {
        await withModel(name, context, async (model) => {
          for (const mix of mixes) {
            let unguided: GuidedMeasurement | undefined;
            for (const guidance of [undefined, ...guidances(options, rewardModels(context))]) {
              throwIfAborted(signal, "guiding", resumes);
              const label = [policy, describeWeights(mix), describeWeights(guidance) || "unguided"]
                .filter((part) => part !== "")
                .join(" · ");
              // By number, since labels are rounded.
              const answers = await cachedAnswers(context, `point-${points.length}`, answersSchema, () =>
                respond(model, prompts, { mix, guidance, label }, context, options),
              );
              const what = {
                policy,
                ...(mix === undefined ? {} : { mix }),
                ...(guidance === undefined ? {} : { guidance }),
              };
              const measured = await measure(answers, prompts, judges, what, signal);
              const point = guidedPoint(measured, unguided, recipe.seed);
              unguided ??= measured;
              points.push(point);
              measurements.push(measured);
              const results = Object.entries(point.results).map(
                ([objective, { mean }]) => `${objective} ${mean.toFixed(3)}`,
              );
              log(`guide: ${label}: ${results.join(", ")}`);
            }
          }
        });
      }
    } finally {
      for (const judge of Object.values(judges)) judge.dispose?.();
    }
    const results: GuidanceResults = {
      format: "mahalo-guidance",
      version: guidanceVersion,
      name: recipe.name,
      seed: recipe.seed,
      prompts: prompts.length,
      search: recordedSettings(options.search),
      sampling: samplingContent(options.sampling),
      maxNewTokens: options.maxNewTokens,
      points,
    };
    const scores = new JsonlWriter(join(folder, "scores.jsonl"));
    for (const { tokens: _t, seconds: _s, ...one } of measurements) scores.write(one);
    scores.close();
    await writeJsonFile(join(folder, "guidance.json"), results);
  },
};
