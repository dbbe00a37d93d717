/** The judge `model`: what one of our reward models says of a reply. */
import { z } from "zod";
import { aggregateNames, aggregateScores } from "../core/aggregate.ts";
import { throwIfAborted } from "../core/interrupt.ts";
import { element } from "../core/need.ts";
import { RowProblem } from "../data/rows/problems.ts";
import { stepBoundarySchema } from "../data/tokens/steps.ts";
import { loadRewardModel, type RewardModel } from "../model/reward/reward-model.ts";
import { computeDType } from "../model/transformer/precision.ts";
import { type ScoredResponse, scoreSteps } from "../scoring/score.ts";
import { encodeScored, scoredObjective } from "../scoring/score-text.ts";
import { unitScore } from "../scoring/unit-score.ts";
import type { JudgeKind, Verdict } from "./types.ts";

/** Options of the judge `model`. */
export const modelJudgeOptions = z.strictObject({
  model: z.string().min(1).describe("Folder or hub id of a reward model."),
  objective: z.string().optional().describe("Which of the model's objectives judges. Default: its only one."),
  step: stepBoundarySchema
    .optional()
    .describe("What ends a step. Default: as the model was trained, else the whole reply is one step."),
  aggregate: z
    .enum(aggregateNames)
    .default("last")
    .describe("How the steps' scores become one: that of the last, of the worst, their product or mean."),
  precision: z
    .enum(["auto", "f32", "bf16"])
    .default("auto")
    .describe("Precision to compute in; auto takes bf16 if the processor has it."),
  batchSize: z.int().positive().default(64).describe("Replies that are read before verdicts are reported."),
});

/** Options of {@link modelJudge}, defaults filled in. */
export type ModelJudgeOptions = z.output<typeof modelJudgeOptions>;

/** Replies of one batch: what can be scored, and why the others cannot. */
type Encoded = { at: number; text: ScoredResponse } | { at: number; fault: string };

const verdictOf = (
  model: RewardModel,
  { text, scores }: { text: ScoredResponse; scores: readonly number[] },
  { aggregate }: ModelJudgeOptions,
): Verdict => {
  const { kind } = model.rewards.get(text.objective);
  const score = aggregateScores(scores.map((score) => unitScore(kind, score)))[aggregate];
  const steps = scores.length === 1 ? "1 step" : `${aggregate} of ${scores.length} steps`;
  return { score, reason: `${text.objective} ${score.toFixed(3)} (${steps})` };
};

/**
 * A reward model as a judge: each step's score as a number in [0, 1], and these made one.
 *
 * Probabilities (`soft` and `hard` heads) are taken as they are; other scores (`value`, `bradley-terry`) go through the
 * logistic function, which keeps their order. It abstains from a reply that is longer than the model's context.
 *
 * The model is loaded by the first call of `score`.
 */
export const modelJudge: JudgeKind<"model", ModelJudgeOptions> = {
  kind: "model",
  options: modelJudgeOptions,
  verdictsOn: "answer",
  content: ({ batchSize: _, ...options }) => options,
  folders: ["model"],
  make: (options) => {
    let loading: Promise<RewardModel> | undefined;
    const load = async (): Promise<RewardModel> => {
      const model = await loadRewardModel(options.model, { compute: computeDType(options.precision) });
      scoredObjective(model, options.objective);
      return model;
    };
    return {
      name: "model",
      score: async (items, { signal, onVerdict } = {}) => {
        throwIfAborted(signal, "judging");
        loading ??= load();
        const model = await loading;
        const encode = (item: (typeof items)[number], index: number): Encoded => {
          try {
            const how = { objective: options.objective, boundary: options.step };
            return { at: index, text: encodeScored(model, [...item.prompt], item.response, how) };
          } catch (error) {
            if (!(error instanceof RowProblem)) throw error;
            return { at: index, fault: error.message };
          }
        };
        const verdicts: Verdict[] = [];
        for (let from = 0; from < items.length; from += options.batchSize) {
          throwIfAborted(signal, "judging");
          const batch = items
            .slice(from, from + options.batchSize)
            .map((item, index) => encode(item, from + index));
          const texts = batch.flatMap((encoded) => ("text" in encoded ? [encoded.text] : []));
          const scores = scoreSteps(model, texts, { signal });
          let next = 0;
          for (const encoded of batch) {
            const verdict =
              "text" in encoded
                ? verdictOf(model, { text: encoded.text, scores: element(scores, next++) }, options)
                : { score: null, reason: encoded.fault };
            verdicts[encoded.at] = verdict;
            onVerdict?.(encoded.at, verdict);
          }
          // Lets signals through.
          await new Promise((resolve) => setImmediate(resolve));
        }
        return verdicts;
      },
      dispose: () => {
        void loading?.then((model) => model.dispose()).catch(() => undefined);
        loading = undefined;
      },
    };
  },
};
