/** Forward over rows of any task without gradients, microbatch by microbatch. */
import { noGrad, scope } from "@mahalo/torch";
import { zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { packedAttention } from "../model/transformer/attention.ts";
import type { Parameter } from "../model/transformer/parameters.ts";
import { batchTokens } from "../model/transformer/tokens.ts";
import type { HeadPassOptions } from "./head-pass.ts";
import type { HiddenCache } from "./hidden-cache.ts";
import { microbatches, readHeads, valuesOf } from "./microbatch.ts";
import { logProbReaders, ownHead, type TrainedModel } from "./reader.ts";
import type { BranchLogProbs, BranchValues, Reader, TaskRow } from "./task.ts";

/** How passes are divided; results do not depend on it but for rounding. */
export type PassOptions = HeadPassOptions & {
  /** Tokens of one pass. */
  maxTokensPerMicrobatch: number;
  /** Recompute activations on the way back. */
  checkpointing?: boolean;
};

/** What is read, and where hidden states come from. */
export type ReadOptions = {
  /** Who reads a row. Default: its own head's log-probabilities of its branches' tokens. */
  readerOf?: ((row: TaskRow) => Reader) | undefined;
  /** Hidden states of a frozen backbone, computed once for each row. Default: computed in every pass. */
  hidden?: HiddenCache | undefined;
};

/** Who reads each row: the options' readers, or own heads' log-probabilities. */
export const readersOf = (
  model: TrainedModel,
  options: HeadPassOptions & ReadOptions,
): ((row: TaskRow) => Reader) => options.readerOf ?? logProbReaders(ownHead(model), options);

/** What every reader reads of every branch, without gradients; in the order of the rows. */
export const measure = (
  model: TrainedModel,
  rows: readonly TaskRow[],
  options: PassOptions & ReadOptions & { onPass?: (rows: number) => void },
): BranchValues[][] => {
  const result: BranchValues[][] = rows.map(() => []);
  noGrad(() => {
    for (const microbatch of microbatches(rows, options.maxTokensPerMicrobatch, readersOf(model, options))) {
      scope(() => {
        const { batch, members } = microbatch;
        const hidden = options.hidden ?? model.backbone.forward(batchTokens(batch), packedAttention(batch));
        const values = valuesOf(microbatch, readHeads(microbatch, hidden));
        for (const [member, branches] of zip(members, values)) result[member] = branches;
      });
      options.onPass?.(microbatch.rows.length);
    }
  });
  return result;
};

/** Log-probabilities of every branch's tokens, without gradients; in the order of the rows. */
export const logProbs = (
  model: LanguageModel,
  rows: readonly TaskRow[],
  options: PassOptions & { headOf?: (row: TaskRow) => Parameter; onPass?: (rows: number) => void },
): BranchLogProbs[][] =>
  measure(model, rows, { ...options, readerOf: logProbReaders(options.headOf ?? ownHead(model), options) });
