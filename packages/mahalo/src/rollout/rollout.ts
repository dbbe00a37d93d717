/** Rollouts in one call: rows or dialogues in, a model that goes on from them, a judge, and a file that is resumed. */
import { MahaloError } from "@mahalo/torch";
import type { DialogueRow, OpenRow } from "../data/rows/open-rows.ts";
import { formatOrigin, Problems } from "../data/rows/problems.ts";
import { type StepBoundary, stepEnds } from "../data/tokens/steps.ts";
import type { SamplingInput } from "../decode/sampling.ts";
import { judgeContent, judgeNeedsAnswer, judgesAnswers, makeJudge } from "../judges/registry.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import type { Mix } from "../model/heads/heads.ts";
import { planDialogues } from "./dialogue.ts";
import { modelGenerator, type RolloutGenerator } from "./generator.ts";
import {
  planResponses,
  type RolloutSource,
  type RolloutSummary,
  type RolloutTask,
  runRollouts,
} from "./monte-carlo.ts";

/** Where answers begin: at the prompt, at every boundary of the recorded response, or at both. */
export const rolloutOrigins = ["auto", "prompt", "response", "both"] as const;

/** Where answers begin; `auto` is `response` where a row has one, and `prompt` where not. */
export type RolloutOrigin = (typeof rolloutOrigins)[number];

/** How a model goes on. */
export type ModelRolloutOptions = {
  /** What messages call it. */
  name: string;
  /** What identifies its weights, for example a hash of its files. */
  weights: unknown;
  step: StepBoundary;
  sampling: SamplingInput;
  maxNewTokens: number;
  mix?: Mix | undefined;
  /** A plain prompt becomes a user message in the chat template. Default true. */
  chat?: boolean | undefined;
  /** Longer prompts lose their beginning, as in training. Default: they are cut nowhere. */
  maxPromptTokens?: number | undefined;
  /** Answers generated side by side. Default: what generation takes. */
  parallel?: number | undefined;
};

/** A model as a generator whose steps end at a named boundary. */
export const boundaryGenerator = (
  model: LanguageModel,
  { step, parallel, mix, ...options }: ModelRolloutOptions,
): RolloutGenerator =>
  modelGenerator(model, {
    ...options,
    ...(mix === undefined ? {} : { mix }),
    batchSize: parallel,
    stepEnds: (ids) => stepEnds(model.tokenizer, ids, step),
    boundary: step,
  });

/** Options of {@link rollOutRows} and {@link rollOutDialogues}. */
export type RollOutOptions = {
  /** What makes the answers; may be left out for dialogues whose replies are all recorded. */
  generator?: RolloutGenerator | undefined;
  /** A judge as recipes declare it. */
  judge: unknown;
  /** What messages about the judge begin with. */
  judgeName?: string;
  /** Folder in which verdicts that cost something are kept. */
  judgeCache?: string | undefined;
  out: string;
  /** Answers from each prefix. Default 8. */
  samples?: number | undefined;
  seed?: number | undefined;
  /** Answers of a batch, the most that a killed run loses. Default 64. */
  batchSize?: number | undefined;
  signal?: AbortSignal | undefined;
  problems?: Problems | undefined;
};

const carryOut = async (
  tasks: readonly RolloutTask[],
  { generator, judge: declared, judgeName = "judge", judgeCache, out, batchSize, signal }: RollOutOptions,
): Promise<RolloutSummary> => {
  if (tasks.length === 0) {
    throw new MahaloError("E_ROLLOUT", `${out}: no row is left to roll out`, {
      hint: "check the rows, their answers, the step boundary and the model's context",
    });
  }
  const judge = makeJudge(declared, judgeName, judgeCache === undefined ? {} : { cache: judgeCache });
  try {
    return await runRollouts(tasks, {
      out,
      generator,
      judge,
      judgeContent: judgeContent(declared, judgeName),
      batchSize,
      signal,
    });
  } finally {
    judge.dispose?.();
  }
};

/**
 * Rolls prompts and responses out into a file; a run that was cut short is gone on with.
 *
 * @param from where answers begin; default `auto`
 * @throws MahaloError E_ROLLOUT if no row is left; what `planResponses`, the judge and `runRollouts` throw
 */
export const rollOutRows = (
  rows: readonly OpenRow[],
  options: RollOutOptions & { generator: RolloutGenerator; from?: RolloutOrigin | undefined },
): Promise<RolloutSummary> => {
  const { judge, judgeName = "judge", generator, problems = new Problems() } = options;
  const { samples, seed, from = "auto" } = options;
  const missing = rows.find(({ response }) => response === undefined);
  if (missing !== undefined && (from === "response" || from === "both")) {
    throw new MahaloError("E_ROLLOUT", `${formatOrigin(missing.origin)}: has no response to continue`, {
      hint: "map a response column, or roll out from the prompt",
    });
  }
  const verifies = judgesAnswers(judge, judgeName);
  const sources = judgeable(rows, options, problems).map(({ labels, response, ...row }): RolloutSource => {
    return {
      ...row,
      kind: row.answer !== undefined && verifies ? "verifiable" : "judged",
      ...(from === "prompt" || response === undefined ? {} : { response, labels }),
    };
  });
  const tasks = planResponses(sources, generator, { samples, seed, fromPrompt: from === "both" }, problems);
  return carryOut(tasks, options);
};

/** The rows that the judge can say something of; those that lack the answer it compares with are counted. */
function judgeable<Row extends { answer?: unknown }>(
  rows: readonly Row[],
  { judge, judgeName = "judge" }: RollOutOptions,
  problems: Problems,
): readonly Row[] {
  if (!judgeNeedsAnswer(judge, judgeName)) return rows;
  const answered = rows.filter(({ answer }) => answer !== undefined);
  const lacking = rows.length - answered.length;
  if (lacking > 0)
    problems.step("rollouts").skip("they have no answer for the judge to compare with", lacking);
  return answered;
}

/**
 * Rolls dialogues out: every tutor's turn is judged by the student's recorded reply, or by simulated ones.
 *
 * @param student whether the generator answers turns without a recorded reply; default: they are left out
 * @throws MahaloError as {@link rollOutRows}
 */
export const rollOutDialogues = (
  dialogues: readonly DialogueRow[],
  {
    student = false,
    simulateAll,
    persona,
    ...options
  }: RollOutOptions & {
    student?: boolean | undefined;
    simulateAll?: boolean | undefined;
    persona?: string | undefined;
  },
): Promise<RolloutSummary> => {
  const { generator, samples, seed, problems = new Problems() } = options;
  const asked = student || simulateAll === true ? { student: generator } : {};
  if ((student || simulateAll === true) && generator === undefined) {
    throw new MahaloError("E_ROLLOUT", "simulating a student needs a model");
  }
  return carryOut(
    planDialogues(
      judgeable(dialogues, options, problems),
      { ...asked, persona, simulateAll, samples, seed },
      problems,
    ),
    options,
  );
};
