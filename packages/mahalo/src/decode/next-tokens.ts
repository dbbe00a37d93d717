/** From hidden states to next tokens: every row under its own mix and sampling, rows of one mix through one head. */
import { noGrad, ops, scope, type Tensor, tensor } from "@mahalo/torch";
import type { LanguageModel } from "../model/load.ts";
import type { Answer } from "./request.ts";

// Shapes: R rows, N rows of one mix, D hidden, V vocabulary.

/** Rows that share a head, by their indices. */
const byMix = (answers: readonly Answer[]): { answer: Answer; rows: number[] }[] => {
  const groups = new Map<string, { answer: Answer; rows: number[] }>();
  for (const [row, answer] of answers.entries()) {
    const key = JSON.stringify(answer.mix ?? null);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { answer, rows: [row] });
    else group.rows.push(row);
  }
  return [...groups.values()];
};

/** The head of a mix, [V, D]; kept by the model. */
const headOf = ({ heads }: LanguageModel, { mix }: Answer): Tensor =>
  mix === undefined ? heads.base.value : heads.mix(mix);

const choose = (logits_NV: Tensor, answers: readonly Answer[]): number[] => {
  if (answers.every(({ greedy }) => greedy)) {
    return Array.from(logits_NV.argmax(-1).toTypedArray(), Number);
  }
  const values = logits_NV.toFloat32Array();
  const width = logits_NV.size(1);
  return answers.map((answer, row) => answer.choose(values.subarray(row * width, (row + 1) * width)));
};

/**
 * The next token of every row.
 *
 * @param hidden_RD final hidden states, row r being `answers[r]`'s
 */
export const nextTokens = (model: LanguageModel, hidden_RD: Tensor, answers: readonly Answer[]): number[] => {
  const tokens: number[] = new Array(answers.length).fill(0);
  const groups = byMix(answers);
  for (const { answer, rows } of groups) {
    const chosen = noGrad(() =>
      scope(() => {
        const hidden_ND =
          groups.length === 1
            ? hidden_RD
            : hidden_RD.indexSelect(
                0,
                tensor(Int32Array.from(rows), { dtype: "int64", device: hidden_RD.device }),
              );
        const own = rows.flatMap((row) => answers[row] ?? []);
        return choose(ops.linear(hidden_ND, headOf(model, answer)), own);
      }),
    );
    for (const [index, row] of rows.entries()) tokens[row] = chosen[index] ?? 0;
  }
  return tokens;
};
