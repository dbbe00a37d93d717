/** From hidden states to next tokens: every row under its own mix and sampling, rows of one mix through one head. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import { element, need, zip } from "../core/need.ts";
import type { LanguageModel } from "../model/folder/load.ts";
import { CACHED_MIXES } from "../model/heads/heads.ts";
import { type Attribution, attributions } from "./attribution.ts";
import { changedLogits } from "./logit-changes.ts";
import type { Sequence } from "./request.ts";
import { notFinite } from "./sampling.ts";
import { type TokenLogprob, tokenLogprobs } from "./token-logprobs.ts";
import { canWeigh, weightedLogits } from "./weighted-logits.ts";

// Shapes: R rows, N rows of one mix, D hidden, V vocabulary.

/** What became of one row: its next token, or why there is none. */
export type Choice = Chosen | { error: unknown };

/** A row's next token, with the log-probabilities and the reasons that its request asks for. */
export type Chosen = {
  id: number;
  logprob?: number;
  topLogprobs?: readonly TokenLogprob[];
  attribution?: Attribution;
};

/** Rows that share a head, by their indices. */
const byMix = (answers: readonly Sequence[]): { answer: Sequence; rows: number[] }[] => {
  const groups = new Map<string, { answer: Sequence; rows: number[] }>();
  for (const [row, answer] of answers.entries()) {
    const group = groups.get(answer.mixKey);
    if (group === undefined) groups.set(answer.mixKey, { answer, rows: [row] });
    else group.rows.push(row);
  }
  return [...groups.values()];
};

/** Rows of a matrix; itself where they are all of them, in order. */
const rowsOf = (x_RD: Tensor, rows: readonly number[]): Tensor =>
  rows.length === x_RD.size(0)
    ? x_RD
    : x_RD.indexSelect(0, tensor(Int32Array.from(rows), { dtype: "int64", device: x_RD.device }));

/** How tokens are drawn. */
export type DrawOptions = {
  /**
   * Draw in one native call for all rows (default on the CPU), or row by row from a list of all tokens. Both draw the
   * same token but where a uniform number falls on the very border of two, which rounding then decides.
   */
  native?: boolean | undefined;
};

/** Draws in one native call; bias and penalties are not looked at. */
const drawNative = (logits_NV: Tensor, answers: readonly Sequence[]): Choice[] => {
  const settings = answers.flatMap(({ sampling: { temperature, topK, topP, minP } }) => [
    temperature,
    topK,
    topP,
    minP,
  ]);
  const uniforms = Float64Array.from(answers, (answer) => (answer.greedy ? 0 : answer.uniform()));
  const shape = [answers.length, 4];
  const ids_N = ops.drawTokens(logits_NV, tensor(Float64Array.from(settings), { shape }), tensor(uniforms));
  const ids = Array.from(ids_N.toTypedArray(), Number);
  return ids.map((id): Choice => (id >= 0 ? { id } : { error: notFinite() }));
};

/** As {@link drawNative}, of logits with their rows' biases and penalties. */
const drawChanged = (logits_NV: Tensor, answers: readonly Sequence[]): Choice[] => {
  const changes = answers.map(({ changes }) => need(changes, "what changes a row's logits"));
  return drawNative(changedLogits(logits_NV, changes), answers);
};

/** Draws one row after the other. A row's trouble is its own. */
const drawEach = (logits_NV: Tensor, answers: readonly Sequence[]): Choice[] => {
  const width = logits_NV.size(1);
  const values = logits_NV.toFloat32Array();
  return answers.map((answer, row): Choice => {
    try {
      return { id: answer.choose(values.subarray(row * width, (row + 1) * width)) };
    } catch (error) {
      return { error };
    }
  });
};

const choose = (logits_NV: Tensor, answers: readonly Sequence[], native: boolean): Choice[] => {
  const choices: Choice[] = new Array(answers.length);
  const draw = (rows: readonly number[], by: typeof drawNative): void => {
    if (rows.length === 0) return;
    const own_NV = rowsOf(logits_NV, rows);
    const chosenFor = rows.map((row) => element(answers, row, "answer"));
    for (const [row, choice] of zip(rows, by(own_NV, chosenFor))) choices[row] = choice;
  };
  const rows = [...answers.keys()];
  const changed = new Set(rows.filter((row) => element(answers, row, "answer").changes !== undefined));
  if (native) {
    draw(
      rows.filter((row) => !changed.has(row)),
      drawNative,
    );
    draw([...changed], drawChanged);
  } else draw(rows, drawEach);
  if (!answers.some(({ wantsLogprobs }) => wantsLogprobs)) return choices;
  const told = tokenLogprobs(
    logits_NV,
    choices.map((choice) => ("id" in choice ? choice.id : 0)),
    zip(choices, answers).map(([choice, answer]) => ("id" in choice ? answer.topLogprobs : 0)),
  );
  return zip(choices, answers).map(([choice, { wantsLogprobs, topLogprobs }], row) => {
    if (!("id" in choice && wantsLogprobs)) return choice;
    const { logprob, top } = element(told, row);
    return { ...choice, logprob, ...(topLogprobs > 0 ? { topLogprobs: top } : {}) };
  });
};

/** Tells why, of the rows that ask for it. */
const explained = (
  model: LanguageModel,
  hidden_RD: Tensor,
  answers: readonly Sequence[],
  choices: readonly Choice[],
): Choice[] => {
  const asking = zip(choices, answers).flatMap(([choice, answer], row) =>
    "id" in choice && answer.wantsAttribution ? [{ row, id: choice.id, mix: need(answer.mix, "mix") }] : [],
  );
  if (asking.length === 0) return [...choices];
  const told = scope(() =>
    attributions(
      model,
      rowsOf(
        hidden_RD,
        asking.map(({ row }) => row),
      ),
      asking.map(({ mix }) => mix),
      asking.map(({ id }) => id),
    ),
  );
  const byRow = new Map(zip(asking, told).map(([{ row }, attribution]) => [row, attribution]));
  return choices.map((choice, row) => {
    const attribution = byRow.get(row);
    return attribution === undefined || !("id" in choice) ? choice : { ...choice, attribution };
  });
};

/**
 * The next token of every row.
 *
 * @param hidden_RD final hidden states, row r being `answers[r]`'s
 */
export const nextTokens = (
  model: LanguageModel,
  hidden_RD: Tensor,
  answers: readonly Sequence[],
  { native = hidden_RD.device === "cpu" }: DrawOptions = {},
): Choice[] => explained(model, hidden_RD, answers, chosenTokens(model, hidden_RD, answers, native));

const chosenTokens = (
  model: LanguageModel,
  hidden_RD: Tensor,
  answers: readonly Sequence[],
  native: boolean,
): Choice[] => {
  const choices: Choice[] = new Array(answers.length);
  const groups = byMix(answers);
  const { heads, backbone } = model;
  const mixes = answers.map(({ mix }) => mix ?? {});
  if (heads.lowRank) {
    return noGrad(() =>
      scope(() => choose(heads.lowRankLogits(hidden_RD, mixes, backbone.kernels), answers, native)),
    );
  }
  if (groups.length > CACHED_MIXES && canWeigh(model, hidden_RD)) {
    // Merged heads would push each other out at every step.
    return noGrad(() => scope(() => choose(weightedLogits(model, hidden_RD, mixes), answers, native)));
  }
  for (const { answer, rows } of groups) {
    const chosen = noGrad(() =>
      scope(() => {
        const hidden_ND = rowsOf(hidden_RD, rows);
        const sequences = rows.map((row) => element(answers, row, "answer"));
        return choose(
          model.heads.logitsUnder(hidden_ND, answer.mix, model.backbone.kernels),
          sequences,
          native,
        );
      }),
    );
    for (const [row, choice] of zip(rows, chosen)) choices[row] = choice;
  }
  return choices;
};
