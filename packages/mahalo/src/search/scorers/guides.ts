/** Guides as a user names them: reward models and judges with weights, read, opened and put together. */
import { MahaloError } from "@mahalo/torch";
import { parse } from "yaml";
import { element } from "../../core/need.ts";
import type { Tokenizer } from "../../data/tokens/tokenizer.ts";
import { makeJudge } from "../../judges/registry.ts";
import { loadRewardModel, type RewardModel } from "../../model/reward/reward-model.ts";
import type { ComputeDType } from "../../model/transformer/parameters.ts";
import type { Scorer } from "../scorer.ts";
import { judgeScorer } from "./judge-scorer.ts";
import { modelScorer } from "./model-scorer.ts";
import { severalScorers } from "./several-scorers.ts";

/** What guides a search, as named by a user. */
export type Guide = ModelGuide | JudgeGuide;

type Named = {
  /** Name of the score; default: the objective's, or the kind of the judge. */
  name?: string | undefined;
  weight: number;
};

/** A reward model, or one objective of it. */
export type ModelGuide = Named & { model: string; objective?: string | undefined };

/** A judge as recipes declare it. */
export type JudgeGuide = Named & { judge: unknown };

const wrong = (text: string, message: string): MahaloError =>
  new MahaloError("E_GUIDE", `guide "${text}": ${message}`, {
    hint: "for example runs/math/reward/accuracy/model:0.7, RM#objective, name=RM:2, or judge:math",
  });

const judgeOf = (text: string, declaration: string): unknown => {
  let value: unknown;
  try {
    value = parse(declaration);
  } catch {
    throw wrong(text, "the judge's declaration is not valid JSON or YAML");
  }
  return typeof value === "string" ? { kind: value } : value;
};

/**
 * Reads a guide: `[NAME=]RM[#OBJECTIVE][:WEIGHT]` for a reward model, `[NAME=]judge:KIND[:WEIGHT]` for a judge, whose
 * options stand as `judge:{kind: rule, asksQuestion: true}`.
 *
 * @throws MahaloError E_GUIDE
 */
export const parseGuide = (text: string): Guide => {
  const [, name, rest = ""] = /^(?:([A-Za-z_][\w-]*)=)?(.*)$/s.exec(text.trim()) ?? [];
  const [, target = "", given] = /^(.*?)(?::(-?\d*\.?\d+(?:e-?\d+)?))?$/s.exec(rest) ?? [];
  const weight = given === undefined ? 1 : Number(given);
  if (!Number.isFinite(weight)) throw wrong(text, `its weight ${given} is not a number`);
  if (target === "") throw wrong(text, "does not name a reward model or a judge");
  const judge = /^judge:(.*)$/s.exec(target)?.[1];
  if (judge !== undefined) return { name, weight, judge: judgeOf(text, judge) };
  const [model = "", objective, ...more] = target.split("#");
  if (more.length > 0 || model === "" || objective === "")
    throw wrong(text, "is not of the form RM#objective");
  return { name, weight, model, objective };
};

/** Reads several guides, divided by commas outside of braces. @throws MahaloError E_GUIDE */
export const parseGuides = (text: string): Guide[] => {
  const parts: string[] = [""];
  let depth = 0;
  for (const letter of text) {
    if (letter === "{" || letter === "[") depth += 1;
    if (letter === "}" || letter === "]") depth -= 1;
    if (letter === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += letter;
  }
  return parts.map(parseGuide);
};

/** What guides of a search have become: a scorer, and the weight of each of its scores. */
export type OpenGuides = { scorer: Scorer; weights: Record<string, number>; dispose(): void };

/** Options of {@link openGuides}. */
export type OpenGuidesOptions = {
  /** The tokenizer of the model that is guided. */
  tokenizer: Tokenizer;
  compute?: ComputeDType | undefined;
  chat?: boolean | undefined;
};

/** Guides of one reward model, which is loaded once and reads every text once for all of its heads. */
const modelGuide = (
  model: RewardModel,
  guides: readonly ModelGuide[],
  { tokenizer, chat }: OpenGuidesOptions,
): { scorer: Scorer; weights: Record<string, number> } => {
  const named = guides.flatMap(({ objective, name, weight }) =>
    (objective === undefined ? model.rewards.objectives : [objective]).map((scored) => ({
      objective: scored,
      name: name ?? scored,
      weight,
    })),
  );
  const names = Object.fromEntries(named.map(({ objective, name }) => [objective, name]));
  const objectives = named.map(({ objective }) => objective);
  const twice = objectives.find((objective, index) => objectives.indexOf(objective) !== index);
  if (twice !== undefined) {
    const [{ model: folder } = { model: "" }] = guides;
    throw new MahaloError("E_GUIDE_NAME", `guide ${folder}: is named for "${twice}" twice`, {
      hint: "name each objective of a reward model once",
    });
  }
  return {
    scorer: modelScorer(model, { tokenizer, chat, objectives, names }),
    weights: Object.fromEntries(named.map(({ name, weight }) => [name, weight])),
  };
};

/**
 * Loads reward models, makes judges, and puts them together.
 *
 * @param guides at least one
 * @throws MahaloError E_GUIDE without any; E_GUIDE_NAME where two scores have one name; what loading models and making judges throws
 */
export const openGuides = async (
  guides: readonly Guide[],
  options: OpenGuidesOptions,
): Promise<OpenGuides> => {
  if (guides.length === 0)
    throw new MahaloError("E_GUIDE", "guidance: nothing guides the search", {
      hint: "give a weight above 0",
    });
  const models: RewardModel[] = [];
  const scorers: Scorer[] = [];
  const weights: Record<string, number> = {};
  const dispose = (): void => {
    for (const scorer of scorers) scorer.dispose();
    for (const model of models) model.dispose();
  };
  try {
    const done = new Set<string>();
    for (const guide of guides) {
      if ("judge" in guide) {
        const judge = makeJudge(guide.judge, "guide");
        const scorer = judgeScorer(judge, guide.name ?? judge.name);
        scorers.push(scorer);
        weights[element(scorer.objectives, 0)] = guide.weight;
      } else if (!done.has(guide.model)) {
        done.add(guide.model);
        const model = await loadRewardModel(
          guide.model,
          options.compute === undefined ? {} : { compute: options.compute },
        );
        models.push(model);
        const sameModel = guides.flatMap((other) =>
          "model" in other && other.model === guide.model ? [other] : [],
        );
        const opened = modelGuide(model, sameModel, options);
        scorers.push(opened.scorer);
        Object.assign(weights, opened.weights);
      }
    }
    return { scorer: severalScorers(scorers), weights, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
};
