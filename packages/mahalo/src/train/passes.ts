/** One forward pass over rows of any task, and the backward pass that its slopes ask for. */
import { MahaloError, noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { branchIds, type PackedBatch, packRows, predictors } from "../data/packing.ts";
import { packedAttention } from "../model/attention.ts";
import type { Tokens } from "../model/backbone.ts";
import type { LanguageModel } from "../model/load.ts";
import type { Parameter } from "../model/parameters.ts";
import { type HeadPass, type HeadPassOptions, headPass } from "./head-pass.ts";
import type { BranchLogProbs, TaskRow } from "./task.ts";

// Shapes: T tokens of a batch, N response positions of one head, D hidden.

/** How passes are divided; results do not depend on it but for rounding. */
export type PassOptions = HeadPassOptions & {
  /** Tokens of one pass. */
  tokensPerPass: number;
  /** Recompute activations on the way back. */
  checkpointing?: boolean;
};

const tokensOf = (batch: PackedBatch): Tokens => ({
  ids_T: tensor(batch.ids, { dtype: "int64" }),
  positions_T: tensor(batch.positions, { dtype: "int64" }),
  lastPosition: batch.positions.reduce((last, position) => Math.max(last, position), 0),
});

/** The response positions of one head in a batch. */
type HeadRows = {
  head: Parameter;
  /** Positions whose hidden states predict the targets. */
  positions: number[];
  targets: number[];
  /** Where each branch's tokens lie among them. */
  spans: { member: number; branch: number; start: number; length: number }[];
};

/** Groups a batch's branches by the head that reads them: own head, own positions. */
const byHead = (
  batch: PackedBatch,
  rows: readonly TaskRow[],
  headOf: (row: TaskRow) => Parameter,
): HeadRows[] => {
  const groups = new Map<Parameter, HeadRows>();
  for (const [member, packed] of batch.rows.entries()) {
    const row = rows[member];
    if (row === undefined)
      throw new MahaloError("E_INTERNAL", "a packed row has no task row", { exitStatus: 1 });
    const head = headOf(row);
    const group = groups.get(head) ?? { head, positions: [], targets: [], spans: [] };
    groups.set(head, group);
    for (const [index, branch] of packed.branches.entries()) {
      group.spans.push({ member, branch: index, start: group.targets.length, length: branch.length });
      group.positions.push(...predictors(packed, branch));
      group.targets.push(...branchIds(batch, branch));
    }
  }
  return [...groups.values()];
};

/** The head that reads a row. */
export const ownHead =
  (model: LanguageModel) =>
  (row: TaskRow): Parameter =>
    row.objective === undefined ? model.heads.base : model.heads.get(row.objective);

/** Runs `visit` on each packed batch of the rows, with the rows that it holds. */
const eachBatch = (
  rows: readonly TaskRow[],
  tokensPerPass: number,
  visit: (batch: PackedBatch, members: readonly number[]) => void,
): void => {
  for (const { batch, members } of packRows(rows, tokensPerPass)) scope(() => visit(batch, members));
};

const pick = <T>(list: readonly T[], members: readonly number[]): T[] =>
  members.flatMap((member) => list[member] ?? []);

const spread = (
  groups: readonly HeadRows[],
  passes: readonly HeadPass[],
  rows: number,
): BranchLogProbs[][] => {
  const logps: BranchLogProbs[][] = Array.from({ length: rows }, () => []);
  for (const [g, { spans }] of groups.entries()) {
    for (const { member, branch, start, length } of spans) {
      const own = logps[member];
      const pass = passes[g];
      if (own !== undefined && pass !== undefined) own[branch] = pass.logps.subarray(start, start + length);
    }
  }
  return logps;
};

/** Log-probabilities of every branch's tokens, without gradients; in the order of the rows. */
export const logProbs = (
  model: LanguageModel,
  rows: readonly TaskRow[],
  options: PassOptions & { headOf?: (row: TaskRow) => Parameter; onPass?: (rows: number) => void },
): BranchLogProbs[][] => {
  const result: BranchLogProbs[][] = rows.map(() => []);
  noGrad(() =>
    eachBatch(rows, options.tokensPerPass, (batch, members) => {
      const own = pick(rows, members);
      const hidden_TD = model.backbone.forward(tokensOf(batch), packedAttention(batch));
      const groups = byHead(batch, own, options.headOf ?? ownHead(model));
      const passes = groups.map(({ head, positions, targets }) =>
        headPass(selectRows(hidden_TD, positions), head, Int32Array.from(targets), options),
      );
      for (const [i, logps] of spread(groups, passes, own.length).entries()) {
        const member = members[i];
        if (member !== undefined) result[member] = logps;
      }
      options.onPass?.(own.length);
    }),
  );
  return result;
};

const selectRows = (hidden_TD: Tensor, positions: readonly number[]): Tensor =>
  hidden_TD.indexSelect(0, tensor(Int32Array.from(positions), { dtype: "int64" }));

/**
 * Forward and backward over the rows of a step: gradients are added to the parameters' float32 gradients.
 *
 * A head sees its own rows' response positions only; the backbone gets one gradient, d(loss)/d(hidden), made of the
 * heads' closed-form gradients. Slopes come from `slopesOf` once a row's log-probabilities are known.
 */
export const trainPass = (
  model: LanguageModel,
  rows: readonly TaskRow[],
  slopesOf: (row: TaskRow, logps: readonly BranchLogProbs[]) => readonly number[],
  options: PassOptions & { trained: readonly Parameter[] },
): void => {
  eachBatch(rows, options.tokensPerPass, (batch, members) => {
    const own = pick(rows, members);
    const pass = model.backbone.train(tokensOf(batch), packedAttention(batch), {
      checkpoint: options.checkpointing ?? false,
    });
    const hidden_TD = pass.hidden_TD.detach();
    const groups = byHead(batch, own, ownHead(model));
    const passes = groups.map(({ head, positions, targets }) =>
      headPass(selectRows(hidden_TD, positions), head, Int32Array.from(targets), options),
    );
    const slopes = spread(groups, passes, own.length).map((logps, i) => {
      const row = own[i];
      return row === undefined ? [] : slopesOf(row, logps);
    });
    const gradient_TD = noGrad(() => ops.zerosLike(hidden_TD));
    for (const [g, { positions, spans, targets }] of groups.entries()) {
      const perToken = new Float32Array(targets.length);
      for (const { member, branch, start, length } of spans) {
        perToken.fill(slopes[member]?.[branch] ?? 0, start, start + length);
      }
      noGrad(() =>
        scope(() => {
          const gradient_ND = passes[g]?.backward(perToken);
          // The prompt's last position predicts the first token of every branch, so its rows add up.
          if (gradient_ND !== undefined) {
            ops.indexAdd_(
              gradient_TD,
              0,
              tensor(Int32Array.from(positions), { dtype: "int64" }),
              gradient_ND,
            );
          }
        }),
      );
    }
    pass.backward(gradient_TD);
    for (const one of options.trained) one.collect();
  });
};
