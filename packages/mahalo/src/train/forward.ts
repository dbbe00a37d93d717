/** Forward over rows of any task without gradients, microbatch by microbatch. */
import { noGrad, scope } from "@mahalo/torch";
import { zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import { mixedTokens } from "../model/transformer/tokens.ts";
import type { HeadPassOptions } from "./head-pass.ts";
import type { HiddenCache } from "./hidden-cache.ts";
import { rowHeads, type TrainedModel } from "./log-prob-head.ts";
import { forwardHeads, microbatches, valuesOf } from "./microbatch.ts";
import type { CompletionLogProbs, CompletionValues, LossHead, TaskRow } from "./task.ts";
import type { TrunkCache } from "./trunk-cache.ts";

/** How passes are divided; results do not depend on it but for rounding. */
export type PassOptions = HeadPassOptions & {
  /** Tokens of one pass. */
  maxTokensPerMicrobatch: number;
  /** Recompute activations on the way back. */
  checkpointing?: boolean;
};

/** What is read, and where hidden states come from. */
export type ReadOptions = {
  /** Who reads a row. Default: its own head's log-probabilities of its completions' tokens. */
  headOf?: ((row: TaskRow) => LossHead) | undefined;
  /** Hidden states of a frozen backbone, computed once for each row. Default: computed in every pass. */
  hidden?: HiddenCache | undefined;
  /** What frozen layers below give, computed once for each row. Default: computed in every pass. */
  trunk?: TrunkCache | undefined;
};

/** The head that each row's loss is computed from: the options', or log-probabilities under its objective's own. */
export const headsOf = (
  model: TrainedModel,
  options: HeadPassOptions & ReadOptions,
): ((row: TaskRow) => LossHead) => options.headOf ?? rowHeads(model, options);

/** The values of every completion under its head, without gradients; in the order of the rows. */
export const forwardWithoutGrad = (
  model: TrainedModel,
  rows: readonly TaskRow[],
  options: PassOptions & ReadOptions & { onPass?: (rows: number) => void },
): CompletionValues[][] => {
  const result: CompletionValues[][] = rows.map(() => []);
  noGrad(() => {
    for (const microbatch of microbatches(rows, options.maxTokensPerMicrobatch, headsOf(model, options))) {
      scope(() => {
        const { batch, members, mixes } = microbatch;
        const { backbone } = model;
        const hidden =
          options.hidden ??
          backbone.forward(mixedTokens(batch, mixes, backbone), packedAttention(batch), {
            start: options.trunk?.startOf(microbatch.rows),
          });
        const values = valuesOf(microbatch, forwardHeads(microbatch, hidden));
        for (const [member, completions] of zip(members, values)) result[member] = completions;
      });
      options.onPass?.(microbatch.rows.length);
    }
  });
  return result;
};

/** Log-probabilities of every completion's tokens, without gradients; in the order of the rows. */
export const logProbs = (
  model: LanguageModel,
  rows: readonly TaskRow[],
  options: PassOptions & ReadOptions & { onPass?: (rows: number) => void },
): CompletionLogProbs[][] => forwardWithoutGrad(model, rows, options);
